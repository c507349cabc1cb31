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
            names = [f"{profile.name} · seed {profile.seeds[seed]}" for seed in (s, t)]
            gains = profile.seed_gain_SL[s], profile.seed_gain_SL[t]
            draws = profile.seed_draws_RSL[:, s], profile.seed_draws_RSL[:, t]
            found.append(
                _compared(*names, "seed", *gains, *draws, profile.confidence, "Same panel items.", n_permutations)
            )
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
    found = [
        _estimate(measure, gain_a_L, gain_b_L, *away_RL, confidence, n_permutations)
        for measure in (_spearman, _kendall)
    ]
    return Agreement(a, b, kind, blocks, *found, f"{note} {_neighbours(gain_a_L, gain_b_L)}".strip())


def _estimate(
    measure: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    gain_a_L: NDArray[np.float64],
    gain_b_L: NDArray[np.float64],
    away_a_RL: NDArray[np.float64],
    away_b_RL: NDArray[np.float64],
    confidence: float,
    n_permutations: int,
) -> Estimate:
    """A rank correlation, the interval of the true profiles' one, and a permutation p-value.

    The draws' noise is added to profiles that are shrunk to the variance of the true ones, so the draws tell how much
    noise lowers a correlation (Spearman's attenuation, 1904) and how much it scatters; both are undone on Fisher's
    scale. Items that both profiles share make their noise alike and raise it: that shift is taken off, too.
    """
    value = float(measure(gain_a_L[None], gain_b_L[None])[0])
    rng = np.random.default_rng(0)
    shuffled_PL = rng.permuted(np.tile(gain_b_L, (n_permutations, 1)), axis=1)
    null_P = measure(np.broadcast_to(gain_a_L, shuffled_PL.shape), shuffled_PL)
    p = float((np.sum(np.abs(null_P) >= abs(value) - 1e-12) + 1) / (n_permutations + 1))
    shrunk_a_L, shrunk_b_L = _shrunk(gain_a_L, away_a_RL), _shrunk(gain_b_L, away_b_RL)
    noisy_a_RL, noisy_b_RL = shrunk_a_L + away_a_RL, shrunk_b_L + away_b_RL
    kept_a, kept_b = (
        float(measure(np.broadcast_to(shrunk_L, noisy_RL.shape), noisy_RL).mean())
        for shrunk_L, noisy_RL in ((shrunk_a_L, noisy_a_RL), (shrunk_b_L, noisy_b_RL))
    )
    lowered = kept_a * kept_b
    if lowered < 0.1:
        # All that varies is noise: the true profiles may be related in any way.
        return Estimate(value, -1.0, 1.0, p)
    draw_R = measure(noisy_a_RL, noisy_b_RL)
    shift = float(draw_R.mean()) - lowered * value
    scatter_R = _fisher(draw_R) - _fisher(draw_R.mean())
    tail = (1 - confidence) / 2
    ends = np.tanh(_fisher(value) - np.quantile(scatter_R, [1 - tail, tail]))
    low, high = np.clip((ends - shift) / lowered, -1.0, 1.0)
    return Estimate(value, float(low), float(high), p)


def _shrunk(gain_L: NDArray[np.float64], away_RL: NDArray[np.float64]) -> NDArray[np.float64]:
    """The profile drawn towards its mean until its variance is that of the true gains; flat where all is noise."""
    apart_RL = away_RL - away_RL.mean(axis=1, keepdims=True)
    quarter_L, three_quarters_L = np.quantile(apart_RL, [0.25, 0.75], axis=0)
    noise = float(np.mean(((three_quarters_L - quarter_L) / 1.349) ** 2)) * len(gain_L) / (len(gain_L) - 1)
    signal = max(0.0, 1 - noise / float(gain_L.var(ddof=1)))
    return gain_L.mean() + np.sqrt(signal) * (gain_L - gain_L.mean())


def _fisher(correlation: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.arctanh(np.clip(correlation, -0.999, 0.999))


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
