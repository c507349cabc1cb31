"""How a fused step grows: seconds and peak memory against blocks trained, group size, prompt length, episodes per step.

One factor at a time; the others stay at 8 blocks in one bank, 4 questions x 4 answers and the task's own prompts. Every
point is a process of its own. Seconds are those of the processor for one step, rollouts and update, after one to warm
up; learning rate 1e-12. Memory is the process's high-water mark less what Python and its libraries have: weights, the
blocks' own copies, gradients, optimizer, activations. Prompts grow by random tokens in front, others for each question:
a beginning that all share would be read once. Every row is in the pass, whether it has an advantage or not, and nothing
ends an answer early: else the work would depend on what is answered. A slope is that of a straight line through the
logarithms: 1 is proportional, below 1 a part of the cost is fixed or shared.

NOT covered: factors together, start-up, evaluation, GPUs, long answers.

    python benchmarks/growth.py --out growth.png [--rounds 3] [--threads 1] [--model-path FOLDER] [model=tiny task=...]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from lockstep import Found, serve, take_turns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from one_batch import Step, Work
from side_by_side import configuration, machine, table, timed

from agents.memory import Memory
from agents.models import load_tokenizer, resolve
from agents.sampler import Sampling
from algorithms.machine import choose
from algorithms.meter import peak_memory_bytes, reset_peak_memory
from algorithms.workers.single import start_verl
from evaluation.report.figures.style import BLUE, GREY, ORANGE

Point = dict[str, int]
FIXED: Point = {"blocks": 8, "answers": 4, "longer": 0, "questions": 4}
LINES = {"answers": [2, 4, 8, 16], "longer": [0, 50, 150, 450], "questions": [2, 4, 8, 16]}
NAMES = {
    "blocks": "blocks trained",
    "answers": "answers per prompt",
    "longer": "tokens per prompt",
    "questions": "episodes of a cell per step",
}
"""What the horizontal axis of each line shows."""


class Endless(Step):
    """Answers run to the token limit."""

    @property
    def sampling(self) -> Sampling:
        """As in training, but nothing stops."""
        return replace(super().sampling, stop_ids=frozenset())


def lengthen(step: Step, n_tokens: int) -> None:
    """Put random tokens in front of every prompt, the same for the same prompt."""
    vocabulary, prompt = len(load_tokenizer(step.model.path)), step.agent.prompt

    def longer(memory: Memory) -> list[int]:
        ids = prompt(memory)
        rng = random.Random(str(ids))
        return [rng.randrange(vocabulary) for _ in range(n_tokens)] + ids

    step.agent.prompt = longer  # type: ignore[method-assign]


def measure_point(at: Point, options: argparse.Namespace) -> None:
    """One point, in its own process."""
    words = [
        "algorithm.learning_rate=1e-12",
        "algorithm.drop_zero_advantage=false",
        f"algorithm.group_size={at['answers']}",
        f"algorithm.groups_per_step={at['questions']}",
        *options.overrides,
    ]
    config = configuration(*words, model_path=options.model_path, threads=options.threads)
    n_blocks = resolve(config.model, config.task).n_blocks
    start_verl(choose(config.runner))
    libraries = peak_memory_bytes("cpu")
    # Spread over the model, as the blocks of a study are.
    step = Endless.build(config, [round(place) for place in np.linspace(0, n_blocks - 1, at["blocks"])])
    lengthen(step, at["longer"])
    reset_peak_memory("cpu")  # reading the weights takes more for a moment

    def take() -> Found:
        work: Work = {}
        parts = timed(lambda: work.update(step.collect()), lambda: step.update(work))
        prompts = work[0][0].prompt_ids
        axis = {"blocks": len(work), "longer": np.mean([len(ids) for ids in prompts]), "questions": len(step.starts)}
        memory = (peak_memory_bytes("cpu") - libraries) / 2**30
        return parts | {"memory": memory, "axis": {"answers": at["answers"]} | {k: float(v) for k, v in axis.items()}}

    serve(take)


@dataclass(frozen=True)
class Line:
    """What was found along one factor."""

    factor: str
    x: list[float]
    seconds: list[float]
    memory: list[float]

    def slope(self, values: Sequence[float]) -> float:
        """Of a straight line through the logarithms."""
        return float(np.polyfit(np.log(self.x), np.log(values), 1)[0])


def draw(lines: Sequence[Line], words: str, path: Path) -> None:
    """One panel per factor, both axes logarithmic, everything relative to the line's first point."""
    figure = Figure(figsize=(8.6, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, line in zip(figure.subplots(2, 2).flat, lines, strict=True):
        _panel(axis, line)
    figure.supylabel("relative to the first point", fontsize=10)
    figure.suptitle(words, fontsize=10)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _panel(axis: Axes, line: Line) -> None:
    x = np.array(line.x)
    axis.plot(x, x / x[0], color=GREY, linewidth=1, linestyle="--", zorder=1, label="proportional")
    for name, values, colour, marker in (("CPU time", line.seconds, BLUE, "o"), ("memory", line.memory, ORANGE, "s")):
        label = f"{name}, slope {line.slope(values):.2f}"
        axis.plot(x, np.array(values) / values[0], color=colour, marker=marker, markersize=5, zorder=3, label=label)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(line.x)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        scale.set_minor_formatter(NullFormatter())
    axis.set_xlabel(NAMES[line.factor])
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left")


def main() -> None:
    """Measure point by point, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the figure, a PNG")
    parser.add_argument("--rounds", type=int, default=3, help="steps that count, after one to warm up")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; 0: one per usable core")
    parser.add_argument("--factors", default=",".join(NAMES), help="with commas")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. model=tiny task=math/reversed")
    options = parser.parse_args()
    if options.point:
        measure_point(options.point, options)
        return
    config = configuration(*options.overrides, model_path=options.model_path, threads=options.threads)
    n_blocks = resolve(config.model, config.task).n_blocks
    fixed = FIXED | {"blocks": min(FIXED["blocks"], n_blocks)}
    places = {"blocks": sorted({round(n_blocks ** (third / 3)) for third in range(4)})} | LINES
    found: dict[str, list[Mapping[str, float]]] = {}
    lines, rows = [], []
    for factor in options.factors.split(","):
        xs, seconds, memory = [], [], []
        for value in places[factor]:
            key = json.dumps(fixed | {factor: value})
            if key not in found:
                print(f"{factor} {value}", file=sys.stderr, flush=True)
                found[key] = take_turns({key: [sys.executable, *sys.argv, "--point", key]}, options.rounds)[key]
            laps = found[key]
            xs.append(laps[0]["axis"][factor])
            parts = [median(lap[f"{part} cpu"] for lap in laps) for part in ("generate", "update", "step")]
            seconds.append(parts[-1])
            memory.append(laps[-1]["memory"])
            rows.append(
                [NAMES[factor], f"{xs[-1]:.0f}", *(f"{part:.2f}" for part in parts), f"{memory[-1]:.2f}", "", ""]
            )
        lines.append(Line(factor, xs, seconds, memory))
        rows[-1][-2:] = [f"{lines[-1].slope(values):.2f}" for values in (seconds, memory)]
    words = f"{config.model.name}, {config.task.name}: {fixed['blocks']} of {n_blocks} blocks, "
    words += f"{fixed['questions']} questions x {fixed['answers']} answers where not varied"
    print(f"{machine(options.threads)} · float32 · {options.rounds} rounds\n{words}\n")
    head = ["factor", "at", "generate CPU s", "update CPU s", "step CPU s", "GiB", "slope of time", "slope of memory"]
    print(table(head, rows))
    if options.out and len(lines) == len(NAMES):
        draw(lines, words, options.out)


if __name__ == "__main__":
    main()
