"""One cell among those that run side by side, and what happens when it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from algorithms.cell import Cell
from algorithms.layers import LayerSelection
from algorithms.trackers import Trackers
from conf.errors import UserError
from evaluation.results import Result

FAILURES = (UserError, ValueError, OSError, RuntimeError)
"""What ends one arm and not the others; the last is how torch is out of memory."""


class ArmsFailedError(UserError, RuntimeError):
    """Some of several arms failed; the others are finished, and the same command runs only these again.

    ``failures`` says why, by the position of the arm among those asked for.
    """

    def __init__(self, failures: Mapping[int, str], n_arms: int) -> None:
        self.failures = dict(failures)
        rest = "the rest are finished: " if len(failures) < n_arms else ""
        super().__init__(f"{len(failures)} of {n_arms} arms failed, {rest}{'; '.join(failures.values())}")


@dataclass(eq=False)
class Arm:
    """An unfinished cell on its way.

    ``variant`` is its place in the worker that it shares. An arm that is not ``alone`` and fails is dropped: its
    ``failure`` then says why. ``spent_s`` are its shares of the seconds that are not part of a step, by phase, and
    ``tokens`` its shares of the tokens that evaluations generated.
    """

    selection: LayerSelection
    cell: Cell
    overrides: list[str]
    alone: bool
    variant: int = 0
    step: int = 0
    failure: str = ""
    trackers: Trackers = field(default_factory=lambda: Trackers([]))
    spent_s: dict[str, float] = field(default_factory=dict)
    tokens: float = 0.0
    result: Result | None = None

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints lie, and the weights that it started from."""
        return self.cell.folder / "checkpoint"

    @contextmanager
    def at_own_cost(self) -> Iterator[None]:
        """Drop the arm when the block fails; an arm that is alone passes the exception on."""
        try:
            yield
        except FAILURES as error:
            if self.alone:
                raise
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Drop the arm, once: what follows from the first failure is not told."""
        if not self.failure:
            # As text: the exception would hold on to its frames, and so to the memory of the worker.
            self.failure = f"layer={self.selection.label}: {error}"
            print(f"error in {self.failure}", file=sys.stderr)
            self.leave_cause(error)

    def leave_cause(self, error: Exception) -> None:
        """Put the cause where the study's status finds it; a full disk must not hide what went wrong."""
        with suppress(OSError):
            self.cell.failed(error, self.step)


def going(arms: Sequence[Arm]) -> list[Arm]:
    """Those that were not dropped."""
    return [arm for arm in arms if not arm.failure]


def charge(arms: Sequence[Arm], seconds: Mapping[str, float]) -> None:
    """Spread seconds, by phase, over arms in equal shares, so that the sum over arms is wall time."""
    for arm in arms:
        for phase, value in seconds.items():
            arm.spent_s[phase] = arm.spent_s.get(phase, 0.0) + value / len(arms)
