"""Where the noise of a score comes from: panel items, training seeds, and seeds that do better on some items.

A score of training seed s on item i is mean + seed_s + item_i + rest_si, with seeds and items drawn at random (crossed
random effects, analysis of variance without replication; Searle, Casella and McCulloch 1992, chapter 4). ``rest`` holds
the interaction and the luck of sampled answers.

Shapes: ``_S`` training seeds, ``_I`` panel items, ``_A`` arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

_FEWEST_ARMS = 4


@dataclass(frozen=True)
class SeedSpread:
    """What the arms of a study say together about training seeds; three seeds of one arm say little.

    ``variance`` times score x (1 - score), and ``df``, are the prior of the variance of one seed's score on this panel,
    to be weighed against the variance found in one arm (Smyth 2004, the moderated t of limma). ``df`` is infinite where
    all arms seem to have one variance, and small where they differ much. ``correlation`` is the share of that seed
    effect which arms with the same training seed have in common, between 0 and 1.
    """

    variance: float
    df: float
    correlation: float

    def at(self, score: float) -> float:
        """The variance expected of an arm with that score: near 0 and 1 there is little room for luck."""
        return self.variance * _room(score)


def _room(score: float) -> float:
    return max(score * (1 - score), 0.01)


def seed_variance(mean_SI: np.ndarray) -> tuple[float, float]:
    """Variance of the seeds' scores, and the part of it that is only ``rest``, averaged over the items.

    Args:
        mean_SI: item means, at least two seeds.

    Returns:
        ``(total, rest)``; the difference estimates the variance of the seed effect and may be negative by chance.
    """
    score_S = mean_SI.mean(axis=1)
    rest_SI = mean_SI - score_S[:, None] - mean_SI.mean(axis=0) + mean_SI.mean()
    seeds, items = mean_SI.shape
    rest = (rest_SI**2).sum() / ((seeds - 1) * max(items - 1, 1)) / items
    return float(score_S.var(ddof=1)), float(rest)


def moderated(variance: float, df: float, spread: SeedSpread | None, score: float) -> tuple[float, float]:
    """Weigh the variance of an arm of that ``score`` against the study's; return variance and degrees of freedom."""
    if spread is None:
        return variance, df
    if np.isinf(spread.df):
        return spread.at(score), np.inf
    return (spread.df * spread.at(score) + df * variance) / (spread.df + df), spread.df + df


def standard_error(
    mean_SI: np.ndarray, spread: SeedSpread | None = None, score: float | None = None
) -> tuple[float, float]:
    """Standard error of the mean over new items and new seeds, with Satterthwaite's degrees of freedom (1946).

    Args:
        mean_SI: item means of an arm or of a difference of arms; with one seed only items count.
        spread: what other arms say about seeds.
        score: of the trained arm where ``mean_SI`` is its difference from an untrained one; default: the mean.

    Returns:
        ``(error, df)``; the error is 0 where nothing varies.
    """
    seeds, items = mean_SI.shape
    of_items = float(mean_SI.mean(axis=0).var(ddof=1)) / items if items > 1 else 0.0
    of_seeds, rest, df = 0.0, 0.0, 1.0
    if seeds > 1:
        total, rest = seed_variance(mean_SI)
        of_seeds, df = moderated(total, seeds - 1, spread, mean_SI.mean() if score is None else score)
    # ``rest`` is in both parts, and is wanted once.
    variance = of_items + max(of_seeds - rest, 0.0) / seeds
    if variance <= 0:
        return 0.0, float(max(items - 1, 1))
    parts = of_items**2 / max(items - 1, 1) + (of_seeds / seeds) ** 2 / df
    return float(np.sqrt(variance)), float(np.clip(variance**2 / parts, 1.0, np.inf))


def pooled_spread(arms_SI: Sequence[np.ndarray]) -> SeedSpread | None:
    """Learn about training seeds from all trained arms of a study.

    Args:
        arms_SI: item means, the same seeds and items in every arm.

    Returns:
        The spread; None with one seed, or with fewer than four arms whose seeds differ.
    """
    if len(arms_SI) < _FEWEST_ARMS or len(arms_SI[0]) < 2:
        return None
    arms_ASI = np.stack(arms_SI)
    seeds = arms_ASI.shape[1]
    variance_A = arms_ASI.mean(axis=2).var(axis=1, ddof=1)
    used_A = variance_A > 1e-12
    variance_A = variance_A / [_room(score) for score in arms_ASI.mean(axis=(1, 2))]
    if used_A.sum() < _FEWEST_ARMS:
        return None
    half = (seeds - 1) / 2
    log_A = np.log(variance_A[used_A]) - special.digamma(half) + np.log(half)
    excess = log_A.var(ddof=1) - special.polygamma(1, half)
    variance, df = float(np.exp(log_A.mean())), np.inf
    if excess > 1e-6:
        half_prior = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-3, 1e7)
        variance *= float(np.exp(special.digamma(half_prior) - np.log(half_prior)))
        df = 2 * float(half_prior)
    return SeedSpread(variance, df, _shared(arms_ASI))


def _shared(arms_ASI: np.ndarray) -> float:
    """Correlation of the seed effects of two arms, averaged over all pairs, free of the items' noise."""
    arms, seeds, items = arms_ASI.shape
    score_AS = arms_ASI.mean(axis=2)
    rest_ASI = arms_ASI - score_AS[..., None] - arms_ASI.mean(axis=1)[:, None] + score_AS.mean(axis=1)[:, None, None]
    flat_AX = rest_ASI.reshape(arms, -1)
    effect_AA = np.cov(score_AS) - flat_AX @ flat_AX.T / ((seeds - 1) * max(items - 1, 1)) / items
    own = float(np.trace(effect_AA))
    if own <= 0:
        return 0.0
    return float(np.clip((effect_AA.sum() - own) / ((arms - 1) * own), 0.0, 1.0))
