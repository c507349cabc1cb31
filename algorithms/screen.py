"""What a user watches: a live table on a terminal, plain lines elsewhere, for one arm or for many side by side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from conf.schema import Config

Metrics = dict[str, float]
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


def title_of(config: Config, layers: Sequence[str]) -> str:
    """What a screen begins with: the cell, or the cells that differ in their layer."""
    layer = f"layer={layers[0]}" if len(layers) == 1 else f"layers {abbreviated(layers)}"
    return f"{config.task.name} | {config.model.name} | {config.algorithm.name} | {layer} | seed={config.seed}"


def abbreviated(layers: Sequence[str]) -> str:
    """A list in which three or more blocks that follow each other are a range: ``base, 0 to 29``."""
    runs: list[list[str]] = []
    for layer in layers:
        follows = runs and layer.isdigit() and runs[-1][-1].isdigit() and int(layer) == int(runs[-1][-1]) + 1
        if follows:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


class Screen:
    """Shows the steps and scores of the arms that share one loop; a single arm has more columns."""

    def __init__(self, title: str, steps: int) -> None:
        self._console = console()
        self._title, self._steps = title, steps
        self._rows, self._seconds = deque[dict[str, str]](maxlen=12), deque[float](maxlen=12)
        self._step = 0.0
        self._live: Live | None = None
        self._console.print(f"[bold]{title}[/bold]", highlight=False)

    def say(self, text: str) -> None:
        """Print above the table."""
        self._console.print(text, highlight=False, markup=False)

    def log(self, arms: Sequence[Metrics]) -> None:
        """Show one step of one arm, or of several that took it together."""
        self._step = arms[0]["step"]
        self._rows.append(_one(arms[0]) if len(arms) == 1 else _several(arms))
        self._seconds.append(sum(metrics["seconds"] for metrics in arms))
        if not self._console.is_terminal:
            cells = "  ".join(f"{label} {text}" for label, text in self._rows[-1].items())
            self.say(f"{cells}  left {self._eta()}")
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=4)
            self._live.start()
        self._live.update(self._table())

    def evaluated(self, phase: str, scores: Sequence[float], n_items: int, n_samples: int) -> None:
        """Show what an evaluation found, one score per arm."""
        played = f"({n_items} items x {n_samples})"
        if len(scores) == 1:
            self.say(f"evaluation {phase}: score {scores[0]:.3f} {played}")
        else:
            found = f"mean score {sum(scores) / len(scores):.3f}, {min(scores):.3f} to {max(scores):.3f}"
            self.say(f"evaluation {phase}: {len(scores)} arms, {found} {played}")

    def close(self) -> None:
        """Leave the table on the screen."""
        if self._live is not None:
            self._live.stop()

    def _table(self) -> Table:
        table = Table(title=f"{self._title}   step {self._step:.0f}/{self._steps}   left {self._eta()}")
        labels = list(dict.fromkeys(label for row in self._rows for label in row))
        for label in labels:
            table.add_column(label, justify="right")
        for row in self._rows:
            table.add_row(*(row.get(label, "") for label in labels))
        return table

    def _eta(self) -> str:
        mean = sum(self._seconds) / len(self._seconds)
        return time.strftime("%H:%M:%S", time.gmtime(mean * (self._steps - self._step)))


def _one(metrics: Metrics) -> dict[str, str]:
    return {label: _format(key, metrics[key]) for key, label in COLUMNS.items()}


def _several(arms: Sequence[Metrics]) -> dict[str, str]:
    rewards = [metrics["reward"] for metrics in arms]
    return {
        "step": f"{arms[0]['step']:.0f}",
        "arms": str(len(arms)),
        "reward": f"{sum(rewards) / len(rewards):.3g}",
        "from": f"{min(rewards):.3g}",
        "to": f"{max(rewards):.3g}",
        "s/step": f"{sum(metrics['seconds'] for metrics in arms):.3g}",
    }


def _format(key: str, value: float) -> str:
    return f"{value:.0f}" if key == "step" else f"{value:.3g}"
