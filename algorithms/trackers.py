"""Where a cell's progress is kept: always ``metrics.jsonl``, and W&B when asked for."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from conf.schema import Config
from evaluation.results import METRICS_FILE, Result
from evaluation.wandb_run import CellName, CellRun, in_sweep, publish


class Tracker(Protocol):
    """Receives what happens in one cell."""

    def log(self, metrics: dict[str, float]) -> None:
        """The metrics of one finished step, ``step`` among them."""

    def finished(self, result: Result) -> None:
        """The cell has its result."""

    def close(self) -> None:
        """The cell is over, well or not."""


class Trackers:
    """Several trackers as one."""

    def __init__(self, members: list[Tracker]) -> None:
        self._members = members

    def log(self, metrics: dict[str, float]) -> None:
        """Pass on."""
        for member in self._members:
            member.log(metrics)

    def finished(self, result: Result) -> None:
        """Pass on."""
        for member in self._members:
            member.finished(result)

    def close(self) -> None:
        """Pass on."""
        for member in self._members:
            member.close()


class MetricsFile:
    """One JSON line per step. Opened after n steps it drops the lines of later ones: a resumed run writes them anew."""

    def __init__(self, path: Path, steps_done: int) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= steps_done]
        path.write_text("".join(f"{line}\n" for line in kept))
        self._file = path.open("a", buffering=1)

    def log(self, metrics: dict[str, float]) -> None:
        """Append one line."""
        self._file.write(json.dumps(metrics) + "\n")

    def finished(self, result: Result) -> None:
        """The result has its own file."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def seconds_per_phase(path: Path) -> dict[str, float]:
    """Seconds that the steps of a ``metrics.jsonl`` took, by phase, whichever processes took them."""
    total_s: dict[str, float] = defaultdict(float)
    for line in path.read_text().splitlines():
        for name, value in json.loads(line).items():
            if name.startswith("seconds/"):
                total_s[name.removeprefix("seconds/")] += value
    return dict(total_s)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):  # torn by a crash: the step it belongs to will be written again
        return float("inf")


class WandbTracker:
    """One W&B run per cell, grouped by study; the same cell resumes the same run."""

    def __init__(self, config: Config, folder: Path, layer: str) -> None:
        self._run = CellRun(folder, _name_of(config, layer), asdict(config), config.tracker)

    def log(self, metrics: dict[str, float]) -> None:
        """Send one step."""
        self._run.log(metrics)

    def finished(self, result: Result) -> None:
        """Put the scores where a sweep looks for them."""
        self._run.finish(result)

    def close(self) -> None:
        """Finish the run."""
        self._run.close()


def hand_to_sweep(config: Config, folder: Path, result: Result) -> None:
    """Give a cell that was finished before to the W&B sweep that asks for it; outside of a sweep do nothing."""
    if config.tracker.name == "wandb" and in_sweep():
        publish(folder, _name_of(config, result.layer), asdict(config), config.tracker, result)


def _name_of(config: Config, layer: str) -> CellName:
    return CellName(config.study, config.task.name, config.model.name, config.algorithm.name, layer, config.seed)


def make_trackers(config: Config, folder: Path, layer: str, steps_done: int) -> Trackers:
    """The trackers of one cell, by ``tracker.name``."""
    members: list[Tracker] = [MetricsFile(folder / METRICS_FILE, steps_done)]
    if config.tracker.name == "wandb":
        members.append(WandbTracker(config, folder, layer))
    return Trackers(members)
