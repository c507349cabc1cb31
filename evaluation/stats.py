"""Intervals of panel scores: what would have come out with other panel items and other training seeds.

Shapes: ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item, ``_R`` draws, ``_A`` arms x seeds.

Samples of one item answer the same question, so the item is the unit that is resampled and its samples stay together.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evaluation.variance import SeedSpread, moderated, seed_variance, standard_error

_CHUNK = 1000


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval and what it rests on; ``n_items`` counts the items that had a score."""

    value: float
    low: float
    high: float
    n_items: int
    n_samples: int
    n_seeds: int = 1


def mean_interval(
    scores: np.ndarray,
    confidence: float = 0.95,
    n_resamples: int = 4000,
    seed: int = 0,
    spread: SeedSpread | None = None,
) -> Interval:
    """Mean outcome with a bootstrap interval over panel items, and over training seeds where there are several.

    Args:
        scores: ``scores_IK`` or ``scores_SIK``, outcomes in [0, 1]; nan is no score. An item without a score in some
            training seed is left out.
        confidence: coverage of the interval.
        n_resamples: bootstrap resamples.
        seed: of the resampling.
        spread: what all arms of the study say about seeds (``evaluation.variance.pooled_spread``).

    Returns:
        The mean of the item means with percentiles of ``resampled_means``; where all items are alike,
        ``constant_interval``.

    Raises:
        ValueError: the shape is neither, or no item has a score.
    """
    scores_SIK = as_SIK(scores)
    (mean_SI,) = complete_items(scores_SIK)
    score = float(mean_SI.mean())
    low, high = _interval_of(mean_SI, (0.0, 1.0), confidence, n_resamples, seed, spread, score)
    seeds, items = mean_SI.shape
    return Interval(float(mean_SI.mean()), low, high, items, scores_SIK.shape[2], seeds)


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    confidence: float = 0.95,
    n_resamples: int = 10000,
    seed: int = 0,
    spread: SeedSpread | None = None,
) -> Interval:
    """Mean of ``a`` minus mean of ``b`` on the same panel, with an interval that uses the pairing.

    Args:
        a: ``a_IK`` or ``a_SIK``, outcomes in [0, 1]; nan is no score.
        b: the same panel under the other condition; an item without a score on either side is left out of both.
        confidence: coverage of the interval.
        n_resamples: bootstrap resamples.
        seed: of the resampling.
        spread: what all arms of the study say about seeds. Only for a trained arm against an untrained one: the
            difference of two trained arms has a seed effect of its own.

    Returns:
        The difference with an interval over items; also over training seeds, in pairs where both sides have equally
        many (seed s of ``a`` belongs to seed s of ``b``), else each side on its own.

    Raises:
        ValueError: the panels differ in size, or no item has a score on both sides.
    """
    a_SIK, b_SIK = as_SIK(a), as_SIK(b)
    mean_a_SI, mean_b_SI = complete_items(a_SIK, b_SIK)
    seeds, items = max(len(a_SIK), len(b_SIK)), mean_a_SI.shape[1]
    value = float(mean_a_SI.mean() - mean_b_SI.mean())
    if min(len(a_SIK), len(b_SIK)) in (1, seeds):
        score = float(mean_a_SI.mean())
        low, high = _interval_of(mean_a_SI - mean_b_SI, (-1.0, 1.0), confidence, n_resamples, seed, spread, score)
    else:
        draw_a_R, draw_b_R = resampled_means([mean_a_SI, mean_b_SI], n_resamples=n_resamples, seed=seed)
        low, high = percentiles(draw_a_R - draw_b_R, confidence)
    return Interval(value, low, high, items, min(a_SIK.shape[2], b_SIK.shape[2]), seeds)


def as_SIK(scores: np.ndarray) -> np.ndarray:
    """Return ``scores_SIK``; ``scores_IK`` counts as one training seed. Raises ``ValueError`` on any other shape."""
    scores = np.asarray(scores, dtype=float)
    if scores.ndim == 2:
        scores = scores[None]
    if scores.ndim != 3 or 0 in scores.shape:
        raise ValueError(f"scores must be (items, samples) or (seeds, items, samples), none empty: got {scores.shape}")
    return scores


def complete_items(*arms_SIK: np.ndarray) -> list[np.ndarray]:
    """Mean over samples, for the items that have a score in every seed of every arm: one ``mean_SI`` per arm.

    Raises:
        ValueError: the arms' panels differ in size, or no item is complete.
    """
    sizes = {arm_SIK.shape[1] for arm_SIK in arms_SIK}
    if len(sizes) > 1:
        raise ValueError(f"cannot pair panels of {sorted(sizes)} items")
    with warnings.catch_warnings():
        # An item whose every sample is nan is nan: that is the wanted answer, not an accident.
        warnings.simplefilter("ignore", category=RuntimeWarning)
        means_SI = [np.nanmean(arm_SIK, axis=2) for arm_SIK in arms_SIK]
    complete_I = np.all([np.isfinite(mean_SI).all(axis=0) for mean_SI in means_SI], axis=0)
    if not complete_I.any():
        raise ValueError("no panel item has a score in every seed of every arm")
    return [mean_SI[:, complete_I] for mean_SI in means_SI]


def resampled_means(
    arms_SI: Sequence[np.ndarray],
    *,
    n_resamples: int,
    seed: int,
    seed_groups: Sequence[int] | None = None,
    spread: SeedSpread | None = None,
    scores: Sequence[float] | None = None,
    df: float | None = None,
    effects_seed: int | None = None,
) -> list[np.ndarray]:
    """Draw the means of several arms on one panel anew: the same items for all arms, and training seeds.

    Items are a bootstrap. Seeds are too few for one: of three, a bootstrap knows ten sets, and its interval would be
    that of a normal distribution where Student's t with two degrees of freedom is due. So what other seeds would add is
    drawn from a normal model: the variance between seeds, less what the draw of items already holds.

    Without ``spread`` all draws are stretched to Student's t by Satterthwaite's degrees of freedom (1946). With it, the
    variance between seeds is drawn, too (generalised confidence intervals, Weerahandi 1993).

    Args:
        arms_SI: item means of each arm; nan-free, equally many items.
        n_resamples: how many.
        seed: of the draw of items.
        seed_groups: one label per arm; arms with equal labels have the same training seeds, whose effects are drawn
            together. Default: each arm on its own.
        spread: what all arms of the study say about seeds; without it each arm has only its own seeds to go by.
        scores: of the trained arms where ``arms_SI`` are differences from an untrained one; default: the arms' means.
        df: degrees of freedom without ``spread``; default: the fewest of any arm.
        effects_seed: of the draw of seed effects; ``seed`` where not given.

    Returns:
        ``draw_R`` per arm; a draw may lie a little outside of the bounds of a score.
    """
    drawn_RS = resampled_items(arms_SI, n_resamples=n_resamples, seed=seed)
    rng = np.random.default_rng([seed if effects_seed is None else effects_seed, 1])
    groups: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    stretch_R = np.ones(n_resamples)
    if spread is None and any(len(arm_SI) > 1 for arm_SI in arms_SI):
        df = df or min(standard_error(arm_SI)[1] for arm_SI in arms_SI if len(arm_SI) > 1)
        stretch_R = np.sqrt(df / rng.chisquare(df, n_resamples))
    draws = []
    scores = scores or [float(arm_SI.mean()) for arm_SI in arms_SI]
    for arm_SI, draw_RS, group, score in zip(
        arms_SI, drawn_RS, seed_groups or range(len(arms_SI)), scores, strict=True
    ):
        seeds, draw_R = len(arm_SI), draw_RS.mean(axis=1)
        if seeds > 1:
            if group not in groups:
                groups[group] = rng.standard_normal((n_resamples, seeds)), rng.standard_normal(n_resamples)
            draw_R = draw_R + _seed_effect(arm_SI, *groups[group], spread, score, rng)
        draws.append(arm_SI.mean() + stretch_R * (draw_R - arm_SI.mean()))
    return draws


def _seed_effect(
    arm_SI: np.ndarray,
    normal_RS: np.ndarray,
    shared_R: np.ndarray,
    spread: SeedSpread | None,
    score: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws of what other training seeds would add to an arm's mean."""
    seeds, (total, rest) = len(arm_SI), seed_variance(arm_SI)
    if spread is None:
        # Arms of a group vary together as their seeds did.
        apart_S = arm_SI.mean(axis=1) - arm_SI.mean()
        normal_R = normal_RS @ (apart_S / max(float(np.linalg.norm(apart_S)), 1e-12))
        return np.sqrt(max(total - rest, 0.0) / seeds) * normal_R
    rows = len(shared_R)
    variance, df = moderated(total, seeds - 1, spread, score)
    normal_R = np.sqrt(spread.correlation) * shared_R + np.sqrt(1 - spread.correlation) * rng.standard_normal(rows)
    chi_R = rng.chisquare(df, rows) / df if np.isfinite(df) else np.ones(rows)
    return np.sqrt(np.maximum(variance / chi_R - rest, 0.0) / seeds) * normal_R


def resampled_items(arms_SI: Sequence[np.ndarray], *, n_resamples: int, seed: int) -> list[np.ndarray]:
    """Bootstrap means of every seed of every arm over the same items: ``draw_RS`` per arm.

    A bootstrap of I items is narrower than it should be, by sqrt((I - 1) / I) and by the normal in place of Student's
    t; its draws are spread by both (Hesterberg 2015, the expanded percentile interval).
    """
    rng = np.random.default_rng([seed, 0])
    n_items = arms_SI[0].shape[1]
    stacked_AI = np.concatenate(arms_SI)
    chunks = []
    for start in range(0, n_resamples, _CHUNK):
        rows = min(_CHUNK, n_resamples - start)
        picks = rng.integers(n_items, size=(rows, n_items)) + n_items * np.arange(rows)[:, None]
        count_RI = np.bincount(picks.ravel(), minlength=rows * n_items).reshape(rows, n_items)
        chunks.append(count_RI.astype(float) @ stacked_AI.T / n_items)
    mean_A = stacked_AI.mean(axis=1)
    mean_RA = mean_A + _expansion(n_items) * (np.concatenate(chunks) - mean_A)
    return np.split(mean_RA, np.cumsum([len(arm_SI) for arm_SI in arms_SI])[:-1], axis=1)


def _expansion(n_items: int) -> float:
    if n_items < 2:
        return 1.0
    return float(np.sqrt(n_items / (n_items - 1)) * stats.t.ppf(0.975, n_items - 1) / stats.norm.ppf(0.975))


def percentiles(draw_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """The central ``confidence`` share of the draws."""
    low, high = np.quantile(draw_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def constant_interval(
    value: float, n_items: int, bounds: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """Interval when all items show one ``value``, where a bootstrap would claim certainty.

    At most a share p of all items can be different, (1 - p)^n_items = (1 - confidence) / 2, and these lie within
    ``bounds``. For all 0 or all 1 this is the interval of Clopper and Pearson (1934).
    """
    share = 1 - ((1 - confidence) / 2) ** (1 / n_items)
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def _interval_of(
    mean_SI: np.ndarray,
    bounds: tuple[float, float],
    confidence: float,
    n_resamples: int,
    seed: int,
    spread: SeedSpread | None,
    score: float,
) -> tuple[float, float]:
    """Interval of the mean of ``mean_SI``, whose entries lie within ``bounds``."""
    if np.ptp(mean_SI) < 1e-12:
        return constant_interval(float(mean_SI.mean()), mean_SI.shape[1], bounds, confidence)
    (draw_R,) = resampled_means([mean_SI], n_resamples=n_resamples, seed=seed, spread=spread, scores=[score])
    low, high = percentiles(draw_R, confidence)
    return max(low, bounds[0]), min(high, bounds[1])
