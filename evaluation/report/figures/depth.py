"""Contribution of each block against its relative depth, with an interval per block and a band for all at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from evaluation.comparison import Comparison, singles
from evaluation.profiles import Profile
from evaluation.report.figures.style import (
    BLUE,
    GREY,
    PALE,
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
    """Draw every comparison with two or more single blocks; return whether there was one."""
    shown = [(c, p) for c, p in zip(view.comparisons, view.profiles, strict=True) if p is not None]
    if not shown:
        return False
    figure, axes = panels(len(shown))
    for axis, (comparison, profile) in zip(axes, shown, strict=True):
        _panel(axis, comparison, profile, view.confidence)
    save(figure, path)
    return True


def _panel(axis: Axes, comparison: Comparison, profile: Profile, confidence: float) -> None:
    known = bool(np.isfinite(profile.contribution_L).any())
    if known:
        value_L, low_L, high_L = profile.contribution_L, profile.low_L, profile.high_L
        band = profile.simultaneous_low_L, profile.simultaneous_high_L
        axis.fill_between(profile.depth_L, *band, color=BLUE, alpha=0.13, linewidth=0,
                          label=f"{confidence:.0%} for all blocks at once", zorder=1)  # fmt: skip
        anchor_lines(axis, {"base": 0.0, "full": 1.0})
        axis.set_ylabel("contribution C")
        axis.set_ylim(*_limits(value_L, *band))
    else:
        intervals = [arm.gain for arm in singles(comparison) if arm.gain]
        value_L, low_L, high_L = np.array([(i.value, i.low, i.high) for i in intervals]).T
        full = comparison.arm("full")
        anchor_lines(axis, {"base": 0.0, "full": full.gain.value if full and full.gain else np.nan})
        axis.set_ylabel("gain (C is n/a)")
    told_L = profile.p_adjusted_L < 1 - confidence
    axis.plot(profile.depth_L, value_L, color=BLUE, linewidth=1, alpha=0.5, zorder=2)
    for chosen_L, colour, label in ((told_L, BLUE, "differs from base (Holm)"), (~told_L, GREY, "not told from base")):
        if chosen_L.any():
            axis.errorbar(profile.depth_L[chosen_L], value_L[chosen_L],
                          yerr=bars(value_L, low_L, high_L)[:, chosen_L], fmt="o", color=colour, ecolor=colour,
                          markerfacecolor=colour if chosen_L is told_L else "white", markersize=5, elinewidth=1.2,
                          label=label, zorder=3)  # fmt: skip
    mark_cut(axis, profile.depth_L, low_L, high_L, BLUE)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel(f"relative depth (0: first of {profile.n_blocks} blocks, 1: last)")
    heading(axis, comparison, rests_on(comparison, {len(profile.seeds)}))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2, fontsize=8.5, columnspacing=1.2)
    axis.grid(axis="y", color=PALE, linewidth=0.4, alpha=0.6)


def _limits(value_L: np.ndarray, low_L: np.ndarray, high_L: np.ndarray) -> tuple[float, float]:
    """Room for every point and both anchors; an interval far outside of them is cut at the edge."""
    bottom = min(0.0, max(np.nanmin(low_L), np.nanmin(value_L) - 1))
    top = max(1.0, min(np.nanmax(high_L), np.nanmax(value_L) + 1))
    return bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)
