"""Intervals of panel scores: what would have come out with other panel items and other training seeds.

Shapes: ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item, ``_R`` resamples, ``_A`` arms x seeds.

Samples of one item answer the same question, so the item is the unit that is resampled and its samples stay together.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

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


def mean_interval(scores: np.ndarray, confidence: float = 0.95, n_resamples: int = 4000, seed: int = 0) -> Interval:
    """Mean outcome with a bootstrap interval over panel items, and over training seeds where there are several.

    Args:
        scores: ``scores_IK`` or ``scores_SIK``, outcomes in [0, 1]; nan is no score. An item without a score in some
            training seed is left out.
        confidence: coverage of the interval.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The mean of the item means. One training seed: BCa over items (Efron 1987). Several: percentiles over items
        and seeds. All items alike: ``constant_interval``.

    Raises:
        ValueError: the shape is neither, or no item has a score.
    """
    scores_SIK = as_SIK(scores)
    (mean_SI,) = complete_items(scores_SIK)
    low, high = _interval_of(mean_SI, (0.0, 1.0), confidence, n_resamples, seed)
    seeds, items = mean_SI.shape
    return Interval(float(mean_SI.mean()), low, high, items, scores_SIK.shape[2], seeds)


def paired_difference(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95, n_resamples: int = 10000, seed: int = 0
) -> Interval:
    """Mean of ``a`` minus mean of ``b`` on the same panel, with an interval that uses the pairing.

    Args:
        a: ``a_IK`` or ``a_SIK``, outcomes in [0, 1]; nan is no score.
        b: the same panel under the other condition; an item without a score on either side is left out of both.
        confidence: coverage of the interval.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The difference, bootstrapped over items; also over training seeds, in pairs where both sides have equally many
        (seed s of ``a`` belongs to seed s of ``b``), else each side on its own.

    Raises:
        ValueError: the panels differ in size, or no item has a score on both sides.
    """
    a_SIK, b_SIK = as_SIK(a), as_SIK(b)
    mean_a_SI, mean_b_SI = complete_items(a_SIK, b_SIK)
    seeds, items = max(len(a_SIK), len(b_SIK)), mean_a_SI.shape[1]
    value = float(mean_a_SI.mean() - mean_b_SI.mean())
    if min(len(a_SIK), len(b_SIK)) in (1, seeds):
        low, high = _interval_of(mean_a_SI - mean_b_SI, (-1.0, 1.0), confidence, n_resamples, seed)
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
    arms_SI: Sequence[np.ndarray], *, n_resamples: int, seed: int, seed_groups: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Bootstrap means of several arms on one panel: the same items for all arms, and training seeds.

    Args:
        arms_SI: item means of each arm; nan-free, equally many items.
        n_resamples: how many.
        seed: of the resampling.
        seed_groups: one label per arm; arms with equal labels have their training seeds drawn together. Default: each
            arm on its own.

    Returns:
        ``draw_R`` per arm. Of S > 1 training seeds S - 1 are drawn (Rao and Wu 1988): with few seeds, drawing S would
        understate their variance by (S - 1) / S.
    """
    rng = np.random.default_rng(seed)
    n_items = arms_SI[0].shape[1]
    stacked_AI = np.concatenate(arms_SI)
    chunks = []
    for start in range(0, n_resamples, _CHUNK):
        rows = min(_CHUNK, n_resamples - start)
        picks = rng.integers(n_items, size=(rows, n_items)) + n_items * np.arange(rows)[:, None]
        count_RI = np.bincount(picks.ravel(), minlength=rows * n_items).reshape(rows, n_items)
        chunks.append(count_RI.astype(float) @ stacked_AI.T / n_items)
    mean_RA = np.concatenate(chunks)
    weights: dict[int, np.ndarray] = {}
    draws, first = [], 0
    for arm, group in zip(arms_SI, seed_groups or range(len(arms_SI)), strict=True):
        if group not in weights:
            drawn = max(len(arm) - 1, 1)
            weights[group] = rng.multinomial(drawn, np.full(len(arm), 1 / len(arm)), size=n_resamples) / drawn
        draws.append((mean_RA[:, first : first + len(arm)] * weights[group]).sum(axis=1))
        first += len(arm)
    return draws


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
    mean_SI: np.ndarray, bounds: tuple[float, float], confidence: float, n_resamples: int, seed: int
) -> tuple[float, float]:
    """Interval of the mean of ``mean_SI``, whose entries lie within ``bounds``."""
    if np.ptp(mean_SI) < 1e-12:
        return constant_interval(float(mean_SI.mean()), mean_SI.shape[1], bounds, confidence)
    if len(mean_SI) == 1:
        options = {"confidence_level": confidence, "n_resamples": n_resamples, "batch": _CHUNK, "method": "BCa"}
        with warnings.catch_warnings():
            # Nearly constant items have no BCa interval; the percentiles below stand in.
            warnings.simplefilter("ignore", category=stats.DegenerateDataWarning)
            drawn = stats.bootstrap((mean_SI[0],), np.mean, random_state=np.random.default_rng(seed), **options)
        found = drawn.confidence_interval
        if np.isfinite([found.low, found.high]).all():
            return float(found.low), float(found.high)
    return percentiles(resampled_means([mean_SI], n_resamples=n_resamples, seed=seed)[0], confidence)
