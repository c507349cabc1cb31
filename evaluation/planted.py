"""Studies made of numbers alone, with true scores that are known: for calibration, for planning, for tests.

An answer is right with probability sigmoid(level of the arm + item + item for this arm + seed + item for this seed),
all normal, so an arm's true score is an integral over one normal variable. Item difficulty is shared by all arms. A
training seed moves a whole trained arm, in part the same way in all arms. The untrained model has no training seed.
Answers are Bernoulli draws.

Shapes: ``_L`` trained arms, ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit


@dataclass(frozen=True)
class Noise:
    """Standard deviations in logits; a quarter of a logit is about 0.05 in a score near one half."""

    item: float = 1.2
    arm_item: float = 0.5
    seed: float = 0.2
    seed_item: float = 0.3
    shared: float = 0.3
    """Share of the seed effect's variance that all arms with the same training seed have in common."""


class Planted:
    """An untrained model and trained arms with known true scores."""

    def __init__(self, base: float, trained_L: Sequence[float], noise: Noise | None = None) -> None:
        """Find the level of every arm.

        Args:
            base: true score of the untrained model.
            trained_L: true scores of the trained arms.
            noise: what makes studies differ.

        Raises:
            ValueError: a true score outside of (0, 1).
        """
        if not all(0 < score < 1 for score in (base, *trained_L)):
            raise ValueError(f"true scores must lie between 0 and 1, found {base} and {list(trained_L)}")
        self.noise = noise or Noise()
        self.base, self.trained_L = base, np.array(trained_L, dtype=float)
        untrained = np.hypot(self.noise.item, self.noise.arm_item)
        trained = float(np.sqrt(untrained**2 + self.noise.seed**2 + self.noise.seed_item**2))
        self._base_level, self._level_L = _levels([base], float(untrained))[0], _levels(trained_L, trained)

    def draw(
        self, rng: np.random.Generator, items: int, samples: int, seeds: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """One study: ``base_SIK`` of one seed and ``trained_LSIK``, outcomes 0 or 1."""
        noise, arms = self.noise, len(self._level_L)
        item_I = noise.item * rng.standard_normal(items)
        base_I = expit(self._base_level + item_I + noise.arm_item * rng.standard_normal(items))
        common_S = np.sqrt(noise.shared) * rng.standard_normal(seeds)
        seed_LS = noise.seed * (common_S + np.sqrt(1 - noise.shared) * rng.standard_normal((arms, seeds)))
        logit_LSI = self._level_L[:, None, None] + item_I + seed_LS[..., None]
        logit_LSI += noise.arm_item * rng.standard_normal((arms, 1, items))
        logit_LSI += noise.seed_item * rng.standard_normal((arms, seeds, items))
        base_SIK = rng.random((1, items, samples)) < base_I[:, None]
        trained_LSIK = rng.random((*logit_LSI.shape, samples)) < expit(logit_LSI)[..., None]
        return base_SIK.astype(float), trained_LSIK.astype(float)


def _levels(scores: Sequence[float], spread: float) -> NDArray[np.float64]:
    """The logits whose mean probability is each of ``scores`` when a normal of that standard deviation is added."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    grid = np.linspace(-12, 12, 4001)
    return np.interp(scores, (expit(grid[:, None] + spread * node) * weight).sum(axis=1) / weight.sum(), grid)
