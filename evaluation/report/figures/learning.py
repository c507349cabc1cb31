"""Learning curves: reward, entropy, length of answers and groups without signal, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from evaluation.comparison import Comparison
from evaluation.formats import title
from evaluation.learning import Curve
from evaluation.report.figures.style import BLUE, GREY, INK, ORANGE, PALE, panels, save, styled
from evaluation.report.landmarks import best_single
from evaluation.report.view import StudyView

METRICS = {
    "success": "training episodes solved",
    "entropy": "entropy of the answers (nats per token)",
    "response_tokens": "tokens per answer",
    "zero_variance_groups": "share of groups without signal",
}
WINDOW = 5
"""Steps in the moving average, centred."""


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison with curves; return whether there was one."""
    shown = [(c, curves) for c in view.comparisons if (curves := _long(view.curves_of(c)))]
    if not shown:
        return False
    figure, axes = panels(len(METRICS) * len(shown), width=4.2, height=2.7, columns=2)
    for place, (comparison, curves) in enumerate(shown):
        for axis, name in zip(axes[place * len(METRICS) :], METRICS, strict=False):
            _panel(axis, comparison, curves, name)
        axes[place * len(METRICS)].set_title(title(comparison), loc="left")
        axes[place * len(METRICS)].legend(loc="best", fontsize=8)
    save(figure, path)
    return True


def _long(curves: Sequence[Curve]) -> list[Curve]:
    return [curve for curve in curves if len(curve.step_T) > 1]


def _panel(axis: Axes, comparison: Comparison, curves: Sequence[Curve], name: str) -> None:
    best = best_single(comparison)
    special = {"full": (ORANGE, "full")}
    if best is not None:
        special[best.layer] = (BLUE, f"best block ({best.layer})")
    layers = dict.fromkeys(curve.layer for curve in curves)
    # The arms that have names are drawn last, on top of the grey ones.
    ordered = sorted(layers, key=lambda layer: layer in special)
    first_other = True
    for layer in ordered:
        step_T, mean_T = _mean_curve([curve for curve in curves if curve.layer == layer], name)
        if not len(step_T):
            continue
        colour, label = special.get(layer, (PALE, "other arms" if first_other else None))
        first_other = first_other and layer in special
        axis.plot(step_T, smoothed(mean_T), color=colour, linewidth=2 if layer in special else 0.9, label=label)
    axis.set_ylabel(METRICS[name].replace(" (", "\n("), fontsize=9, color=INK)
    axis.set_xlabel("training step", fontsize=9)
    if name in ("success", "zero_variance_groups"):
        axis.set_ylim(-0.03, 1.03)
    axis.grid(axis="y", color=PALE, linewidth=0.4, alpha=0.6)
    axis.spines["left"].set_color(GREY)


def _mean_curve(curves: Sequence[Curve], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean over training seeds, at the steps that every seed has taken."""
    have = [curve for curve in curves if name in curve.metrics]
    if not have:
        return np.empty(0), np.empty(0)
    steps = sorted(set.intersection(*(set(curve.step_T.tolist()) for curve in have)))
    values = [curve.metrics[name][np.isin(curve.step_T, steps)] for curve in have]
    return np.array(steps), np.mean(values, axis=0)


def smoothed(value_T: np.ndarray) -> np.ndarray:
    """Centred moving average over ``WINDOW`` steps, over fewer at the ends; nan counts for nothing."""
    known_T = np.isfinite(value_T).astype(float)
    total_T = np.convolve(np.where(known_T > 0, value_T, 0.0), np.ones(WINDOW), "full")
    count_T = np.convolve(known_T, np.ones(WINDOW), "full")
    middle = slice(WINDOW // 2, WINDOW // 2 + len(value_T))
    return np.divide(total_T[middle], count_T[middle], out=np.full(len(value_T), np.nan), where=count_T[middle] > 0)
