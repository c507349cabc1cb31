"""Do the same blocks matter elsewhere? Rank correlations between profiles, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from evaluation.agreement import Agreement
from evaluation.report.figures.style import DIVERGING, FAINT, GREY, INK, panels, save, styled
from evaluation.report.view import StudyView

_SEED = "seed"


@styled
def draw(view: StudyView, path: Path) -> bool:
    """Draw one matrix per set of profiles that are compared with each other; return whether there was one."""
    groups = matrices(view.agreements)
    if not groups:
        return False
    size = 1.6 + 1.0 * max(len(names) for names, _ in groups)
    figure, axes = panels(len(groups), width=size, height=size - 0.3, columns=3 if size < 5 else 2)
    for axis, (names, pairs) in zip(axes, groups, strict=True):
        _matrix(axis, names, pairs, view.confidence)
    save(figure, path)
    return True


def matrices(found: Sequence[Agreement]) -> list[tuple[list[str], list[Agreement]]]:
    """Group agreements into matrices: names that are compared with each other, directly or through others.

    Training seeds of one profile make matrices of their own.
    """
    groups: list[tuple[list[str], list[Agreement]]] = []
    for seeds in (False, True):
        chosen = [pair for pair in found if (pair.kind == _SEED) is seeds]
        while chosen:
            names = [chosen[0].a]
            for _ in chosen:
                for pair in chosen:
                    if (pair.a in names) != (pair.b in names):
                        names.append(pair.b if pair.a in names else pair.a)
            groups.append((names, [pair for pair in chosen if pair.a in names]))
            chosen = [pair for pair in chosen if pair.a not in names]
    return groups


def _matrix(axis: Axes, names: list[str], pairs: list[Agreement], confidence: float) -> None:
    short, title = _shortened(names)
    for row in range(len(names)):
        for column in range(len(names)):
            pair = next((p for p in pairs if {p.a, p.b} == {names[row], names[column]}), None)
            if row == column or pair is None or not np.isfinite(pair.spearman.value):
                axis.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=FAINT, edgecolor="white"))
                continue
            estimate = pair.spearman if column > row else pair.kendall
            colour = DIVERGING(0.5 + 0.4 * estimate.value)
            axis.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=colour, edgecolor="white"))
            ink = "white" if estimate.value > 0.75 else INK
            place: dict[str, Any] = {"ha": "center", "color": ink, "textcoords": "offset points"}
            axis.annotate(f"{estimate.value:.2f}", (column, row), (0, 1), va="bottom", fontsize=11, **place)
            interval = f"[{estimate.low:.2f}, {estimate.high:.2f}]"
            axis.annotate(interval, (column, row), (0, -3), va="top", fontsize=7.5, **place)
    axis.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    axis.set_xticks(range(len(names)), short, rotation=30 if max(map(len, short)) > 9 else 0,
                    ha="right" if max(map(len, short)) > 9 else "center")  # fmt: skip
    axis.set_yticks(range(len(names)), short)
    axis.tick_params(length=0)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.set_title(title, loc="left", fontsize=9.5)
    axis.set_xlabel(f"above the diagonal Spearman, below Kendall;\n{confidence:.0%} intervals", color=GREY, fontsize=8)


def _shortened(names: Sequence[str]) -> tuple[list[str], str]:
    """Names without the parts that all of them share, and these parts."""
    parts = [name.split(" · ") for name in names]
    if len({len(part) for part in parts}) > 1:
        return list(names), ""
    same = [len(set(column)) == 1 for column in zip(*parts, strict=True)]
    kept = [" · ".join(word for word, shared in zip(part, same, strict=True) if not shared) for part in parts]
    return kept, " · ".join(word for word, shared in zip(parts[0], same, strict=True) if shared)
