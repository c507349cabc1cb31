"""What makes two trained arms differ by luck: items, training seeds and sampled answers, measured or planted.

Shapes: ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evaluation.comparison import Comparison
from evaluation.planted import Planted
from evaluation.stats import as_SIK
from evaluation.variance import seed_variance


@dataclass(frozen=True)
class DifferenceNoise:
    """Variances of the difference of two trained arms that answer the same items with the same training seeds."""

    item: float
    """Items on which one arm is better than the other, whatever the seed."""
    seed: float
    """Luck of training, moving a whole arm."""
    seed_item: float
    """Luck of training, item by item."""
    sampling: float
    """Luck of one sampled answer per arm."""

    def error(self, items: int, samples: int, seeds: int, arms: int) -> tuple[float, float]:
        """Standard error of the difference and its degrees of freedom (Satterthwaite 1946).

        Args:
            items: panel items.
            samples: per item.
            seeds: training seeds; with 1 the luck of training is in no interval, so it is left out here, too.
            arms: trained arms whose seeds are pooled for the variance of luck.
        """
        rest = self.seed_item + self.sampling / samples
        of_items = (self.item + rest / seeds) / items
        of_seeds = self.seed / seeds if seeds > 1 else 0.0
        parts = of_items**2 / max(items - 1, 1)
        if seeds > 1:
            parts += (of_seeds + rest / (seeds * items)) ** 2 / ((seeds - 1) * arms)
        variance = of_items + of_seeds
        return float(np.sqrt(variance)), variance**2 / parts if parts > 0 else np.inf


def noise_of(a_SIK: NDArray[np.float64], b_SIK: NDArray[np.float64]) -> DifferenceNoise:
    """Variance components of ``a - b`` by the analysis of variance; none is below 0.

    Args:
        a_SIK: outcomes of one arm, free of nan.
        b_SIK: outcomes of another on the same items; seed s and sample k belong together.
    """
    apart_SIK = as_SIK(a_SIK) - as_SIK(b_SIK)
    seeds, items, samples = apart_SIK.shape
    mean_SI = apart_SIK.mean(axis=2)
    sampling = float(apart_SIK.var(axis=2, ddof=1).mean()) if samples > 1 else 0.0
    of_items = float(mean_SI.mean(axis=0).var(ddof=1))
    if seeds == 1:
        return DifferenceNoise(max(of_items - sampling / samples, 0.0), 0.0, 0.0, sampling)
    total, rest = seed_variance(mean_SI)
    rest *= items
    return DifferenceNoise(
        item=max(of_items - rest / seeds, 0.0),
        seed=max(total - rest / items, 0.0),
        seed_item=max(rest - sampling / samples, 0.0),
        sampling=sampling,
    )


def mean_noise(noises: Sequence[DifferenceNoise]) -> DifferenceNoise:
    """The average of each variance."""
    return DifferenceNoise(*np.mean([(n.item, n.seed, n.seed_item, n.sampling) for n in noises], axis=0).tolist())


def noise_of_study(comparison: Comparison) -> tuple[DifferenceNoise, int] | None:
    """Noise averaged over all pairs of trained arms with the same seeds, and how many arms there are.

    Returns:
        None with fewer than two such arms.
    """
    trained = [arm for arm in comparison.arms if arm.layer != "base"]
    arms = [arm for arm in trained if arm.seeds == trained[0].seeds]
    complete_I = np.all([np.isfinite(arm.after_SIK).all(axis=(0, 2)) for arm in arms], axis=0) if arms else np.array([])
    if len(arms) < 2 or complete_I.sum() < 2:
        return None
    scores = [arm.after_SIK[:, complete_I] for arm in arms]
    return mean_noise([noise_of(a_SIK, b_SIK) for a_SIK, b_SIK in combinations(scores, 2)]), len(arms)


def planted_noise(base: float, full: float, difference: float) -> DifferenceNoise:
    """Noise of full against an arm that scores ``difference`` less, from one very large simulated study.

    Raises:
        ValueError: a score outside of (0, 1).
    """
    study = Planted(base, [full, full - difference if full - difference > 0 else full / 2])
    _, trained_LSIK = study.draw(np.random.default_rng(0), items=2000, samples=4, seeds=60)
    return noise_of(*trained_LSIK)
