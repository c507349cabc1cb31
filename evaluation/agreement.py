"""Do two profiles rank the blocks alike? Between tasks, algorithms, models and training seeds.

Shapes: ``_L`` blocks, ``_S`` training seeds, ``_R`` draws, ``_P`` permutations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.shape import Estimate, Profile
from evaluation.stats import percentiles

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
Measure = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
KINDS = ("task", "model", "algorithm")
FEWEST_BLOCKS = 4
_DRAWS = 2000


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of two profiles.

    ``value`` is what was found. Noise of items and seeds lowers it, so ``low`` and ``high`` are of the correlation of
    the true profiles of these blocks and may lie mostly above it. ``p`` is of no relation, by permuting the blocks.
    """

    a: str
    b: str
    kind: str
    """``task``, ``algorithm``, ``model`` or ``seed``: what differs."""
    n_blocks: int
    spearman: Estimate
    kendall: Estimate
    note: str


def agreement(a: Profile, b: Profile, *, n_permutations: int = 4999) -> Agreement:
    """Compare two profiles block by block, or by relative depth where the models have different numbers of blocks."""
    kind = next((kind for kind in KINDS if getattr(a, kind) != getattr(b, kind)), "seed")
    if a.n_blocks == b.n_blocks:
        common = sorted(set(a.blocks_L) & set(b.blocks_L))
        at_a, at_b = ([profile.blocks_L.index(block) for block in common] for profile in (a, b))
        gain_a_L, gain_b_L = a.gain_L[at_a], b.gain_L[at_b]
        draws_a_RL, draws_b_RL = a.draws_RL[:, at_a], b.draws_RL[:, at_b]
        note = "" if len(common) == len(a.blocks_L) == len(b.blocks_L) else f"{len(common)} blocks are in both."
    else:
        # No reading beyond the blocks that b trained.
        inside = np.flatnonzero((a.depth_L >= b.depth_L.min() - 1e-9) & (a.depth_L <= b.depth_L.max() + 1e-9))
        weights_LL = _interpolation(b.depth_L, a.depth_L[inside])
        gain_a_L, gain_b_L = a.gain_L[inside], weights_LL @ b.gain_L
        draws_a_RL, draws_b_RL = a.draws_RL[:, inside], b.draws_RL @ weights_LL.T
        note = f"By relative depth: {b.model} interpolated at the depths of {a.model}."
    confidence = min(a.confidence, b.confidence)
    return _compared(a.name, b.name, kind, gain_a_L, gain_b_L, draws_a_RL, draws_b_RL, confidence, note, n_permutations)


def agreements(profiles: Sequence[Profile], *, n_permutations: int = 4999) -> list[Agreement]:
    """Every pair of profiles that differs in exactly one of task, model and algorithm, and every pair of seeds."""
    found = [
        agreement(a, b, n_permutations=n_permutations)
        for a, b in combinations(profiles, 2)
        if sum(getattr(a, kind) != getattr(b, kind) for kind in KINDS) == 1
    ]
    for profile in profiles:
        if profile.seed_draws_RSL is None:
            continue
        for s, t in combinations(range(len(profile.seeds)), 2):
            pair = _compared(
                f"{profile.name} · seed {profile.seeds[s]}",
                f"{profile.name} · seed {profile.seeds[t]}",
                "seed",
                profile.seed_gain_SL[s],
                profile.seed_gain_SL[t],
                profile.seed_draws_RSL[:, s],
                profile.seed_draws_RSL[:, t],
                profile.confidence,
                "Same panel items.",
                n_permutations,
            )
            found.append(pair)
    return found


def _compared(
    a: str,
    b: str,
    kind: str,
    gain_a_L: NDArray[np.float64],
    gain_b_L: NDArray[np.float64],
    draws_a_RL: NDArray[np.float64],
    draws_b_RL: NDArray[np.float64],
    confidence: float,
    note: str,
    n_permutations: int,
) -> Agreement:
    nothing = Estimate(np.nan, np.nan, np.nan)
    blocks = len(gain_a_L)
    if blocks < FEWEST_BLOCKS or min(np.ptp(gain_a_L), np.ptp(gain_b_L)) < 1e-12:
        why = "The gains do not vary." if blocks >= FEWEST_BLOCKS else f"Fewer than {FEWEST_BLOCKS} common blocks."
        return Agreement(a, b, kind, blocks, nothing, nothing, f"{note} {why}".strip())
    rows = min(len(draws_a_RL), len(draws_b_RL), _DRAWS)
    away_RL = draws_a_RL[:rows] - gain_a_L, draws_b_RL[:rows] - gain_b_L
    true_RL = _true_gains(gain_a_L, gain_b_L, *away_RL)
    spearman, kendall = (
        _estimate(measure, gain_a_L, gain_b_L, true_RL, confidence, n_permutations) for measure in (_spearman, _kendall)
    )
    return Agreement(a, b, kind, blocks, spearman, kendall, f"{note} {_neighbours(gain_a_L, gain_b_L)}".strip())


def _estimate(
    measure: Measure,
    gain_a_L: NDArray[np.float64],
    gain_b_L: NDArray[np.float64],
    true_RL: Pair,
    confidence: float,
    n_permutations: int,
) -> Estimate:
    """A rank correlation, the interval of the true gains' one, and a permutation p-value (Phipson and Smyth 2010)."""
    value = float(measure(gain_a_L[None], gain_b_L[None])[0])
    shuffled_PL = np.random.default_rng(0).permuted(np.tile(gain_b_L, (n_permutations, 1)), axis=1)
    null_P = measure(np.broadcast_to(gain_a_L, shuffled_PL.shape), shuffled_PL)
    p = float((np.sum(np.abs(null_P) >= abs(value) - 1e-12) + 1) / (n_permutations + 1))
    low, high = percentiles(measure(*true_RL), confidence)
    return Estimate(value, low, high, p)


def _true_gains(
    gain_a_L: NDArray[np.float64],
    gain_b_L: NDArray[np.float64],
    away_a_RL: NDArray[np.float64],
    away_b_RL: NDArray[np.float64],
) -> Pair:
    """Draws of two profiles' true gains, given the found ones and their noise.

    Noise lowers a correlation (Spearman 1904), and draws that add noise once more would lower it further. So: over the
    blocks, pairs of true gains scatter with one covariance, found pairs with that plus the noise's. The covariance of
    the found is drawn (inverse Wishart), the noise's taken off, and each block's pair drawn given what was found
    (empirical Bayes with normal gains). Items that both profiles share make their noise correlate; that is in it.
    """
    rng = np.random.default_rng(0)
    found_2L = np.stack([gain_a_L - gain_a_L.mean(), gain_b_L - gain_b_L.mean()])
    noise_22 = _noise(away_a_RL, away_b_RL)
    rows, degrees = len(away_a_RL), len(gain_a_L) - 1
    scale_22 = found_2L @ found_2L.T + 1e-12 * np.diag(found_2L.var(axis=1))
    total_R22 = stats.invwishart(degrees, scale_22).rvs(rows, random_state=rng)
    size_R2, axis_R22 = np.linalg.eigh(total_R22 - noise_22)
    true_R22 = np.einsum("rij,rj,rkj->rik", axis_R22, np.maximum(size_R2, 1e-9 * noise_22.trace() + 1e-18), axis_R22)
    kept_R22 = true_R22 @ np.linalg.inv(true_R22 + noise_22)
    left_R22 = true_R22 - kept_R22 @ true_R22
    size_R2, axis_R22 = np.linalg.eigh((left_R22 + left_R22.transpose(0, 2, 1)) / 2)
    spread_R22 = axis_R22 * np.sqrt(np.maximum(size_R2, 0.0))[:, None, :]
    drawn_R2L = kept_R22 @ found_2L + spread_R22 @ rng.standard_normal((rows, 2, len(gain_a_L)))
    return drawn_R2L[:, 0], drawn_R2L[:, 1]


def _noise(away_a_RL: NDArray[np.float64], away_b_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of two profiles' noise, common shifts taken out, averaged over blocks; extreme draws are cut."""
    cut = []
    for away_RL in (away_a_RL, away_b_RL):
        apart_RL = away_RL - away_RL.mean(axis=1, keepdims=True)
        quarter_L, three_quarters_L = np.quantile(apart_RL, [0.25, 0.75], axis=0)
        # Three standard deviations of a normal distribution with these quartiles.
        most_L = 3 * (three_quarters_L - quarter_L) / 1.349
        cut.append(np.clip(apart_RL, -most_L, most_L))
    blocks = away_a_RL.shape[1]
    return np.array([[float(np.mean(x_RL * y_RL)) for y_RL in cut] for x_RL in cut]) * blocks / (blocks - 1)


def _spearman(a_RL: NDArray[np.float64], b_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    rank_a_RL, rank_b_RL = (stats.rankdata(x_RL, axis=1) for x_RL in (a_RL, b_RL))
    return _pearson(rank_a_RL, rank_b_RL)


def _kendall(a_RL: NDArray[np.float64], b_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tau-b: the Pearson correlation of the signs of all pairs of blocks, about 0."""
    first, second = np.triu_indices(a_RL.shape[1], 1)
    sign_a, sign_b = (np.sign(x_RL[:, first] - x_RL[:, second]) for x_RL in (a_RL, b_RL))
    size = np.sqrt((sign_a**2).sum(axis=1) * (sign_b**2).sum(axis=1))
    return np.divide((sign_a * sign_b).sum(axis=1), size, out=np.zeros_like(size), where=size > 0)


def _pearson(a_RL: NDArray[np.float64], b_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    a_RL, b_RL = (x_RL - x_RL.mean(axis=1, keepdims=True) for x_RL in (a_RL, b_RL))
    size = np.sqrt((a_RL**2).sum(axis=1) * (b_RL**2).sum(axis=1))
    return np.divide((a_RL * b_RL).sum(axis=1), size, out=np.zeros_like(size), where=size > 0)


def _interpolation(known_L: NDArray[np.float64], wanted_L: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix that reads values known at some depths off at others, linearly."""
    return np.column_stack([np.interp(wanted_L, known_L, unit_L) for unit_L in np.eye(len(known_L))])


def _neighbours(a_L: NDArray[np.float64], b_L: NDArray[np.float64]) -> str:
    """A warning where both profiles are smooth: then far fewer orders of the blocks are equally likely."""
    alike = [float(_pearson(x_L[None, :-1], x_L[None, 1:])[0]) for x_L in (a_L, b_L)]
    if min(alike) < 2 / np.sqrt(len(a_L)):
        return ""
    shifted = np.array([np.roll(turned_L, k) for turned_L in (b_L, b_L[::-1]) for k in range(len(b_L))])
    null = _spearman(np.broadcast_to(a_L, shifted.shape), shifted)
    p = float(np.mean(np.abs(null) >= abs(null[0]) - 1e-12))
    return f"Neighbouring blocks are alike, which makes p too small; by shifting whole profiles it is {p:.2f}."
