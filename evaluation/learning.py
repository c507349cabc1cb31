"""How training went: the lines of every cell's ``metrics.jsonl``, finished or not.

Shapes: ``_T`` training steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from evaluation.results import METRICS_FILE

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class Curve:
    """One cell's training, step by step."""

    folder: Path
    task: str
    model: str
    algorithm: str
    layer: str
    seed: int
    finished: bool
    planned: int | None
    """Steps that were asked for; None where the cell's ``config.yaml`` is not there."""
    episodes_per_step: int | None
    """Episodes played in every step; None where the cell's ``config.yaml`` is not there."""
    step_T: NDArray[np.int64]
    metrics: dict[str, NDArray[np.float64]]
    """Each metric by its name, one value per step; nan where a step has none."""

    @property
    def group(self) -> tuple[str, str, str]:
        """Task, model and algorithm."""
        return self.task, self.model, self.algorithm

    def mean(self, name: str) -> float:
        """Mean of a metric over the steps; nan where no step has it."""
        values = self.metrics.get(name, np.empty(0))
        return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else float("nan")


def read_curves(folder: Path) -> tuple[list[Curve], list[tuple[Path, str]]]:
    """Read the training curves of every cell below ``folder``.

    Returns:
        The curves of cells that took a step, by path; and what is wrong with which file, in words.
    """
    curves, faults = [], []
    for path in sorted(folder.rglob(METRICS_FILE)):
        try:
            rows, wrong = read_metrics(path)
            if rows:
                curves.append(_curve(path.parent, rows))
        except (OSError, ValueError) as error:
            wrong = [str(error)]
        faults += [(path, reason) for reason in wrong]
    return curves, faults


def read_metrics(path: Path) -> tuple[list[dict[str, float]], list[str]]:
    """Read one ``metrics.jsonl``: its steps, ascending, and what is wrong with it.

    Lines that are torn or no step are left out and named; of a step that is there twice the later line counts.
    """
    by_step: dict[int, dict[str, float]] = {}
    wrong, unreal = [], set()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            row = json.loads(line)
            step = int(row["step"])
            numbers = {name: float(value) for name, value in row.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            wrong.append(f"line {number} is torn or no step, left out of the learning curves: {line[:60]!r}")
            continue
        unreal |= {name for name, value in numbers.items() if not np.isfinite(value)}
        by_step[step] = numbers
    if unreal:
        wrong.append(f"not a number in some steps: {', '.join(sorted(unreal))}")
    return [by_step[step] for step in sorted(by_step)], wrong


def progress(folder: Path) -> str:
    """How far an unfinished cell has come, in words."""
    path = folder / METRICS_FILE
    planned = settings(folder).get("steps")
    of = f" of {planned}" if planned else ""
    if not path.is_file():
        return f"none{of} steps are logged" if planned else "no steps are logged"
    rows, _ = read_metrics(path)
    at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return f"{len(rows)}{of} steps are logged, last written {at:%Y-%m-%d %H:%M} UTC"


def settings(folder: Path, name: str = CONFIG_FILE) -> dict[str, Any]:
    """The cell's ``config.yaml``, or another YAML file of a folder; empty where there is none that can be read."""
    try:
        found = OmegaConf.to_container(OmegaConf.load(folder / name))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def _curve(folder: Path, rows: Sequence[dict[str, float]]) -> Curve:
    config = settings(folder)
    # <task>/<model>/<algorithm>/layer=<layer>/seed=<n>; a folder name writes the slashes of a task as dashes.
    task, model, algorithm, layer, seed = folder.parts[-5:]
    if not seed.removeprefix("seed=").isdigit():
        raise ValueError(f"{seed} is no cell's folder: cells are called seed=<number>")
    sections = {key: config.get(key) for key in ("task", "model", "algorithm")}
    named: dict[str, dict[str, Any]] = {
        key: found if isinstance(found, dict) else {} for key, found in sections.items()
    }
    training = named["algorithm"]
    groups, size = training.get("groups_per_step"), training.get("group_size")
    names = sorted({name for row in rows for name in row} - {"step"})
    return Curve(
        folder=folder,
        task=str(named["task"].get("name", task)),
        model=str(named["model"].get("name", model)),
        algorithm=str(named["algorithm"].get("name", algorithm)),
        layer=layer.removeprefix("layer="),
        seed=int(seed.removeprefix("seed=")),
        finished=(folder / "result.json").is_file(),
        planned=config.get("steps"),
        episodes_per_step=groups * size if groups and size else None,
        step_T=np.array([row["step"] for row in rows], dtype=np.int64),
        metrics={name: np.array([row.get(name, np.nan) for row in rows]) for name in names},
    )
