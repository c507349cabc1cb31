"""The contribution of a layer, C_l = (S_l - S_base) / (S_full - S_base), with an interval (arXiv 2607.01232, sec. 3).

Shapes: ``_S`` training seeds (each arm its own number), ``_I`` panel items, ``_K`` samples per item, ``_R`` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.fieller import contrast_variance, fieller_interval
from evaluation.stats import as_SIK, complete_items, constant_interval, paired_difference, resampled_means
from evaluation.variance import SeedSpread


@dataclass(frozen=True)
class Contribution:
    """How much of full training's gain one layer recovers: 0 is the untrained model, 1 is full training.

    ``gain`` is S_full - S_base. ``resolved`` is false, and ``value`` nan, where the interval of ``gain`` contains 0;
    ``reason`` says so in words. ``tie`` is true where S_l and S_full are equal. ``n_seeds`` is the smaller number of
    training seeds of the two trained arms: with 1, the interval covers the choice of panel items only.
    """

    value: float
    low: float
    high: float
    resolved: bool
    gain: float
    gain_low: float
    gain_high: float
    tie: bool
    reason: str
    n_seeds: int
    n_items: int
    p_at_least_full: float = np.nan
    """Share of the draws in which the layer recovers all of the gain, C >= 1; ties count half. nan: not resolved."""
    fieller_low: float = np.nan
    """Fieller's interval of the same ratio, a cross-check without resampling; nan where it has no end."""
    fieller_high: float = np.nan


def contribution(
    base_SIK: np.ndarray,
    full_SIK: np.ndarray,
    layer_SIK: np.ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10000,
    seed: int = 0,
    seeds_match: bool = False,
    spread: SeedSpread | None = None,
) -> Contribution:
    """Compute C_l from scores of three arms on one panel, by a paired bootstrap over items and training seeds.

    Args:
        base_SIK: outcomes of the untrained model, in [0, 1]; nan is no score. Usually S = 1, it does not train.
        full_SIK: outcomes after training everything.
        layer_SIK: outcomes after training the layer.
        confidence: coverage of the intervals.
        n_resamples: bootstrap resamples.
        seed: of the resampling.
        seeds_match: seed s of ``full_SIK`` and of ``layer_SIK`` are the same training seed; they are drawn together.
        spread: what all arms of the study say about seeds (``evaluation.variance.pooled_spread``).

    Returns:
        C_l with percentiles of the resampled ratio (``evaluation.stats.resampled_means``). A draw whose gain has the
        other sign tells nothing about the ratio; it counts as minus infinity for the lower limit and as plus infinity
        for the upper one.

    Raises:
        ValueError: the panels differ in size, no item has a score in all arms, or ``seeds_match`` with unequal S.
    """
    base_SIK, full_SIK, layer_SIK = as_SIK(base_SIK), as_SIK(full_SIK), as_SIK(layer_SIK)
    if seeds_match and len(full_SIK) != len(layer_SIK):
        raise ValueError(f"seeds_match: full has {len(full_SIK)} training seeds, the layer {len(layer_SIK)}")
    arms_SI = complete_items(base_SIK, full_SIK, layer_SIK)
    base, full, layer = (float(arm_SI.mean()) for arm_SI in arms_SI)
    base_SI, full_SI, layer_SI = arms_SI
    gain = paired_difference(full_SI[..., None], base_SI[..., None], confidence, n_resamples, seed, spread)
    value, low, high, reason, at_least, ends = np.nan, np.nan, np.nan, "", np.nan, (np.nan, np.nan)
    if gain.low <= 0 <= gain.high:
        interval = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        reason = f"C is n/a: full training's gain {interval} cannot be told from 0."
    else:
        groups = (0, 1, 1 if seeds_match else 2)
        ratio = (layer - base) / (full - base)
        df = None if spread else contrast_variance(base_SI, full_SI, layer_SI, ratio, seeds_match, None)[1]
        base_R, full_R, layer_R = resampled_means(
            arms_SI, n_resamples=n_resamples, seed=seed, seed_groups=groups, spread=spread, df=df
        )
        low, high = _ratio_interval(layer_R - base_R, full_R - base_R, np.sign(gain.value), confidence)
        value, least = ratio, least_half_width(base_SI, full_SI, layer_SI, confidence)
        low, high = min(low, value - least), max(high, value + least)
        if not np.isfinite([low, high]).all():
            value, low, high = np.nan, np.nan, np.nan
            reason = f"C is n/a: full training's gain {gain.value:+.3f} is so close to 0 that C's interval has no end."
        else:
            at_least = share_at_least(np.sign(gain.value) * (layer_R - full_R))
            ends = fieller_interval(
                base_SI, full_SI, layer_SI, confidence=confidence, seeds_match=seeds_match, spread=spread
            )
        if np.isfinite(value) and gain.value < 0:
            reason = f"Full training lowered the score by {-gain.value:.3f}: C is a share of that loss."
    return Contribution(
        value=value,
        low=low,
        high=high,
        resolved=bool(np.isfinite(value)),
        gain=gain.value,
        gain_low=gain.low,
        gain_high=gain.high,
        tie=bool(np.isclose(layer, full, rtol=0, atol=1e-12)),
        reason=reason,
        n_seeds=min(len(full_SIK), len(layer_SIK)),
        n_items=gain.n_items,
        p_at_least_full=at_least,
        fieller_low=ends[0],
        fieller_high=ends[1],
    )


def least_half_width(base_SI: np.ndarray, full_SI: np.ndarray, layer_SI: np.ndarray, confidence: float) -> float:
    """Half the width of C's interval where the layer equals base, or full, on every item: there no draw varies.

    As in ``evaluation.stats.constant_interval``, a few other items might differ. 0 where items do vary.
    """
    if min(np.ptp(layer_SI - other_SI.mean(axis=0)) for other_SI in (base_SI, full_SI)) > 1e-12:
        return 0.0
    _, most = constant_interval(0.0, layer_SI.shape[1], (-1.0, 1.0), confidence)
    return most / abs(float(full_SI.mean() - base_SI.mean()))


def share_at_least(difference_R: np.ndarray) -> float:
    """Share of the draws that are positive; a draw of exactly 0 is a tie and counts half."""
    tie_R = np.abs(difference_R) < 1e-12
    return float(np.mean(np.where(tie_R, 0.5, difference_R > 0)))


def ratio_draws(part_R: np.ndarray, gain_R: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Draws of ``part_R / gain_R`` and which of them are usable: those whose gain has the ``sign`` of full's."""
    usable_R = gain_R * sign > 1e-12
    return np.divide(part_R, gain_R, out=np.zeros_like(part_R), where=usable_R), usable_R


def _ratio_interval(part_R: np.ndarray, gain_R: np.ndarray, sign: float, confidence: float) -> tuple[float, float]:
    """Percentile interval of ``part_R / gain_R`` where draws without the gain's ``sign`` count against both limits."""
    ratio_R, usable_R = ratio_draws(part_R, gain_R, sign)
    # Quantiles that are draws themselves: interpolating towards an infinity gives nan.
    tail = (1 - confidence) / 2
    low = np.quantile(np.where(usable_R, ratio_R, -np.inf), tail, method="inverted_cdf")
    high = np.quantile(np.where(usable_R, ratio_R, np.inf), 1 - tail, method="inverted_cdf")
    return float(low), float(high)
