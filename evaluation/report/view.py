"""Everything a report shows of one study, read and computed once: what figures, tables and page are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.agreement import Agreement, agreements
from evaluation.cells import Problem, StudyCells
from evaluation.comparison import Comparison, compare
from evaluation.learning import Curve, read_curves
from evaluation.profiles import Profile, block_profile
from evaluation.report.costs import WEIGHTS, Cost, costs

if TYPE_CHECKING:
    from evaluation.report.updates import UpdateCosine


@dataclass(frozen=True)
class StudyView:
    """One study as a report shows it. ``profiles`` and ``costs`` belong to ``comparisons``, place by place."""

    folder: Path
    confidence: float
    comparisons: list[Comparison]
    profiles: list[Profile | None]
    """None where fewer than two single blocks were trained."""
    agreements: list[Agreement]
    curves: list[Curve]
    """Of every cell that took a step, finished or not."""
    costs: list[list[Cost]]
    cosines: list[UpdateCosine]
    no_cosines: list[str]
    """Why updates of different tasks could not be compared."""
    problems: list[Problem]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.comparisons[0].result.study

    @property
    def unfinished(self) -> list[Problem]:
        """Cells that run, or were stopped."""
        return [problem for problem in self.problems if problem.unfinished]

    @property
    def faults(self) -> list[Problem]:
        """What is left out of the report because something is wrong with it."""
        return [problem for problem in self.problems if not problem.unfinished]

    def only(self, comparison: Comparison) -> StudyView:
        """The same study as if it had this comparison alone; of cosines those in which its task comes first."""
        place, own = self.comparisons.index(comparison), comparison.result
        first = (own.task, own.model, own.algorithm)
        return replace(
            self,
            comparisons=[comparison],
            profiles=[self.profiles[place]],
            costs=[self.costs[place]],
            curves=self.curves_of(comparison),
            cosines=[found for found in self.cosines if (found.task_a, found.model, found.algorithm) == first],
        )

    def curves_of(self, comparison: Comparison) -> list[Curve]:
        """The training curves of a comparison's cells, finished or not."""
        result = comparison.result
        return [curve for curve in self.curves if curve.group == (result.task, result.model, result.algorithm)]


def view_study(study: StudyCells, confidence: float = 0.95) -> StudyView:
    """Compare a study's cells and compute what the report shows of them.

    Args:
        study: as ``evaluation.cells.read_study`` reads it, with one finished cell at least.
        confidence: coverage of every interval.
    """
    comparisons, problems = compare(study, confidence)
    profiles = [block_profile(comparison, confidence=confidence) for comparison in comparisons]
    curves, faults = read_curves(study.folder)
    cosines, no_cosines = _cosines(comparisons)
    return StudyView(
        folder=study.folder,
        confidence=confidence,
        comparisons=comparisons,
        profiles=profiles,
        agreements=agreements([profile for profile in profiles if profile is not None]),
        curves=curves,
        costs=[costs(comparison, curves) for comparison in comparisons],
        cosines=cosines,
        no_cosines=no_cosines,
        problems=[*problems, *(Problem(path, reason) for path, reason in faults)],
    )


def _cosines(comparisons: Sequence[Comparison]) -> tuple[list[UpdateCosine], list[str]]:
    if len({comparison.result.task for comparison in comparisons}) < 2:
        return [], []
    cells = [cell for comparison in comparisons for arm in comparison.arms for cell in arm.cells]
    if not any(any(cell.folder.glob(WEIGHTS)) for cell in cells):
        return [], ["no trained weights (checkpoint/) are kept"]
    from evaluation.report.updates import update_cosines  # here: it imports torch and transformers, which takes seconds

    return update_cosines(comparisons)
