"""Two programs, measured turn by turn: A B A B ..., so that what else the machine does falls on both alike.

Report ratios of pairs, not ratios of means: on a shared machine seconds drift, the two halves of a pair hardly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

# As in run.py: threads that wait must sleep, not spin. Before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import conf.schema
from algorithms.machine import cpu_info, usable_cores
from conf.schema import Config

Side = Callable[[], Mapping[str, float]]
"""Does the work once and returns seconds by part, e.g. ``{"generate": 2.1, "update": 4.0}``."""


def configuration(*overrides: str, model_path: str | None = None, threads: int = 0) -> Config:
    """Compose the project's own configuration, as ``python run.py`` would: float32, SmolLM2-135M, the easy task."""
    words = ["runner.dtype=float32", "runner.device=cpu", f"runner.threads={threads}", *overrides]
    if model_path:
        words += ["model=local", "model.name=local", f"model.path={model_path}", "model.learning_rate=1e-5"]
    conf.schema.register()
    with initialize_config_dir(str(Path(conf.schema.__file__).parent.resolve()), version_base="1.3"):
        return OmegaConf.to_object(compose("config", overrides=words))


def timed(generate: Callable[[], object], update: Callable[[], object]) -> dict[str, float]:
    """Seconds of both parts and of the whole step, by the clock and of the processor."""
    clock, cpu = [time.perf_counter()], [time.process_time()]
    for part in (generate, update):
        part()
        clock.append(time.perf_counter())
        cpu.append(time.process_time())
    return {
        f"{name}{kind}": marks[end] - marks[start]
        for kind, marks in (("", clock), (" cpu", cpu))
        for name, start, end in (("generate", 0, 1), ("update", 1, 2), ("step", 0, 2))
    }


def alternate(sides: Mapping[str, Side], pairs: int) -> dict[str, list[dict[str, float]]]:
    """Run every side once to warm up (not counted), then ``pairs`` rounds of all of them, in turn."""
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for round_number in range(pairs + 1):
        for name, side in sides.items():
            parts = side()
            if round_number:
                seconds[name].append(dict(parts))
    return seconds


def ratios(a: Sequence[Mapping[str, float]], b: Sequence[Mapping[str, float]], part: str) -> list[float]:
    """A's seconds over B's, pair by pair."""
    return [ours[part] / theirs[part] for ours, theirs in zip(a, b, strict=True)]


def chosen_blocks(words: str, n_blocks: int) -> list[int]:
    """Numbers of blocks from a list with commas, ``all``, or a number of them, spread evenly, as ``5 of all``."""
    if words == "all":
        return list(range(n_blocks))
    if words.endswith(" of all"):
        return sorted({round(place) for place in np.linspace(0, n_blocks - 1, int(words.removesuffix(" of all")))})
    return sorted({int(word) for word in words.split(",")})


def sum_over_blocks(found: Mapping[int, float], n_blocks: int) -> float:
    """The sum over all blocks of what was found for some, between which it is taken to be linear in the number."""
    measured = sorted(found)
    return float(np.interp(range(n_blocks), measured, [found[block] for block in measured]).sum())


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median and, in brackets, the smallest and largest value."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine(threads: int) -> str:
    """What it ran on, and what else was running: the load is that of the last minute, this run included."""
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC · {cpu_info().get('model name', 'unknown CPU')} · "
        f"{usable_cores()} cores usable · torch {torch.__version__}, {threads or usable_cores()} threads · "
        f"load average {os.getloadavg()[0]:.1f}"
    )
