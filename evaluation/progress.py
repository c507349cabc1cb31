"""What a study leaves on disk before it is finished: ``plan.jsonl``, what was asked for; ``failure.json``, why not."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

PLAN_FILE = "plan.jsonl"
FAILURE_FILE = "failure.json"


def now() -> str:
    """The time, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Failure:
    """``failure.json``: why the last attempt at a cell ended without a result."""

    error: str
    kind: str
    """The exception's class."""
    step: int
    """Steps that had been taken."""
    at: str = field(default_factory=now)


@dataclass(frozen=True)
class Asked:
    """One line of ``plan.jsonl``: a cell that a command asked for, or a job that names no cell and why."""

    cell: str
    """The cell's folder below the study's; empty where the job names none."""
    steps: int
    command: str
    """The words of the job, in Hydra's grammar."""
    sweep: str
    """The whole command."""
    refused: str = ""
    at: str = field(default_factory=now)
    """When the command began, the same in all of its lines."""


_FAILURE = TypeAdapter(Failure)
_ASKED = TypeAdapter(Asked)


def write_failure(folder: Path, failure: Failure) -> None:
    """Leave the cause in a cell's folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{FAILURE_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(failure), indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / FAILURE_FILE)


def read_failure(folder: Path) -> Failure | None:
    """The cause in a cell's folder, or None; a file that cannot be read is a cause too."""
    path = folder / FAILURE_FILE
    try:
        return _FAILURE.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        return Failure(f"{FAILURE_FILE} cannot be read: {str(error).splitlines()[0]}", type(error).__name__, 0)


def forget_failure(folder: Path) -> None:
    """A new attempt has begun, or the cell is finished."""
    (folder / FAILURE_FILE).unlink(missing_ok=True)


def add_to_plan(study: Path, asked: Sequence[Asked]) -> None:
    """Append to ``plan.jsonl`` in one write, so that commands that begin together do not mix their lines."""
    study.mkdir(parents=True, exist_ok=True)
    with (study / PLAN_FILE).open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(asdict(line)) + "\n" for line in asked))


def read_plan(study: Path) -> tuple[list[Asked], int]:
    """All that was asked for, in order, and how many lines could not be read."""
    path = study / PLAN_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    asked, bad = [], 0
    for line in lines:
        try:
            asked.append(_ASKED.validate_json(line))
        except ValidationError:
            bad += 1
    return asked, bad
