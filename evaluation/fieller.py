"""Fieller's interval of a ratio of two differences, the cross-check of a contribution's (Fieller 1954).

Shapes: ``_S`` training seeds, ``_I`` panel items.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from evaluation.variance import SeedSpread, moderated, seed_variance, standard_error


def fieller_interval(
    base_SI: np.ndarray,
    full_SI: np.ndarray,
    layer_SI: np.ndarray,
    *,
    confidence: float,
    seeds_match: bool,
    spread: SeedSpread | None,
) -> tuple[float, float]:
    """All ratios c for which layer - base - c (full - base) may have mean 0, by Student's t.

    Args:
        base_SI: item means of the untrained model, as a rule one seed.
        full_SI: item means after training everything.
        layer_SI: item means after training the layer.
        confidence: coverage of the interval.
        seeds_match: full and layer have the same training seeds.
        spread: what all arms of the study say about seeds.

    Returns:
        Its ends; nan where the set is no interval, because the gain of full may be 0.
    """
    part, gain = float(layer_SI.mean() - base_SI.mean()), float(full_SI.mean() - base_SI.mean())
    if gain == 0:
        return np.nan, np.nan

    def contrast(ratio: float) -> tuple[float, float]:
        return contrast_variance(base_SI, full_SI, layer_SI, ratio, seeds_match, spread)

    _, df = contrast(part / gain)
    critical = float(stats.t.ppf((1 + confidence) / 2, df)) ** 2
    # The variance is a parabola in the ratio, but where a seed variance of 0 is cut: three points give it.
    at_0, at_1, at_minus_1 = (contrast(ratio)[0] for ratio in (0.0, 1.0, -1.0))
    square, mixed = (at_1 + at_minus_1) / 2 - at_0, (at_1 - at_minus_1) / 2
    a = gain**2 - critical * square
    half_b = -part * gain - critical * mixed / 2
    c = part**2 - critical * at_0
    if a <= 0 or half_b**2 < a * c:
        return np.nan, np.nan
    root = np.sqrt(half_b**2 - a * c)
    return float((-half_b - root) / a), float((-half_b + root) / a)


def contrast_variance(
    base_SI: np.ndarray,
    full_SI: np.ndarray,
    layer_SI: np.ndarray,
    ratio: float,
    seeds_match: bool,
    spread: SeedSpread | None,
) -> tuple[float, float]:
    """Variance of layer - base - ratio (full - base), and its degrees of freedom (Satterthwaite 1946)."""
    base_I, full_I = base_SI.mean(axis=0), full_SI.mean(axis=0)
    if spread is None and seeds_match:
        error, df = standard_error(layer_SI - ratio * full_SI - (1 - ratio) * base_I)
        return error**2, df
    contrast_I = layer_SI.mean(axis=0) - ratio * full_I - (1 - ratio) * base_I
    of_items, items = float(contrast_I.var(ddof=1)) / len(contrast_I), len(contrast_I)
    parts, squares, shared = [], of_items**2 / (items - 1), []
    for arm_SI, weight in ((layer_SI, 1.0), (full_SI, -ratio)):
        if len(arm_SI) > 1:
            total, rest = seed_variance(arm_SI)
            variance, df = moderated(total, len(arm_SI) - 1, spread, float(arm_SI.mean()))
            effect = max(variance - rest, 0.0) / len(arm_SI)
            parts.append(weight**2 * effect)
            shared.append(weight * np.sqrt(effect))
            squares += (weight**2 * variance / len(arm_SI)) ** 2 / df
    together = 0.0
    if spread is not None and seeds_match and len(shared) == 2:
        together = 2 * spread.correlation * float(np.prod(shared))
    variance = of_items + sum(parts) + together
    return variance, float(max(variance**2 / squares, 1.0)) if squares else 1.0
