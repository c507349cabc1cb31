"""Reading a study back: every finished cell with its scores, and what is left out and why.

Shapes: ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.learning import progress
from evaluation.results import EPISODES_FILE, RESULT_FILE, Result, ResultError, read_result, read_rows, score_array
from evaluation.stats import complete_items


class UnfinishedError(ResultError):
    """A cell has no result yet."""


@dataclass(frozen=True)
class Cell:
    """A finished cell: its result and the scores of the panel before and after training, ``nan`` where none."""

    folder: Path
    result: Result
    before_IK: np.ndarray
    after_IK: np.ndarray
    truncated: float
    """Share of the episodes after training in which an answer hit the token limit."""
    type_I: tuple[str, ...] = ()
    """The task type of each panel item; empty strings where the task names no types."""


@dataclass(frozen=True)
class Problem:
    """Something in a study's folder that is left out of the report, and why."""

    path: Path
    reason: str
    unfinished: bool = False
    """A cell without a result, not a fault: it is running, or was stopped."""


@dataclass(frozen=True)
class StudyCells:
    """What a study's folder holds."""

    folder: Path
    cells: list[Cell]
    problems: list[Problem]


def read_cell(folder: Path) -> Cell:
    """Read one finished cell; a cell that took no step may have one evaluation for both phases.

    Raises:
        UnfinishedError: there is no result yet.
        ResultError: a file is bad or gone, or the rows and ``result.json`` disagree.
    """
    if not (folder / RESULT_FILE).is_file():
        raise UnfinishedError(f"unfinished: no {RESULT_FILE}; {progress(folder)}")
    result, path = read_result(folder / RESULT_FILE), folder / EPISODES_FILE
    if not path.is_file():
        raise ResultError(f"{path}: is gone, and {RESULT_FILE} is there")
    rows = read_rows(path)
    before = [row for row in rows if row.phase == "before"]
    after = [row for row in rows if row.phase == "after"] or (before if result.steps == 0 else [])
    scores: list[np.ndarray] = []
    for phase, chosen, expected in (("before", before, result.score_before), ("after", after, result.score)):
        try:
            scores.append(score_array(chosen, result.panel))
        except ResultError as error:
            raise ResultError(f"{path}: phase {phase}: {error}") from error
        found = float(complete_items(scores[-1][None])[0].mean())
        if abs(found - expected) > 1e-6:
            raise ResultError(f"{path}: phase {phase}: the rows' score is {found}, {RESULT_FILE} says {expected}")
    before_IK, after_IK = scores
    type_of = {row.item: row.task_type for row in after if row.task_type}
    types = tuple(type_of.get(item, "") for item in result.panel["items"])
    return Cell(folder, result, before_IK, after_IK, sum(row.truncated for row in after) / len(after), types)


def finished(folder: Path) -> Result | None:
    """The result of a cell that the report can read, None where there is none yet.

    Raises:
        ResultError: the cell was finished and is damaged; the message says what to do.
    """
    if not (folder / RESULT_FILE).exists():
        return None
    try:
        return read_cell(folder).result
    except ResultError as error:
        raise ResultError(f"{error}; delete the folder {folder}, and the same command runs the cell anew") from error


def read_study(folder: Path) -> StudyCells:
    """Read every cell below ``folder``; what cannot be read becomes a problem, the rest is still there."""
    folders = {path.parent for path in folder.rglob(RESULT_FILE)} | set(folder.rglob("seed=*"))
    cells, problems = [], []
    for cell in sorted(folders):
        try:
            cells.append(read_cell(cell))
        except (OSError, ValueError) as error:
            problems.append(Problem(cell, str(error), isinstance(error, UnfinishedError)))
    return StudyCells(folder, cells, problems)
