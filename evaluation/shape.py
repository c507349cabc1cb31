"""A profile of single blocks and its shape: which blocks hold the gain, where they lie, how steady all this is.

Shapes: ``_L`` blocks, ``_S`` training seeds, ``_R`` draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MIDDLE = (0.4, 0.6)
TOP = (1, 3, 5, 10)
_PERMUTATIONS = 9999


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, and the p-value of the hypothesis it is about, where there is one."""

    value: float
    low: float
    high: float
    p: float | None = None


@dataclass(frozen=True)
class Profile:
    """One comparison's single blocks, in order of depth.

    With many blocks something always looks large. Two guards against it: ``p_adjusted_L`` are Holm's p-values (1979),
    below 0.05 for any block without a gain in at most 5 % of studies; the simultaneous band holds all true
    contributions at once with the stated confidence, so that a block picked after looking is still covered.
    """

    task: str
    model: str
    algorithm: str
    n_blocks: int
    blocks_L: tuple[int, ...]
    depth_L: NDArray[np.float64]
    """Relative: 0 is the first block, 1 the last."""
    seeds: list[int]
    """Training seeds that all of these arms share."""
    gain_L: NDArray[np.float64]
    """S_l - S_base, mean over seeds."""
    contribution_L: NDArray[np.float64]
    """C_l; nan where the full gain is not resolved or there is no full."""
    low_L: NDArray[np.float64]
    high_L: NDArray[np.float64]
    """Pointwise interval of C_l: covers one block that was named beforehand."""
    simultaneous_low_L: NDArray[np.float64]
    simultaneous_high_L: NDArray[np.float64]
    """Band of C_l over all blocks at once, by the maximum of the studentised draws."""
    p_gain_L: NDArray[np.float64]
    """Two-sided, of no gain: Student's t with Satterthwaite's degrees of freedom over items and seeds."""
    p_adjusted_L: NDArray[np.float64]
    """Holm over the blocks."""
    p_best_L: NDArray[np.float64]
    """Share of the draws in which the block gains most; ties split; sums to 1."""
    p_at_least_full_L: NDArray[np.float64]
    """Share of the draws with C_l >= 1; ties count half; nan where C is."""
    draws_RL: NDArray[np.float64] = field(repr=False)
    """Draws of the gains: common items and common seeds for all blocks."""
    seed_gain_SL: NDArray[np.float64] = field(repr=False)
    """Gains by training seed."""
    confidence: float = 0.95
    seed_draws_RSL: NDArray[np.float64] | None = field(default=None, repr=False)
    """Draws of the gains by seed over common items: what another panel would show of the same trained models."""

    @property
    def name(self) -> str:
        """Task, model and algorithm."""
        return f"{self.task} · {self.model} · {self.algorithm}"


@dataclass(frozen=True)
class Concentration:
    """How few blocks hold the gain. Only gains above 0 count; the noise of blocks without a gain spreads them."""

    effective_blocks: Estimate
    """(sum of gains)^2 / sum of squared gains: 1 when one block holds all, L when all are equal."""
    top_share: dict[int, Estimate]
    """Share of the summed gains in the k largest."""


@dataclass(frozen=True)
class Location:
    """Where along the depth the gain lies."""

    centre: Estimate
    """Mean relative depth, weighted by gains above 0; p: of the blocks' order meaning nothing, against 0.5."""
    middle_minus_ends: Estimate
    """Mean gain of the blocks at 40-60 % of depth minus that of the rest, in score; p by permuting the blocks."""
    shifted_p: float
    """p of the same by shifting the whole profile around, which keeps neighbours together; at least 1 / L."""


def concentration(profile: Profile) -> Concentration:
    """Effective number of blocks (inverse Simpson index) and the share of the gain in the top 1, 3, 5 and 10."""
    return Concentration(
        effective_blocks=_estimate(profile, _effective, (1.0, float(len(profile.blocks_L)))),
        top_share={k: _estimate(profile, partial(_top, k=k), (0.0, 1.0)) for k in TOP if k < len(profile.blocks_L)},
    )


def location(profile: Profile) -> Location:
    """Centre of mass, and the middle against the ends.

    The permutation test shuffles gains over blocks. Neighbouring blocks often gain alike; where they do, so many
    different orders are not equally likely and the p-value is too small. ``shifted_p`` then is the one to trust.
    """
    depth_L, gain_L = profile.depth_L, profile.gain_L
    middle_L = (depth_L >= MIDDLE[0]) & (depth_L <= MIDDLE[1])
    shuffled_RL = np.random.default_rng(0).permuted(np.tile(gain_L, (_PERMUTATIONS, 1)), axis=1)

    def centre(gain_RL: NDArray[np.float64]) -> NDArray[np.float64]:
        return _centre(gain_RL, depth_L)

    def contrast(gain_RL: NDArray[np.float64]) -> NDArray[np.float64]:
        return gain_RL[:, middle_L].mean(axis=1) - gain_RL[:, ~middle_L].mean(axis=1)

    middle, shifted_p = Estimate(np.nan, np.nan, np.nan), float("nan")
    if middle_L.any() and not middle_L.all():
        shifted_RL = np.stack([np.roll(gain_L, by) for by in range(len(gain_L))])
        shifted_p = float(np.mean(np.abs(contrast(shifted_RL)) >= abs(contrast(gain_L[None])[0]) - 1e-12))
        middle = _estimate(profile, contrast, (-2.0, 2.0), _extreme(contrast(shuffled_RL), contrast(gain_L[None])[0]))
    away_R = centre(shuffled_RL) - depth_L.mean()
    p = _extreme(away_R, centre(gain_L[None])[0] - depth_L.mean())
    return Location(_estimate(profile, centre, (0.0, 1.0), p), middle, shifted_p)


def reliability(profile: Profile) -> Estimate | None:
    """How well the profile of these seeds would agree with that of as many new seeds on the same panel.

    Correlation of the mean profiles of two disjoint halves of the seeds, over all ways to halve them (an odd one left
    out), stepped up to all seeds by Spearman and Brown (1910). The interval is Feldt's for coefficient alpha (1965).

    Returns:
        1 is a profile that seeds do not change; None with fewer than two seeds, or where no seed's profile varies.
    """
    seeds, blocks = profile.seed_gain_SL.shape
    if seeds < 2 or blocks < 3:
        return None
    half = seeds // 2
    correlations = [
        _correlation(profile.seed_gain_SL[list(a)].mean(axis=0), profile.seed_gain_SL[list(b)].mean(axis=0))
        for a in combinations(range(seeds), half)
        for b in combinations(sorted(set(range(seeds)) - set(a)), half)
        if a < b
    ]
    if not np.isfinite(correlations).all():
        return None
    mean, times = float(np.mean(correlations)), seeds / half
    value = times * mean / (1 + (times - 1) * mean) if mean > 0 else 0.0
    degrees = blocks - 1, (blocks - 1) * (seeds - 1)
    upper, lower = stats.f.ppf([(1 + profile.confidence) / 2, (1 - profile.confidence) / 2], *degrees)
    return Estimate(value, max(0.0, float(1 - (1 - value) * upper)), min(1.0, float(1 - (1 - value) * lower)))


def _estimate(
    profile: Profile,
    measure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    bounds: tuple[float, float],
    p: float | None = None,
) -> Estimate:
    """A measure of the true gains, whose spread over the blocks the noise of the found gains would exaggerate.

    Value: of the gains drawn towards their mean until their variance is that of the true ones (Louis 1984). Interval:
    of draws from what is known about the true gains when they scatter around a mean with a variance of their own
    (empirical Bayes, with that variance drawn as well).
    """
    value = float(measure(profile.gain_L.mean() + np.sqrt(signal(profile)) * _centred(profile.gain_L[None]))[0])
    draw_R = measure(_true_gains(profile))
    if not np.isfinite(value) or not np.isfinite(draw_R).any():
        return Estimate(np.nan, np.nan, np.nan)
    tail = (1 - profile.confidence) / 2
    low, high = np.clip(np.nanquantile(draw_R, [tail, 1 - tail]), *bounds)
    return Estimate(value, float(low), float(high), p)


def signal(profile: Profile) -> float:
    """Share of the variance over blocks that is not noise of items and seeds, between 0 and 1."""
    total = float(profile.gain_L.var(ddof=1))
    return max(0.0, 1 - _noise(profile) / total) if total > 1e-18 else 0.0


def _noise(profile: Profile) -> float:
    """Variance of one block's draws around the profile, common shifts taken out; by quartiles, for heavy tails."""
    apart_RL = _centred(profile.draws_RL - profile.gain_L)
    quarter_L, three_quarters_L = np.quantile(apart_RL, [0.25, 0.75], axis=0)
    blocks = len(profile.blocks_L)
    return float(np.mean(((three_quarters_L - quarter_L) / 1.349) ** 2)) * blocks / (blocks - 1)


def _true_gains(profile: Profile) -> NDArray[np.float64]:
    """Draws of the true gains, ``_RL``."""
    away_RL = profile.draws_RL - profile.gain_L
    common_R, apart_RL = away_RL.mean(axis=1, keepdims=True), _centred(away_RL)
    degrees = len(profile.blocks_L) - 1
    total_R = profile.gain_L.var(ddof=1) * degrees / np.random.default_rng(0).chisquare(degrees, (len(away_RL), 1))
    kept_R = np.maximum(0.0, 1 - _noise(profile) / np.maximum(total_R, 1e-18))
    return profile.gain_L.mean() + common_R + kept_R * _centred(profile.gain_L[None]) + np.sqrt(kept_R) * apart_RL


def _centred(values_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    return values_RL - values_RL.mean(axis=1, keepdims=True)


def _effective(gain_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    positive_RL = np.maximum(gain_RL, 0)
    return _divided(positive_RL.sum(axis=1) ** 2, (positive_RL**2).sum(axis=1))


def _top(gain_RL: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    positive_RL = np.sort(np.maximum(gain_RL, 0), axis=1)
    return _divided(positive_RL[:, -k:].sum(axis=1), positive_RL.sum(axis=1))


def _centre(gain_RL: NDArray[np.float64], depth_L: NDArray[np.float64]) -> NDArray[np.float64]:
    positive_RL = np.maximum(gain_RL, 0)
    return _divided(positive_RL @ depth_L, positive_RL.sum(axis=1))


def _divided(a_R: NDArray[np.float64], b_R: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(a_R, b_R, out=np.full_like(a_R, np.nan), where=b_R > 1e-12)


def _extreme(null_R: NDArray[np.float64], found: float) -> float:
    """Two-sided permutation p-value, never 0 (Phipson and Smyth 2010)."""
    return float((np.sum(np.abs(null_R) >= abs(found) - 1e-12) + 1) / (len(null_R) + 1))


def _correlation(a_L: NDArray[np.float64], b_L: NDArray[np.float64]) -> float:
    if min(np.ptp(a_L), np.ptp(b_L)) < 1e-12:
        return float("nan")
    return float(np.corrcoef(a_L, b_L)[0, 1])
