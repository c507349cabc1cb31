"""Contribution against relative depth of every arm that trains a part: single blocks, and groups of blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from evaluation.comparison import Arm, Comparison
from evaluation.report.figures.style import (
    BLUE,
    INK,
    ORANGE,
    anchor_lines,
    bars,
    heading,
    mark_cut,
    panels,
    rests_on,
    save,
    styled,
)
from evaluation.report.view import StudyView


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison that has a resolved contribution; return whether there was one."""
    shown = [(comparison, arms) for comparison in view.comparisons if (arms := _resolved(comparison))]
    if not shown:
        return False
    figure, axes = panels(len(shown))
    limits = _limits([arm for _, arms in shown for arm in arms])
    for axis, (comparison, arms) in zip(axes, shown, strict=True):
        _panel(axis, comparison, arms)
        axis.set_ylim(*limits)
        depth = np.array([arm.depth for arm in arms], dtype=float)
        _, low, high = np.array([_found(arm) for arm in arms]).T
        mark_cut(axis, depth, low, high, INK)
        axis.set_ylabel(f"contribution C, {view.confidence:.0%} interval")
    save(figure, path)
    return True


def _resolved(comparison: Comparison) -> list[Arm]:
    return [arm for arm in comparison.arms if arm.depth is not None and arm.contribution and arm.contribution.resolved]


def _panel(axis: Axes, comparison: Comparison, arms: list[Arm]) -> None:
    n_blocks = comparison.result.n_blocks
    anchor_lines(axis, {"base": 0.0, "full": 1.0})
    single = [arm for arm in arms if len(arm.result.blocks) == 1]
    several = [arm for arm in arms if len(arm.result.blocks) > 1]
    _points(axis, single, BLUE, "o", "one block")
    _points(axis, several, ORANGE, "s", "several blocks")
    for arm in several:
        ends = np.array([min(arm.result.blocks), max(arm.result.blocks)]) / (n_blocks - 1)
        axis.plot(ends, [_found(arm)[0]] * 2, color=ORANGE, linewidth=2, alpha=0.5, zorder=2)
    if single and several:
        axis.legend(loc="best")
    axis.set_xlim(-0.04, 1.04)
    heading(axis, comparison, rests_on(comparison, {len(arm.seeds) for arm in arms}))
    axis.set_xlabel(f"relative depth (0: first of {n_blocks} blocks, 1: last)")


def _points(axis: Axes, arms: list[Arm], colour: str, marker: str, label: str) -> None:
    if not arms:
        return
    depth = np.array([arm.depth for arm in arms], dtype=float)
    value, low, high = np.array([_found(arm) for arm in arms]).T
    if len(arms) > 1 and marker == "o":
        axis.plot(depth, value, color=colour, linewidth=1, alpha=0.4, zorder=2)
    axis.errorbar(depth, value, yerr=bars(value, low, high), fmt=marker, color=colour, markersize=5, elinewidth=1.3,
                  capsize=2.5, label=label, zorder=3)  # fmt: skip


def _found(arm: Arm) -> tuple[float, float, float]:
    assert arm.contribution is not None
    return arm.contribution.value, arm.contribution.low, arm.contribution.high


def _limits(arms: list[Arm]) -> tuple[float, float]:
    """Axis limits that hold every point and both anchors; an interval far outside of them is cut at the edge."""
    value, low, high = np.array([_found(arm) for arm in arms]).T
    bottom = max(low.min(), value.min() - 1.0)
    top = min(high.max(), value.max() + 1.0)
    return min(bottom, 0.0) - 0.08, max(top, 1.0) + 0.08
