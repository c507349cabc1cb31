"""What each arm cost: time, memory, answer tokens and an estimate of the arithmetic, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from evaluation.formats import title
from evaluation.report.costs import Cost
from evaluation.report.figures.style import BLUE, GREY, ORANGE, PALE, panels, save, styled
from evaluation.report.view import StudyView

QUANTITIES: dict[str, Callable[[Cost], float]] = {
    "seconds per training step": lambda cost: cost.step_s,
    "peak memory (GB)": lambda cost: cost.peak_gb,
    "answer tokens in training (thousands)": lambda cost: cost.tokens / 1e3,
    "PFLOPs in training (estimate)": lambda cost: cost.flops / 1e15,
}


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw every comparison with an arm that trained; return whether there was one."""
    shown = [(c, found) for c, found in zip(view.comparisons, view.costs, strict=True) if _trained(found)]
    known = [name for name, of in QUANTITIES.items() if any(np.isfinite(of(c)) for _, f in shown for c in _trained(f))]
    if not shown or not known:
        return False
    # Two panels in a row; a comparison begins a row of its own.
    height = -(-len(known) // 2) * 2
    figure, axes = panels(height * len(shown), width=4.2, height=2.7, columns=2)
    for place, (comparison, found) in enumerate(shown):
        own = axes[place * height : (place + 1) * height]
        for axis, name in zip(own, known, strict=False):
            _panel(axis, _trained(found), QUANTITIES[name])
            axis.set_ylabel(name.replace(" (", "\n("), fontsize=8.5)
        for axis in own[len(known) :]:
            axis.set_visible(False)
        own[0].set_title(title(comparison), loc="left")
    save(figure, path)
    return True


def _trained(found: Sequence[Cost]) -> list[Cost]:
    return [cost for cost in found if cost.layer != "base"]


def _panel(axis: Axes, found: Sequence[Cost], of: Callable[[Cost], float]) -> None:
    single = [cost for cost in found if cost.block is not None]
    several = [cost for cost in found if cost.block is None]
    blocks = [cost.block for cost in single if cost.block is not None]
    last, apart = max(blocks, default=0), max(2.0, max(blocks, default=0) / 9)
    places = [last + apart * (1 + number) for number in range(len(several))]
    axis.plot(blocks, [of(cost) for cost in single], "o", color=BLUE, markersize=4.5)
    axis.plot(places, [of(cost) for cost in several], "s", color=ORANGE, markersize=5)
    marked = list(range(0, last + 1, max(1, round(last / 5)))) if blocks else []
    axis.set_xticks([*marked, *places], [*map(str, marked), *(cost.layer for cost in several)])
    for label in axis.get_xticklabels()[len(marked) :]:
        label.set(rotation=35, ha="right", rotation_mode="anchor")
    largest = np.nanmax([0.0, *(value for cost in found if np.isfinite(value := of(cost)))])
    axis.set_ylim(0, 1.15 * largest if largest else 1)
    axis.set_xlabel("block trained, then arms of several blocks", fontsize=8.5)
    axis.grid(axis="y", color=PALE, linewidth=0.4, alpha=0.6)
    axis.spines["left"].set_color(GREY)
