"""What all figures share: colours told apart by every kind of colour vision, sizes, and how a file is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from evaluation.comparison import Comparison
from evaluation.report.view import StudyView

# Okabe and Ito (2008).
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6E6E6E"
INK, PALE, FAINT = "#222222", "#C9C9C9", "#ECECEC"
DIVERGING = LinearSegmentedColormap.from_list("orange_white_blue", [ORANGE, "#F6C9A8", "#FFFFFF", "#9CCBE8", "#004C7A"])
"""From losses over nothing to gains; light in the middle."""

_RULES: Any = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # The same numbers give the same file.
    "svg.hashsalt": "onelayer",
}


def styled(draw: Callable[[StudyView, Path], bool]) -> Callable[[StudyView, Path], bool]:
    """Draw by the rules of all figures; outside of them matplotlib's own stay as they are."""

    @wraps(draw)
    def drawn(view: StudyView, path: Path) -> bool:
        with matplotlib.rc_context(_RULES):
            return draw(view, path)

    return drawn


def panels(count: int, width: float = 5.4, height: float = 3.7, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of at most ``columns``; sizes in inches, of one panel."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def save(figure: Figure, path: Path) -> None:
    """Write the figure, its kind by the suffix of ``path``."""
    nameless = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, dpi=150, metadata=nameless)


def heading(axis: Axes, comparison: Comparison, note: str = "") -> None:
    """Name the panel after its task, model and algorithm, with a small line below."""
    result = comparison.result
    name = f"{result.task} · {result.model} · {result.algorithm}"
    axis.set_title(name, loc="left", color=INK, pad=20 if note else 6)
    if note:
        axis.annotate(note, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", fontsize=8,
                      color=GREY)  # fmt: skip


def anchor_lines(axis: Axes, lines: dict[str, float]) -> None:
    """Dashed horizontal lines, named at their right end."""
    for word, height in lines.items():
        if np.isfinite(height):
            axis.axhline(height, color=GREY, linewidth=1, linestyle="--", zorder=1)
            axis.annotate(word, (1.0, height), xycoords=("axes fraction", "data"), xytext=(4, 0),
                          textcoords="offset points", va="center", fontsize=9, color=GREY)  # fmt: skip


def rests_on(comparison: Comparison, counts: set[int]) -> str:
    """Panel and training seeds in a line."""
    panel, seeds = comparison.result.panel, " to ".join(map(str, sorted({min(counts), max(counts)})))
    covers = "intervals: items only" if counts == {1} else "intervals: items and seeds"
    split = comparison.result.split
    return f"{split}: {len(panel['items'])} items × {panel['samples']}; training seeds: {seeds}; {covers}"


def mark_cut(axis: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
    """A triangle at the edge of the axis for every interval that goes on beyond it; set the limits first."""
    bottom, top = axis.get_ylim()
    for height, beyond, marker in ((bottom, low < bottom, "v"), (top, high > top, "^")):
        if beyond.any():
            axis.plot(x[beyond], np.full(beyond.sum(), height), marker, color=colour, markersize=6, clip_on=False,
                      zorder=4)  # fmt: skip


def bars(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Error bars from intervals: one need not contain its estimate, and matplotlib takes no negative bar."""
    return np.clip([value - low, high - value], 0, None)
