"""Figures of a study: contribution against relative depth, one panel per task, model and algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.comparison import Arm, Comparison

# Okabe and Ito (2008): told apart by every kind of colour vision.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6E6E6E"


def draw_contributions(comparisons: Sequence[Comparison], path: Path, confidence: float = 0.95) -> bool:
    """Draw every comparison that has a resolved block into one PNG at ``path``.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    shown = [(comparison, arms) for comparison in comparisons if (arms := _resolved(comparison))]
    if not shown:
        return False
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(max(4.6 * columns, 6.0), 3.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, (comparison, arms) in zip(axes.flat, shown, strict=False):
        _panel(axis, comparison, arms)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(f"contribution C, {confidence:.0%} interval")
    axes[0, 0].set_ylim(*_limits([arm for _, arms in shown for arm in arms]))
    figure.savefig(path, dpi=150, metadata={"Software": None})
    return True


def _resolved(comparison: Comparison) -> list[Arm]:
    return [arm for arm in comparison.arms if arm.depth is not None and arm.contribution and arm.contribution.resolved]


def _panel(axis: Axes, comparison: Comparison, arms: list[Arm]) -> None:
    result = comparison.result
    for height, word in ((0.0, "base"), (1.0, "full")):
        axis.axhline(height, color=GREY, linewidth=1, linestyle="--", zorder=1)
        axis.annotate(word, (1.0, height), xycoords=("axes fraction", "data"), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=9, color=GREY)  # fmt: skip
    single = [arm for arm in arms if len(arm.result.blocks) == 1]
    several = [arm for arm in arms if len(arm.result.blocks) > 1]
    _points(axis, single, BLUE, "o", "one block")
    _points(axis, several, ORANGE, "s", "several blocks")
    for arm in several:
        ends = np.array([min(arm.result.blocks), max(arm.result.blocks)]) / (result.n_blocks - 1)
        axis.plot(ends, [_found(arm)[0]] * 2, color=ORANGE, linewidth=2, alpha=0.5, zorder=2)
    if single and several:
        axis.legend(frameon=False, fontsize=8, loc="best")
    axis.set_xlim(-0.04, 1.04)
    axis.set_title(f"{result.task} · {result.model} · {result.algorithm}", fontsize=10)
    axis.set_xlabel(f"relative depth (0: first of {result.n_blocks} blocks, 1: last)")
    axis.spines[["top", "right"]].set_visible(False)
    counts = {len(arm.seeds) for arm in arms}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    panel = f"{result.split}: {len(result.panel['items'])} items x {result.panel['samples']} samples"
    covers = "intervals: items only" if counts == {1} else "intervals: items, and seeds where several"
    words = f"{panel}; training seeds: {seeds}; {covers}"
    axis.text(0.01, 0.01, words, transform=axis.transAxes, fontsize=7, color=GREY, va="bottom")


def _points(axis: Axes, arms: list[Arm], colour: str, marker: str, label: str) -> None:
    if not arms:
        return
    depth = np.array([arm.depth for arm in arms], dtype=float)
    value, low, high = np.array([_found(arm) for arm in arms]).T
    # A percentile interval need not contain the point estimate, and matplotlib takes no negative bar.
    bars = np.clip([value - low, high - value], 0, None)
    if len(arms) > 1 and marker == "o":
        axis.plot(depth, value, color=colour, linewidth=1, alpha=0.4, zorder=2)
    axis.errorbar(depth, value, yerr=bars, fmt=marker, color=colour, markersize=5, elinewidth=1.3, capsize=2.5,
                  label=label, zorder=3)  # fmt: skip


def _found(arm: Arm) -> tuple[float, float, float]:
    assert arm.contribution is not None
    return arm.contribution.value, arm.contribution.low, arm.contribution.high


def _limits(arms: list[Arm]) -> tuple[float, float]:
    """Axis limits that hold every point and both anchors; an interval far outside of them is cut at the edge."""
    value, low, high = np.array([_found(arm) for arm in arms]).T
    bottom = max(low.min(), value.min() - 1.0)
    top = min(high.max(), value.max() + 1.0)
    return min(bottom, 0.0) - 0.18, max(top, 1.0) + 0.08
