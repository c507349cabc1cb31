"""Layers by tasks: one strip of blocks per task, model and algorithm, aligned by relative depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from evaluation.comparison import Comparison
from evaluation.profiles import Profile
from evaluation.report.figures.style import DIVERGING, FAINT, GREY, INK, heading, panels, save, styled
from evaluation.report.view import StudyView

_TOP = 1.25
"""The colour of full training's gain is not the darkest: some blocks do better."""


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison with two or more single blocks; return whether there was one."""
    shown = [(c, p) for c, p in zip(view.comparisons, view.profiles, strict=True) if p is not None]
    if not shown:
        return False
    figure, axes = panels(len(shown), width=11, height=1.25, columns=1)
    figure.set_size_inches(11, 1.2 * len(shown) + 0.6)
    for axis, (comparison, profile) in zip(axes, shown, strict=True):
        _strip(axis, comparison, profile, 1 - view.confidence)
    axes[-1].set_xlabel("block, from the first to the last")
    scale = ScalarMappable(Normalize(-_TOP, _TOP), DIVERGING)
    bar = figure.colorbar(scale, ax=axes, fraction=0.02, pad=0.01, aspect=max(6, 6 * len(shown)), ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(["−1", "0 base", "1 full"])
    bar.outline.set_visible(False)  # type: ignore[operator]
    save(figure, path)
    return True


def _strip(axis: Axes, comparison: Comparison, profile: Profile, level: float) -> None:
    value_L, unit = profile.contribution_L, "contribution C"
    if not np.isfinite(value_L).any():
        largest = float(np.max(np.abs(profile.gain_L))) or 1.0
        value_L, unit = profile.gain_L / largest, f"C is n/a; gain, 1 stands for {largest:.2f}"
    by_block = dict(zip(profile.blocks_L, zip(value_L, profile.p_adjusted_L, strict=True), strict=True))
    for block in range(profile.n_blocks):
        if block not in by_block:
            axis.add_patch(Rectangle((block - 0.46, 0.04), 0.92, 0.92, fill=False, edgecolor=FAINT, linestyle=":"))
            continue
        value, p = by_block[block]
        told = p < level
        colour = DIVERGING((value + _TOP) / (2 * _TOP)) if told else "#D9D9D9"
        axis.add_patch(Rectangle((block - 0.46, 0.04), 0.92, 0.92, facecolor=colour, edgecolor=GREY, linewidth=0.4))
        light = told and value > 0.75
        axis.text(block, 0.5, _short(value), ha="center", va="center", fontsize=8 if profile.n_blocks <= 32 else 6.5,
                  color="white" if light else INK if told else GREY)  # fmt: skip
    axis.set(xlim=(-0.6, profile.n_blocks - 0.4), ylim=(0, 1), yticks=[])
    axis.set_xticks(sorted({*range(0, profile.n_blocks, 5 if profile.n_blocks > 12 else 1), profile.n_blocks - 1}))
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(length=0)
    heading(axis, comparison)
    axis.set_title(f"{unit}; grey: not told from base", loc="right", fontsize=8.5, color=GREY)


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.1f}"
