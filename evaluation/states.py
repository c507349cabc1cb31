"""The state of every cell of a study, from its files and its lock; nothing is written."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.cells import finished
from evaluation.learning import CONFIG_FILE, read_metrics, settings
from evaluation.progress import PLAN_FILE, Asked, read_failure, read_plan
from evaluation.results import METRICS_FILE, ResultError

STATES = ("done", "running", "cut off", "failed", "owed")
LOCK_FILE = ".lock"
_CELLS = "*/*/*/layer=*/seed=*"


@dataclass(frozen=True)
class CellState:
    """One cell, or a job of the last command that names none (``name`` is then empty and ``state`` failed)."""

    name: str
    """Its folder below the study's."""
    state: str
    step: int = 0
    steps: int = 0
    cause: str = ""
    process: str = ""
    """Who holds its lock."""
    command: str = ""
    """The words of the job that asked for it."""
    sweep: str = ""
    """The command that the job was part of, where it is known."""
    arms: int = 1
    """Cells that take their steps together with this one."""
    seconds: float | None = None
    """What it took, of one that is done: its share of wall-clock time."""
    seconds_per_step: float | None = None
    """Its share of a step's wall-clock time."""

    @property
    def family(self) -> tuple[str, str, str]:
        """Task, model and algorithm, as the folders spell them; empty where the job names no cell."""
        parts = Path(self.name).parts
        return (parts[0], parts[1], parts[2]) if len(parts) == 5 else ("", "", "")

    @property
    def layer(self) -> str:
        """The layer label."""
        return Path(self.name).parent.name.removeprefix("layer=") if self.name else ""


def studies_in(folder: Path) -> list[Path]:
    """The folders in ``folder`` that hold cells or the plan of some, by name."""
    return sorted(study for study in folder.glob("*") if (study / PLAN_FILE).exists() or any(study.glob(_CELLS)))


def states_of(study: Path) -> list[CellState]:
    """Every cell that has a folder or was asked for, by name; then what the last command asked for in vain."""
    asked, _ = read_plan(study)
    wanted = {line.cell: line for line in asked if line.cell}
    found = {str(path.relative_to(study)) for path in study.glob(_CELLS) if path.is_dir()}
    states = [_state(study / name, name, wanted.get(name)) for name in sorted(found | wanted.keys(), key=_order)]
    # A typing error of long ago is nobody's concern any more.
    newest = max((line.at for line in asked), default="")
    refused = [line for line in asked if line.refused and line.at == newest]
    return [
        *states,
        *(CellState("", "failed", cause=line.refused, command=line.command, sweep=line.sweep) for line in refused),
    ]


def _order(name: str) -> tuple:
    *family, layer, seed = Path(name).parts
    label = layer.removeprefix("layer=")
    place = ("base", "full").index(label) if label in ("base", "full") else 3
    number = seed.removeprefix("seed=")
    return family, int(number) if number.isdigit() else 0, place, int(label) if label.isdigit() else 10**6, label


def _state(folder: Path, name: str, asked: Asked | None) -> CellState:
    lines = read_metrics(folder / METRICS_FILE)[0] if (folder / METRICS_FILE).exists() else []
    last = lines[-1] if lines else {}
    shares = [line["seconds"] for line in lines if "seconds" in line]
    fields: dict[str, Any] = {
        "step": int(last.get("step", 0)),
        "steps": asked.steps if asked else int(settings(folder).get("steps", 0)),
        "command": asked.command if asked else "",
        "sweep": asked.sweep if asked else "",
        "arms": int(last.get("arms", 1)),
        "seconds_per_step": sum(shares) / len(shares) if shares else None,
    }
    try:
        result = finished(folder)
    except (ResultError, OSError) as error:
        return CellState(name, "failed", cause=str(error), **fields)
    if result:
        return CellState(name, "done", **(fields | {"steps": result.steps, "seconds": result.seconds}))
    if process := _holder(folder / LOCK_FILE):
        return CellState(name, "running", process=process, **fields)
    if failure := read_failure(folder):
        cause = failure.error + (f" (after step {failure.step})" if failure.step else "")
        return CellState(name, "failed", cause=cause, **fields)
    return CellState(name, "cut off" if (folder / CONFIG_FILE).exists() else "owed", **fields)


def _holder(lock: Path) -> str:
    """Who holds a cell; empty where nobody does."""
    try:
        with lock.open() as file:
            try:
                # Shared and for an instant: a cell that wants its lock now asks again.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read() or "?"
    except FileNotFoundError:
        pass
    return ""
