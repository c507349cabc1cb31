"""Where a cell's progress is shown: a live table or plain lines, W&B, and always ``metrics.jsonl``."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict, deque
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from conf.schema import Config
from evaluation.results import Result

METRICS_FILE = "metrics.jsonl"
COLUMNS = {
    "step": "step",
    "reward": "reward",
    "success": "success",
    "zero_variance_groups": "no signal",
    "entropy": "entropy",
    "grad_norm": "grad norm",
    "response_tokens": "tokens",
    "seconds": "s/step",
}


def console() -> Console:
    """A console that folds lines on a terminal and nowhere else: a log has no width."""
    standard = Console()
    return standard if standard.is_terminal else Console(width=200, color_system=None)


class Tracker(Protocol):
    """Receives what happens in one cell."""

    def say(self, text: str) -> None:
        """A line about what is going on."""

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

    def say(self, text: str) -> None:
        """Pass on."""
        for member in self._members:
            member.say(text)

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

    def say(self, text: str) -> None:
        """Words are not metrics."""

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


class ConsoleTracker:
    """A live table of the last steps on a terminal; one plain line per step elsewhere."""

    def __init__(self, title: str, steps: int) -> None:
        self._console = console()
        self._title, self._steps, self._rows = title, steps, deque[dict[str, float]](maxlen=12)
        self._live: Live | None = None
        self._console.print(f"[bold]{title}[/bold]", highlight=False)

    def say(self, text: str) -> None:
        """Print above the table."""
        self._console.print(text, highlight=False, markup=False)

    def log(self, metrics: dict[str, float]) -> None:
        """Show one step."""
        self._rows.append(metrics)
        if not self._console.is_terminal:
            cells = "  ".join(f"{label} {_format(key, metrics)}" for key, label in COLUMNS.items())
            self.say(f"{cells}  left {self._eta()}")
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=4)
            self._live.start()
        self._live.update(self._table())

    def finished(self, result: Result) -> None:
        """The study prints the result's table."""

    def close(self) -> None:
        """Leave the table on the screen."""
        if self._live is not None:
            self._live.stop()

    def _table(self) -> Table:
        table = Table(title=f"{self._title}   step {self._rows[-1]['step']:.0f}/{self._steps}   left {self._eta()}")
        for label in COLUMNS.values():
            table.add_column(label, justify="right")
        for metrics in self._rows:
            table.add_row(*(_format(key, metrics) for key in COLUMNS))
        return table

    def _eta(self) -> str:
        mean = sum(m["seconds"] for m in self._rows) / len(self._rows)
        return time.strftime("%H:%M:%S", time.gmtime(mean * (self._steps - self._rows[-1]["step"])))


def _format(key: str, metrics: dict[str, float]) -> str:
    return f"{metrics[key]:.0f}" if key == "step" else f"{metrics[key]:.3g}"


class WandbTracker:
    """One W&B run per cell, grouped by study; the same cell resumes the same run."""

    def __init__(self, config: Config, folder: Path, layer: str) -> None:
        import wandb

        fields = asdict(config) | {"layer": layer}
        self._run: Any = wandb.init(
            project=config.tracker.project,
            entity=config.tracker.entity,
            mode=config.tracker.mode,  # type: ignore[arg-type]  # checked by the schema
            group=config.study,
            job_type=config.task.name,
            name=f"{config.task.name} {config.model.name} {config.algorithm.name} layer={layer} seed={config.seed}",
            id=hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()[:16],
            resume="allow",
            dir=str(folder),
            config=fields,
            settings=wandb.Settings(silent=True),
        )

    def say(self, text: str) -> None:
        """W&B keeps numbers only."""

    def log(self, metrics: dict[str, float]) -> None:
        """Send one step."""
        self._run.log(metrics, step=int(metrics["step"]))

    def finished(self, result: Result) -> None:
        """Put the scores where a sweep looks for them."""
        names = ("score_before", "score", "low", "high", "seconds", "peak_memory_bytes")
        self._run.summary.update({name: getattr(result, name) for name in names})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def make_trackers(config: Config, folder: Path, layer: str, steps_done: int) -> Trackers:
    """The trackers of one cell, by ``tracker.name``."""
    title = f"{config.task.name} | {config.model.name} | {config.algorithm.name} | layer={layer} | seed={config.seed}"
    members: list[Tracker] = [MetricsFile(folder / METRICS_FILE, steps_done), ConsoleTracker(title, config.steps)]
    if config.tracker.name == "wandb":
        members.append(WandbTracker(config, folder, layer))
    return Trackers(members)
