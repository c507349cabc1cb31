"""How far a study is: ``python -m evaluation.status runs/laptop [--json] [--all]``; ``run.py --status`` is the same.

A cell is done, running (a process holds its lock), failed (it left its cause), cut off (begun, nobody at work) or owed
(asked for, not begun). Exit code 0; 1 where something has failed; 2 where there is no study.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conf.schema import Config
from evaluation.pace import Pace, duration
from evaluation.progress import PLAN_FILE, read_plan
from evaluation.states import STATES, CellState, states_of, studies_in


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; see the module for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.status", description="How far a study is.")
    parser.add_argument("study", type=Path, help="the study's folder, e.g. runs/laptop, or its name")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--all", action="store_true", help="also a line for every cell that is done or owed")
    options = parser.parse_args(arguments)
    places = options.study, Path(Config().runs_dir) / options.study
    folder = next((place for place in places if place.is_dir()), places[len(options.study.parts) == 1])
    states = states_of(folder) if folder.is_dir() else []
    if not states:
        what = "holds no cell, and nothing was asked for in it" if folder.is_dir() else "is no folder"
        near = ", ".join(str(study) for study in studies_in(folder.parent)) or f"none in {folder.parent}"
        print(f"error: study {options.study} {what}; studies nearby: {near}", file=sys.stderr)
        return 2
    pace = Pace(states)
    if options.json:
        print(json.dumps(as_data(folder, states, pace), indent=1, allow_nan=False))
    else:
        console = Console()
        if not console.is_terminal:  # a pipe has no width of its own: fold nothing
            console = Console(width=2000, color_system=None)
        console.print(as_tables(folder, states, pace, everything=options.all))
    return int(any(state.state == "failed" for state in states))


def as_data(folder: Path, states: Sequence[CellState], pace: Pace) -> dict[str, object]:
    """The same for programs."""
    counts = Counter(state.state for state in states)
    cells = [asdict(state) | {"seconds_left": pace.cell_s(state)} for state in states]
    for cell in cells:
        del cell["seconds"], cell["seconds_per_step"]
    return {
        "study": str(folder),
        "counts": {state: counts[state] for state in STATES},
        "seconds_left": pace.study_s(),
        "cells": cells,
    }


def as_tables(folder: Path, states: Sequence[CellState], pace: Pace, *, everything: bool = False) -> RenderableType:
    """Counts by arm family, then what runs, what failed and why, what is owed."""
    parts: list[RenderableType] = [Text(f"Study {folder}", style="bold"), _counts(states)]
    running = [state for state in states if state.state == "running"]
    if running:
        parts.append(_running(running, pace))
    for state in [state for state in states if state.state in ("failed", "cut off")]:
        cause = state.cause or f"after step {state.step} of {state.steps}; nobody is at work on it"
        parts.append(Text(f"{state.state}: {state.name or _own_words(state, states)}: {cause}"))
    quiet = [state for state in states if state.state in ("done", "owed")]
    if everything:
        parts += [Text(f"{state.state}: {state.name}") for state in quiet]
    if left := [state for state in states if state.state not in ("done", "running")]:
        commands = list(dict.fromkeys(state.sweep for state in left if state.sweep and state.name))
        parts += [Text("The same command runs what is missing and reads the rest:")] if commands else []
        parts += [Text(f"  {command}") for command in commands]
    if (seconds := pace.study_s()) is not None:
        at_work = f"{pace.processes} process{'es' if pace.processes > 1 else ''} at work"
        parts.append(Text(f"About {duration(seconds)} to go with {at_work if running else 'one process'}."))
    if bad := read_plan(folder)[1]:
        parts.append(Text(f"{PLAN_FILE}: {bad} lines could not be read and are left out."))
    return Group(*parts)


def _own_words(job: CellState, states: Sequence[CellState]) -> str:
    """What tells a job from the others of its command."""
    others = [set(state.command.split()) for state in states if state.sweep == job.sweep]
    return " ".join(word for word in job.command.split() if word not in set.intersection(*others)) or job.command


def _counts(states: Sequence[CellState]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "model", "algorithm"):
        table.add_column(name, overflow="fold")
    for name in STATES:
        table.add_column(name, justify="right")
    families: dict[tuple[str, str, str], Counter[str]] = {}
    for state in states:
        families.setdefault(state.family, Counter())[state.state] += 1
    for family, counts in sorted(families.items()):
        table.add_row(*(name or "?" for name in family), *(str(counts[state] or "") for state in STATES))
    if len(families) > 1:
        total = Counter(state.state for state in states)
        table.add_row("all", "", "", *(str(total[state] or "") for state in STATES))
    return table


def _running(running: Sequence[CellState], pace: Pace) -> Table:
    """Cells that take their steps together are one line."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("running", "layers", "step", "process", "about to go"):
        table.add_column(name, justify="left" if name in ("running", "layers") else "right", overflow="fold")
    together: dict[tuple[str, int, str], list[CellState]] = {}
    for state in running:
        where = "/".join([*state.family, Path(state.name).name])
        together.setdefault((where, state.step, state.process), []).append(state)
    for (where, step, process), group in together.items():
        seconds = pace.cell_s(group[0])
        left = "?" if seconds is None else duration(seconds)
        layers = ", ".join(state.layer for state in group)
        table.add_row(where, layers, f"{step}/{group[0].steps}", process, left)
    return table


if __name__ == "__main__":
    sys.exit(main())
