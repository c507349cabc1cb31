"""What each arm cost: time, memory, answer tokens and an estimate of the arithmetic, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from evaluation.costs import Cost
from evaluation.figures.style import BLUE, GREY, PALE, anchor_lines, panels, save
from evaluation.formats import title
from evaluation.view import StudyView

QUANTITIES: dict[str, Callable[[Cost], float]] = {
    "seconds per training step": lambda cost: cost.step_s,
    "peak memory (GB)": lambda cost: cost.peak_gb,
    "answer tokens in training (thousands)": lambda cost: cost.tokens / 1e3,
    "PFLOPs in training (estimate)": lambda cost: cost.flops / 1e15,
}


def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison with an arm that trained; return whether there was one."""
    shown = [(c, found) for c, found in zip(view.comparisons, view.costs, strict=True) if _trained(found)]
    known = [name for name, of in QUANTITIES.items() if any(np.isfinite(of(c)) for _, f in shown for c in _trained(f))]
    if not shown or not known:
        return False
    figure, axes = panels(len(known) * len(shown), width=4.2, height=2.6, columns=2)
    for place, (comparison, found) in enumerate(shown):
        own = axes[place * len(known) : (place + 1) * len(known)]
        for axis, name in zip(own, known, strict=True):
            _panel(axis, _trained(found), QUANTITIES[name])
            axis.set_ylabel(name, fontsize=8.5)
        own[0].set_title(title(comparison), loc="left")
    save(figure, path)
    return True


def _trained(found: Sequence[Cost]) -> list[Cost]:
    return [cost for cost in found if cost.layer != "base"]


def _panel(axis: Axes, found: Sequence[Cost], of: Callable[[Cost], float]) -> None:
    single = [(cost.block, of(cost)) for cost in found if cost.block is not None]
    if single:
        block, value = np.array(single, dtype=float).T
        axis.plot(block, value, "o", color=BLUE, markersize=4.5)
    for cost in found:
        if cost.block is None and cost.layer != "full" and np.isfinite(of(cost)):
            axis.axhline(of(cost), color=GREY, linewidth=1, linestyle=":")
            axis.annotate(cost.layer, (1.0, of(cost)), xycoords=("axes fraction", "data"), xytext=(4, 0),
                          textcoords="offset points", va="center", fontsize=8, color=GREY)  # fmt: skip
    full = next((of(cost) for cost in found if cost.layer == "full"), np.nan)
    anchor_lines(axis, {"full": full})
    largest = np.nanmax([0.0, full, *(value for _, value in single if np.isfinite(value))])
    axis.set_ylim(0, 1.15 * largest if largest else 1)
    axis.set_xlabel("block trained", fontsize=9)
    axis.grid(axis="y", color=PALE, linewidth=0.4, alpha=0.6)
    axis.spines["left"].set_color(GREY)
