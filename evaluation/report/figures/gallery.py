"""All figures of a study: which there are, what each shows, and drawing them into files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluation.report.figures import agreement, audit, contribution, cost, depth, heatmap, intervals, learning
from evaluation.report.view import StudyView


@dataclass(frozen=True)
class Figure:
    """A figure's file name without the suffix, its title, and how to read it."""

    name: str
    title: str
    caption: str
    draw: Callable[[StudyView, Path], bool]
    together: bool = False
    """One drawing for the whole study; else a page has one per comparison."""


GALLERY = (
    Figure(
        "heatmap",
        "Which blocks matter",
        "Each cell is one block trained alone; its number is the contribution C (0: as good as the untrained "
        "model, 1: as full training). Grey cells cannot be told from the untrained model after Holm's correction "
        "for the number of blocks. Dotted cells were not trained.",
        heatmap.draw,
        together=True,
    ),
    Figure(
        "depth",
        "Contribution against depth",
        "Bars are intervals of one block each. The band holds all blocks at once with the stated confidence: use "
        "it for a block that was picked by looking. Hollow points cannot be told from the untrained model. "
        "A triangle at the edge: the interval goes on.",
        depth.draw,
    ),
    Figure(
        "contribution",
        "Contribution of every part that was trained",
        "Single blocks and groups of blocks; a group's line spans its blocks. A triangle at the edge: the interval "
        "goes on.",
        contribution.draw,
    ),
    Figure(
        "intervals",
        "Scores of the arms to look for first",
        "The best block (hollow) was picked by the score it is shown with, so that score is too high: measured again, "
        "expect less. The random block is the mean over all single blocks.",
        intervals.draw,
    ),
    Figure(
        "agreement",
        "Do the same blocks matter elsewhere?",
        "Rank correlations between the gains of the blocks, Spearman's above the diagonal and Kendall's below. "
        "Noise lowers a correlation, so the "
        "interval, which is of the true profiles, may lie mostly above the number found. Grey: not compared, or "
        "too few blocks.",
        agreement.draw,
        together=True,
    ),
    Figure(
        "learning",
        "Learning curves",
        f"Means over training seeds, moving average over {learning.WINDOW} steps. A group gives no signal when all its "
        "answers earn the same.",
        learning.draw,
    ),
    Figure(
        "audit",
        "How far the weights moved",
        "Relative change of each block, the norm of the change over the norm of the weights. Blocks that were "
        "frozen are checked bit by bit. Where two tasks trained the same layer from the same weights, the cosine "
        "says whether they moved it in the same direction.",
        audit.draw,
    ),
    Figure(
        "cost",
        "What it cost",
        "Arms that ran side by side share out wall-clock time evenly and report the memory of their common "
        "process. FLOPs are an estimate: 2 x parameters x answer tokens for generation and for the forward pass, "
        "as much again for the gradients of activations above the lowest trained block and for the gradients of "
        "the weights that train; prompts, attention's own products and evaluations are not counted.",
        cost.draw,
    ),
)


def draw_all(view: StudyView) -> list[Figure]:
    """Write ``<name>.png`` of every figure that applies into the study's folder; delete those that no longer do."""
    drawn = []
    for figure in GALLERY:
        path = view.folder / f"{figure.name}.png"
        if figure.draw(view, path):
            drawn.append(figure)
        else:
            path.unlink(missing_ok=True)
    return drawn
