"""One cell as a W&B run: opened while it trains, or made of its files afterwards."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.errors import UserError
from conf.schema import TrackerConfig
from evaluation.cells import read_cell
from evaluation.results import METRICS_FILE, RESULT_FILE, Result
from evaluation.stats import paired_difference

ID_FILE = Path("wandb") / "run_id"
AUDIT = "relative_change"
"""The key of the bar chart: relative weight change of every block."""
_SUMMARY = [
    "score_before", "low_before", "high_before", "score", "low", "high", "steps", "n_blocks", "learning_rate",
    "seconds", "tokens_per_second", "peak_memory_bytes",
]  # fmt: skip


LOGIN = "run `wandb login` or set WANDB_API_KEY (and WANDB_BASE_URL for a server of your own)"


class WandbError(UserError, RuntimeError):
    """W&B cannot be used as asked; the message says what to do."""


@dataclass(frozen=True)
class CellName:
    """What tells a cell from the others."""

    study: str
    task: str
    model: str
    algorithm: str
    layer: str
    seed: int

    @property
    def kind(self) -> str:
        """``base``, ``full``, ``one block`` or ``several blocks``."""
        if self.layer in ("base", "full"):
            return self.layer
        return "one block" if self.layer.isdigit() else "several blocks"

    @property
    def title(self) -> str:
        """What the run is called."""
        return f"{self.task} {self.model} {self.algorithm} layer={self.layer} seed={self.seed}"

    @property
    def tags(self) -> list[str]:
        """What a run set of a report is filtered by. W&B takes tags of at most 64 characters."""
        return [tag[:64] for tag in (self.task, self.model, self.algorithm, self.kind)]


class CellRun:
    """The W&B run of one cell, grouped by study. The cell keeps its id, so that resuming the cell resumes the run."""

    def __init__(self, folder: Path, name: CellName, config: Mapping[str, Any], target: TrackerConfig) -> None:
        """Open the run; where the cell has lines of steps that this run has not seen, send them first.

        In a sweep the agent has chosen the run and its project; W&B then reads neither the id nor ``target.project``.

        Args:
            folder: Of the cell; the run's files go to its subfolder ``wandb``.
            name: Which cell it is.
            config: Its settings; keys that a sweep sets keep the sweep's values.
            target: Project, entity and mode.

        Raises:
            WandbError: There is no key, or the server cannot be reached or refuses.
        """
        import wandb

        self._folder = folder
        self._finished = False
        known = run_id(folder)
        try:
            self._run: Any = wandb.init(
                project=target.project,
                entity=target.entity,
                mode=target.mode,  # type: ignore[arg-type]  # checked by the schema
                group=name.study,
                job_type=name.task,
                name=name.title,
                tags=name.tags,
                # Not from the folder's name: the same study on another machine is another run.
                id=known or secrets.token_hex(8),
                resume="allow",
                dir=str(folder),
                config={**config, "layer": name.layer},
                reinit="create_new",  # cells that train side by side have runs side by side
                # The console shows all cells of a process, and the meter of the machine is not this cell's.
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        except wandb.Error as error:
            raise WandbError(f"W&B opens no run: {error}; {LOGIN}; tracker.mode=offline needs neither") from error
        if self._run.id != known:
            self._remember()
            for metrics in steps_of(folder):
                self.log(metrics)

    def log(self, metrics: Mapping[str, float]) -> None:
        """Send one step."""
        self._run.log(dict(metrics), step=int(metrics["step"]))

    def finish(self, result: Result) -> None:
        """Send the scores, the weight change of every block, and ``result.json`` and ``config.yaml`` as files."""
        import wandb

        changes = [[str(block), change] for block, change in enumerate(result.audit["relative_change"])]
        table = wandb.Table(columns=["block", AUDIT], data=[*changes, ["other", result.audit["other"]]])
        chart = wandb.plot.bar(table, "block", AUDIT, title="Relative weight change of every block")
        self._run.log({AUDIT: chart}, step=max(result.steps, self._run.step))
        self._run.summary.update(summary_of(self._folder, result))
        for file in (self._folder / RESULT_FILE, self._folder / "config.yaml"):
            if file.exists():
                self._run.save(str(file), base_path=str(self._folder), policy="now")
        self._finished = True

    def close(self) -> None:
        """End the run: well, or marked as failed where the cell has no result; resuming the cell takes that back."""
        self._run.finish(exit_code=0 if self._finished else 1)

    def _remember(self) -> None:
        path = self._folder / ID_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._run.id)


def run_id(folder: Path) -> str | None:
    """The id of the cell's run; None where it has none."""
    path = folder / ID_FILE
    return path.read_text() if path.exists() else None


def in_sweep() -> bool:
    """Whether an agent of a W&B sweep has started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def publish(folder: Path, name: CellName, config: Mapping[str, Any], target: TrackerConfig, result: Result) -> None:
    """Make the run of a finished cell from its files.

    Raises:
        OSError, ResultError: A file cannot be read.
    """
    run = CellRun(folder, name, config, target)
    try:
        run.finish(result)
    finally:
        run.close()


def summary_of(folder: Path, result: Result) -> dict[str, Any]:
    """What a contribution is made of, and what it cost, as numbers that W&B can sort, filter and plot.

    Raises:
        OSError, ResultError: The panel rows are bad or disagree with the result.
    """
    cell = read_cell(folder)
    gain = paired_difference(cell.after_IK, cell.before_IK)
    found: dict[str, Any] = {field: getattr(result, field) for field in _SUMMARY}
    found |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
    found |= {"trained_blocks": len(result.blocks), "truncated": cell.truncated, "audit_ok": result.audit["ok"]}
    if 0 < len(result.blocks) < result.n_blocks:
        found["depth"] = sum(result.blocks) / len(result.blocks) / max(result.n_blocks - 1, 1)
    found |= {f"greedy_{phase}": score for phase, score in result.greedy.items()}
    found |= {f"total_seconds/{phase}": seconds for phase, seconds in result.seconds_per_phase.items()}
    found |= {f"counts/{what}": count for what, count in result.counts.items()}
    found |= {f"score/{task_type}": part["score"] for task_type, part in result.by_task_type.items()}
    return {key: value for key, value in found.items() if not isinstance(value, float) or math.isfinite(value)}


def steps_of(folder: Path) -> Iterator[dict[str, float]]:
    """The steps that the cell's ``metrics.jsonl`` holds; a line torn by a crash is left out."""
    path = folder / METRICS_FILE
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            metrics = json.loads(line)
        except ValueError:  # torn by a crash
            continue
        if "step" in metrics:
            yield metrics
