"""How long a study still takes, from the pace of its cells.

A cell's seconds are its share of its process's time, so the shares of all cells of a process add up to wall-clock time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evaluation.states import CellState


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class Pace:
    """Estimates; None where nothing comparable has been measured yet."""

    def __init__(self, states: Sequence[CellState]) -> None:
        self._states = list(states)
        self.processes = max(1, len({state.process for state in states if state.state == "running"}))

    def cell_s(self, state: CellState) -> float | None:
        """Wall-clock seconds until a running cell has taken its last step; None for any other cell.

        One that has yet to begin ends with its process, at the latest.
        """
        if state.state != "running":
            return None
        if state.seconds_per_step is not None:
            return (state.steps - state.step) * state.seconds_per_step * state.arms
        return _sum(self.left_s(other) for other in self._states if other.process == state.process)

    def study_s(self) -> float | None:
        """Wall-clock seconds until everything asked for is done, if as many processes as now go on; None: unknown."""
        left = [state for state in self._states if state.name and state.state != "done"]
        seconds = _sum(self.left_s(state) for state in left)
        return seconds / self.processes if left and seconds is not None else None

    def left_s(self, state: CellState) -> float | None:
        """Seconds of one process until a cell that is not done has its result; None: nothing to go by."""
        if state.layer == "base":
            return self._overhead(state)
        own = state.seconds_per_step if state.state == "running" else None
        share = own if own is not None else self._per_step(state)
        return None if share is None else (state.steps - state.step) * share + (self._overhead(state) or 0.0)

    def knows_kind(self, state: CellState) -> bool:
        """Whether a cell of its task, model and algorithm has been measured that trains as much: ``full``, or less."""
        kin = [other for other in self._states if other.family == state.family]
        if state.layer == "base":
            return any(other.seconds is not None for other in kin)
        return any(o.seconds_per_step is not None and (o.layer == "full") == (state.layer == "full") for o in kin)

    def _per_step(self, state: CellState) -> float | None:
        """What a step takes of a cell of its kind: ``full`` and other arms have very different ones."""
        kin = [other for other in self._states if other.family == state.family and other.seconds_per_step is not None]
        alike = [other for other in kin if (other.layer == "full") == (state.layer == "full")]
        return _mean(other.seconds_per_step for other in alike or kin)

    def _overhead(self, state: CellState) -> float | None:
        """What a finished cell took beyond its steps: starting, evaluating."""
        kin = [other for other in self._states if other.family == state.family and other.seconds is not None]
        same = [other for other in kin if (other.layer == "base") == (state.layer == "base")]
        return _mean((other.seconds or 0.0) - other.steps * (other.seconds_per_step or 0.0) for other in same or kin)


def _sum(values: Iterable[float | None]) -> float | None:
    """None where one of them is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
