"""The single blocks of a comparison as one profile over depth: what each gains, how sure, and which is best.

Shapes: ``_L`` blocks in order of depth, ``_S`` training seeds, ``_I`` panel items, ``_R`` draws.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.comparison import Arm, Comparison, singles
from evaluation.contribution import least_half_width, ratio_draws, share_at_least
from evaluation.shape import (
    Concentration,
    Estimate,
    Location,
    Profile,
    concentration,
    location,
    reliability,
)
from evaluation.stats import complete_items, paired_difference, resampled_items, resampled_means
from evaluation.variance import SeedSpread, standard_error

__all__ = [
    "Concentration",
    "Estimate",
    "Location",
    "Profile",
    "block_profile",
    "concentration",
    "location",
    "reliability",
]


def block_profile(
    comparison: Comparison, *, confidence: float = 0.95, n_resamples: int = 4000, seed: int = 0
) -> Profile | None:
    """Put the single-block arms of a comparison into one profile.

    Args:
        comparison: arms that answered one panel.
        confidence: coverage of pointwise intervals, and of the band as a whole.
        n_resamples: draws.
        seed: of the draws. Profiles on one panel draw the same items; seed effects are drawn anew for each profile.

    Returns:
        The profile over the training seeds that all single blocks share; None with fewer than two single blocks, or
        where they share no seed or no scored item.
    """
    arms = singles(comparison)
    shared = sorted(set.intersection(*(set(arm.seeds) for arm in arms))) if arms else []
    if len(arms) < 2 or not shared:
        return None
    full = comparison.arm("full")
    matched = full is not None and set(shared) <= set(full.seeds)
    result = comparison.result
    try:
        profile = profile_of_scores(
            comparison.base_SIK,
            None if full is None else _at(full, shared) if matched else full.after_SIK,
            [_at(arm, shared) for arm in arms],
            task=result.task,
            model=result.model,
            algorithm=result.algorithm,
            n_blocks=result.n_blocks,
            blocks=[arm.result.blocks[0] for arm in arms],
            seeds=shared,
            full_has_seeds=matched,
            spread=comparison.spread,
            confidence=confidence,
            n_resamples=n_resamples,
            seed=zlib.crc32(repr((result.panel, result.source)).encode()) + seed,
        )
    except ValueError:
        # No panel item has a score in every arm: nothing can be paired.
        return None
    return _with_intervals_of(arms, profile)


def _with_intervals_of(arms: Sequence[Arm], profile: Profile) -> Profile:
    """The same profile with the arms' own intervals of C, which tables print, where they are of the same numbers.

    Two bootstraps of one ratio differ in the far tail; the band is widened where it would lie inside of an interval.
    """
    if not all(
        arm.contribution and arm.seeds == profile.seeds and abs(arm.contribution.value - value) < 1e-9
        for arm, value in zip(arms, profile.contribution_L, strict=True)
    ):
        return profile
    found = [arm.contribution for arm in arms if arm.contribution]
    low_L, high_L = np.array([c.low for c in found]), np.array([c.high for c in found])
    return replace(
        profile,
        low_L=low_L,
        high_L=high_L,
        simultaneous_low_L=np.minimum(profile.simultaneous_low_L, low_L),
        simultaneous_high_L=np.maximum(profile.simultaneous_high_L, high_L),
        p_at_least_full_L=np.array([c.p_at_least_full for c in found]),
    )


def profile_of_scores(
    base_SIK: NDArray[np.float64],
    full_SIK: NDArray[np.float64] | None,
    blocks_SIK: Sequence[NDArray[np.float64]],
    *,
    task: str,
    model: str,
    algorithm: str,
    n_blocks: int,
    blocks: Sequence[int],
    seeds: list[int],
    full_has_seeds: bool,
    spread: SeedSpread | None,
    confidence: float,
    n_resamples: int,
    seed: int,
) -> Profile:
    """The profile of scores in [0, 1] on one panel, see ``block_profile``.

    Args:
        base_SIK: the untrained model, one seed.
        full_SIK: after training everything; None where there is no such arm.
        blocks_SIK: after training each of ``blocks``, for ``seeds``.
        task: its name, as the next two for the profile.
        model: its name.
        algorithm: its name; seed effects are drawn anew for each (task, model, algorithm).
        n_blocks: of the model.
        blocks: ascending.
        seeds: training seeds of the blocks.
        full_has_seeds: full was trained with the same seeds.
        spread: what all arms of the study say about seeds.
        confidence: coverage.
        n_resamples: draws.
        seed: of the draw of items; equal seeds draw equal items.

    Raises:
        ValueError: no item has a score in every arm, or panels differ.
    """
    base_SI, *trained_SI = complete_items(base_SIK, *blocks_SIK, *([] if full_SIK is None else [full_SIK]))
    blocks_SI = trained_SI[: len(blocks)]
    arms_SI = [base_SI, *trained_SI]
    base_R, *draws = resampled_means(
        arms_SI,
        n_resamples=n_resamples,
        seed=seed,
        seed_groups=[0, *[1] * len(blocks), 1 if full_has_seeds else 2][: len(arms_SI)],
        spread=spread,
        effects_seed=zlib.crc32(f"{task} {model} {algorithm} {seed}".encode()),
    )
    base_RS, *items_RS = resampled_items(arms_SI[: 1 + len(blocks)], n_resamples=n_resamples, seed=seed)
    draws_RL = np.column_stack(draws[: len(blocks)]) - base_R[:, None]
    gain_L = np.array([block_SI.mean() for block_SI in blocks_SI]) - base_SI.mean()
    p_L = np.array([_p_of_no_gain(block_SI, base_SI.mean(axis=0), spread) for block_SI in blocks_SI])
    contributions: tuple[NDArray[np.float64], ...] = (np.full(len(blocks), np.nan),) * 6
    if full_SIK is not None:
        full_SI, full_R = trained_SI[-1], draws[-1] - base_R
        gain = paired_difference(full_SI[..., None], base_SI[..., None], confidence, n_resamples, seed, spread)
        if not gain.low <= 0 <= gain.high:
            least_L = np.array([least_half_width(base_SI, full_SI, block_SI, confidence) for block_SI in blocks_SI])
            contributions = _contributions(gain_L, draws_RL, gain.value, full_R, least_L, confidence)
    value_L, low_L, high_L, band_low_L, band_high_L, at_least_L = contributions
    return Profile(
        task=task,
        model=model,
        algorithm=algorithm,
        n_blocks=n_blocks,
        blocks_L=tuple(blocks),
        depth_L=np.array(blocks) / max(n_blocks - 1, 1),
        seeds=seeds,
        gain_L=gain_L,
        contribution_L=value_L,
        low_L=low_L,
        high_L=high_L,
        simultaneous_low_L=band_low_L,
        simultaneous_high_L=band_high_L,
        p_gain_L=p_L,
        p_adjusted_L=holm(p_L),
        p_best_L=chance_of_best(draws_RL),
        p_at_least_full_L=at_least_L,
        draws_RL=draws_RL,
        seed_gain_SL=np.column_stack([block_SI.mean(axis=1) for block_SI in blocks_SI]) - base_SI.mean(),
        confidence=confidence,
        seed_draws_RSL=np.stack(items_RS, axis=2) - base_RS.mean(axis=1)[:, None, None],
    )


def holm(p_L: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down p-values (1979): valid for any dependence between the blocks."""
    order = np.argsort(p_L)
    stepped_L = np.maximum.accumulate(np.minimum(p_L[order] * np.arange(len(p_L), 0, -1), 1.0))
    adjusted_L = np.empty_like(stepped_L)
    adjusted_L[order] = stepped_L
    return adjusted_L


def chance_of_best(draws_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the draws in which each block is the largest; a draw's tie is split evenly."""
    best_RL = draws_RL >= draws_RL.max(axis=1, keepdims=True) - 1e-12
    return (best_RL / best_RL.sum(axis=1, keepdims=True)).mean(axis=0)


def simultaneous_band(
    value_L: NDArray[np.float64],
    low_L: NDArray[np.float64],
    high_L: NDArray[np.float64],
    draws_RL: NDArray[np.float64],
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stretch pointwise intervals until ``confidence`` of the draws lie inside for all blocks at once (max-|t|).

    Each side of an interval is its own unit, so that skewed draws get a skewed band.
    """
    below_L, above_L = np.maximum(value_L - low_L, 1e-12), np.maximum(high_L - value_L, 1e-12)
    away_RL = draws_RL - value_L
    stretch = float(np.quantile(np.maximum(away_RL / above_L, -away_RL / below_L).max(axis=1), confidence))
    return value_L - max(stretch, 1.0) * below_L, value_L + max(stretch, 1.0) * above_L


def _contributions(
    gain_L: NDArray[np.float64],
    draws_RL: NDArray[np.float64],
    full_gain: float,
    full_R: NDArray[np.float64],
    least_L: NDArray[np.float64],
    confidence: float,
) -> tuple[NDArray[np.float64], ...]:
    """C with pointwise interval, band and P(C >= 1), each ``_L``."""
    sign = float(np.sign(full_gain))
    ratio_RL, usable_RL = ratio_draws(draws_RL, np.repeat(full_R[:, None], len(gain_L), axis=1), sign)
    # Draws whose full gain has the other sign say nothing of a ratio; a resolved gain has at most a few per hundred.
    ratio_RL = ratio_RL[usable_RL.all(axis=1)]
    value_L = gain_L / full_gain
    low_L, high_L = np.quantile(ratio_RL, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    low_L, high_L = np.minimum(low_L, value_L - least_L), np.maximum(high_L, value_L + least_L)
    band = simultaneous_band(value_L, low_L, high_L, ratio_RL, confidence)
    at_least_L = np.array([share_at_least(sign * (draw_R - full_R)) for draw_R in draws_RL.T])
    return value_L, low_L, high_L, *band, at_least_L


def _p_of_no_gain(block_SI: NDArray[np.float64], base_I: NDArray[np.float64], spread: SeedSpread | None) -> float:
    gain_SI = block_SI - base_I
    value, items = abs(float(gain_SI.mean())), gain_SI.shape[1]
    if np.ptp(gain_SI) < 1e-12:
        # The level at which ``stats.constant_interval`` would just reach 0.
        return min(1.0, 2 * (1 / (1 + value)) ** items) if value > 1e-12 else 1.0
    error, df = standard_error(gain_SI, spread, float(block_SI.mean()))
    return float(2 * stats.t.sf(value / error, df)) if error > 0 else 1.0


def _at(arm: Arm, seeds: list[int]) -> NDArray[np.float64]:
    return np.stack([cell.after_IK for cell in arm.cells if cell.result.seed in seeds])
