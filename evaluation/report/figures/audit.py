"""The mask audit: how far every block moved, and whether different tasks move a block in the same direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from evaluation.comparison import Comparison, singles
from evaluation.report.figures.style import BLUE, GREY, ORANGE, PALE, anchor_lines, heading, panels, save, styled
from evaluation.report.view import StudyView

_CosineGroup = tuple[str, dict[str, list[tuple[int, float]]]]
"""A title; blocks and cosines of arms that train everything, and of arms that train that block alone."""


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison with an arm that trained, and the cosines that are known; return whether there was one."""
    shown = [c for c in view.comparisons if any(arm.layer != "base" for arm in c.arms)]
    cosines = _grouped(view)
    if not shown:
        return False
    figure, axes = panels(len(shown) + len(cosines))
    for axis, comparison in zip(axes, shown, strict=False):
        _changes(axis, comparison)
    for axis, group in zip(axes[len(shown) :], cosines, strict=True):
        _cosines(axis, group)
    save(figure, path)
    return True


def _changes(axis: Axes, comparison: Comparison) -> None:
    full, alone = comparison.arm("full"), singles(comparison)
    if full is not None:
        change_L = np.mean([cell.result.audit["relative_change"] for cell in full.cells], axis=0)
        axis.plot(range(len(change_L)), change_L, "s-", color=ORANGE, markersize=4, linewidth=1, label="within full")
    if alone:
        blocks = [arm.result.blocks[0] for arm in alone]
        own = [np.mean([cell.result.audit["relative_change"][block] for cell in arm.cells])
               for arm, block in zip(alone, blocks, strict=True)]  # fmt: skip
        axis.plot(blocks, own, "o", color=BLUE, markersize=5, label="trained alone")
    for arm in comparison.arms:
        if len(arm.result.blocks) > 1 and arm.layer != "full" and not arm.blocks_differ:
            change_L = np.mean([cell.result.audit["relative_change"] for cell in arm.cells], axis=0)
            axis.plot(arm.result.blocks, change_L[arm.result.blocks], "_", color=GREY, markersize=9, markeredgewidth=2,
                      label="within a group of blocks")  # fmt: skip
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axis.legend(unique.values(), unique.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, fontsize=8.5)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(f"block (of {comparison.result.n_blocks})")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("relative weight change |Δθ| / |θ|")
    axis.grid(axis="y", color=PALE, linewidth=0.4, alpha=0.6)
    heading(axis, comparison)


def _cosines(axis: Axes, group: _CosineGroup) -> None:
    name, points_of = group
    for layer_kind, marker, colour in (("within full", "s", ORANGE), ("trained alone", "o", BLUE)):
        points = points_of.get(layer_kind, [])
        if points:
            block, cosine = np.array(points).T
            axis.plot(block, cosine, marker, color=colour, markersize=4.5, label=layer_kind)
    anchor_lines(axis, {"0": 0.0})
    axis.set_ylim(-1.05, 1.05)
    axis.set_xlabel("block")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("cosine between the updates")
    axis.legend(loc="best")
    axis.set_title(name, loc="left")


def _grouped(view: StudyView) -> list[_CosineGroup]:
    groups: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for found in view.cosines:
        name = f"{found.task_a} and {found.task_b} · {found.model} · {found.algorithm}"
        kind = "within full" if found.layer == "full" else "trained alone" if len(found.block_L) == 1 else "others"
        points = zip(found.block_L.tolist(), found.cosine_L.tolist(), strict=True)
        groups.setdefault(name, {}).setdefault(kind, []).extend(points)
    return list(groups.items())
