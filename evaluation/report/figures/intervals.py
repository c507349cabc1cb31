"""Scores with intervals: base, full, the best, the middle and a random block, and groups of blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from evaluation.report.figures.style import BLUE, GREY, INK, ORANGE, PALE, bars, heading, panels, save, styled
from evaluation.report.landmarks import Landmark, landmarks
from evaluation.report.view import StudyView

_COLOURS = {"anchor": INK, "single": BLUE, "several": ORANGE}
_MARKERS = {"anchor": "D", "single": "o", "several": "s"}
_MEANING = {"anchor": "anchor", "single": "one block", "several": "several blocks"}


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison with two landmarks or more; return whether there was one."""
    shown = [(c, found) for c in view.comparisons if len(found := landmarks(c, view.confidence)) > 1]
    if not shown:
        return False
    most = max(len(found) for _, found in shown)
    figure, axes = panels(len(shown), height=1.3 + 0.36 * most)
    for axis, (comparison, found) in zip(axes, shown, strict=True):
        _panel(axis, found)
        heading(axis, comparison)
        axis.set_xlabel(f"score on the panel after training, {view.confidence:.0%} interval")
    save(figure, path)
    return True


def _panel(axis: Axes, found: list[Landmark]) -> None:
    for row, mark in enumerate(found):
        score, colour = mark.score, _COLOURS[mark.kind]
        axis.errorbar([score.value], [row], xerr=bars(*np.array([[score.value], [score.low], [score.high]])),
                      fmt=_MARKERS[mark.kind], color=colour, markersize=6,
                      markerfacecolor="white" if mark.chosen else colour, elinewidth=1.6, capsize=3)  # fmt: skip
        if mark.kind == "anchor":
            axis.axvline(score.value, color=PALE, linewidth=1, linestyle="--", zorder=0)
    axis.set_yticks(range(len(found)), [mark.label for mark in found])
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    kinds = list(dict.fromkeys(mark.kind for mark in found if not mark.chosen))
    keys = [Line2D([], [], marker=_MARKERS[kind], color=_COLOURS[kind], linestyle="", label=_MEANING[kind])
            for kind in kinds]  # fmt: skip
    if any(mark.chosen for mark in found):
        keys.append(
            Line2D(
                [],
                [],
                marker="o",
                color=BLUE,
                markerfacecolor="white",
                linestyle="",
                label="chosen by its score: too high",
            )
        )
    axis.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.4, -0.3 if len(found) < 6 else -0.2), ncols=2,
                fontsize=8.5, handletextpad=0.2)  # fmt: skip
    axis.spines["left"].set_color(GREY)
