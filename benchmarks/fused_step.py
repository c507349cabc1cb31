"""One whole study step of every single block of a model: in one bank, and the same cells one after the other.

Three sides, each in a process of its own, taking turns, with the same questions, seeds and weights:

* fused: all blocks are policies of one ``LocalWorker``: one rollout, one update for all of them;
* separate: every cell by itself, with everything that one cell can share (a bank of one policy);
* off: every cell by itself, nothing shared (``runner.shortcuts=false``: prompts read once per answer, rows padded).

A step is what the trainer does: environments, prompts, answers, rewards, advantages, update. The learning rate is
1e-12: AdamW does all its work, but the weights stand still, so every repetition is the same step. Of the separate
sides only some blocks are run, unless ``--blocks all``; their sum is interpolated linearly in the number of the block.
Before anything is timed, answers must be the same on all sides and gradient norms must agree to 1e-3.

GFLOP are counted in one more round that is not timed (matrix products and attention only). Peak memory is the fused
process's high-water mark: Python, libraries, weights, optimizer and step; the separate processes hold several cells, so
theirs means nothing.

NOT covered: start-up, evaluation, audit, checkpoints (``fused_study.py``); base and full, which share nothing with the
bank; bfloat16; GPUs; steps late in training, when the policies say different things and share less.

    python benchmarks/fused_step.py [--rounds 3] [--threads 1] [--blocks 0,7,15,22,29] [--model-path DIR] [task=...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from arithmetic import counted
from lockstep import Found, serve, take_turns
from one_batch import Step, Work, answers
from side_by_side import chosen_blocks, configuration, machine, spread, sum_over_blocks, table, timed

from agents.models import resolve
from algorithms.meter import peak_memory_bytes
from conf.schema import Config

SIDES = ("fused", "separate", "off")
LIMIT, TOLERANCE, SAME = 0.30, 1e-3, 0.95


def settings(options: argparse.Namespace, *more: str) -> Config:
    """The configuration of all sides but for their shortcuts."""
    words = ["algorithm.learning_rate=1e-12", *options.overrides, *more]
    return configuration(*words, model_path=options.model_path, threads=options.threads)


def side(name: str, options: argparse.Namespace) -> None:
    """One side, in its own process: a step of every cell whenever it is told to."""
    config = settings(options, f"runner.shortcuts={name != 'off'}")
    n_blocks = resolve(config.model, config.task).n_blocks
    blocks = chosen_blocks(options.blocks, n_blocks)
    if name == "fused":
        step = Step.build(config, range(n_blocks))
        cells = {"all": (step, list(range(n_blocks)))}
    elif name == "off":
        step = Step.build(config, blocks)
        cells = {str(block): (step, [variant]) for variant, block in enumerate(blocks)}
    else:
        cells = {str(block): (Step.build(config, [block]), [0]) for block in blocks}
        share_frozen([step for step, _ in cells.values()])

    def warm_up() -> Found:
        found: Found = {"answers": {}, "norms": {}, "gflop": {}}
        for cell, (step, variants) in cells.items():
            work, generate = counted(lambda step=step, variants=variants: step.collect(variants))
            norms, update = counted(lambda step=step, work=work: step.update(work))
            found["gflop"][cell] = {"generate": generate, "update": update, "step": generate + update}
            labels = {variant: step.selections[variant].label for variant in variants}
            found["answers"] |= {labels[variant]: tokens for variant, tokens in answers(work).items()}
            found["norms"] |= {labels[variant]: norm for variant, norm in norms.items()}
        return found

    def take() -> Found:
        seconds = {cell: timed(*_parts(step, variants)) for cell, (step, variants) in cells.items()}
        return {"cells": seconds, "peak": peak_memory_bytes("cpu")}

    serve(take, warm_up)


def _parts(step: Step, variants: list[int]) -> tuple[Callable[[], None], Callable[[], None]]:
    work: Work = {}
    return lambda: work.update(step.collect(variants)), lambda: step.update(work) and None


def share_frozen(steps: list[Step]) -> None:
    """Let all models have the same memory for what none of them trains, so that many fit in one process."""
    first: dict[str, Any] = {}
    for step in steps:
        trained = step.worker.trained(0)
        for name, parameter in step.worker.parameters(0).items():
            if name not in trained:
                parameter.data = first.setdefault(name, parameter.data)


def check(ready: Mapping[str, Found]) -> None:
    """The sides must have done the same work.

    Raises:
        AssertionError: They drew other answers, or a gradient norm differs.
    """
    fused = ready["fused"]
    for name in SIDES[1:]:
        equal = rows = 0
        worst, compared = 0.0, 0
        for block, theirs in ready[name]["answers"].items():
            ours = fused["answers"][block]
            same = sum(a == b for a, b in zip(ours, theirs, strict=False))
            equal, rows = equal + same, rows + max(len(ours), len(theirs))
            norms = fused["norms"][block], ready[name]["norms"][block]
            if ours == theirs and max(norms):  # an answer that rounding changed has another gradient
                worst, compared = max(worst, abs(norms[0] - norms[1]) / max(norms)), compared + 1
        print(
            f"fused and {name}: {equal} of {rows} answers equal; gradient norms differ by at most {worst:.1e} ", end=""
        )
        print(f"({compared} of {len(ready[name]['answers'])} blocks compared)", flush=True)
        assert equal >= SAME * rows, f"fused and {name}: only {equal} of {rows} answers are the same"
        assert worst < TOLERANCE, f"fused and {name}: gradient norms differ by {worst:.1e}"


def whole(cells: Mapping[str, Mapping[str, float]], part: str, n_blocks: int) -> float:
    """What all blocks cost, from one round of a side."""
    if "all" in cells:
        return cells["all"][part]
    return sum_over_blocks({int(block): parts[part] for block, parts in cells.items()}, n_blocks)


def main() -> None:
    """Let the sides take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, after one to warm up and compare")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of every side; 0: one per usable core")
    parser.add_argument("--blocks", default="5 of all", help="which the separate sides run: 0,7,15,22,29, or all")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. model=tiny task=math/reversed")
    options = parser.parse_args()
    if options.side:
        side(options.side, options)
        return
    config = settings(options)
    n_blocks = resolve(config.model, config.task).n_blocks
    blocks = chosen_blocks(options.blocks, n_blocks)
    ready: dict[str, Found] = {}

    def keep(found: Mapping[str, Found]) -> None:
        ready.update(found)
        check(found)

    commands = {name: [sys.executable, *sys.argv, "--side", name] for name in SIDES}
    said = take_turns(commands, options.rounds, keep)

    rows: list[list[object]] = []
    for part in ("generate", "update", "step"):
        for name in SIDES:
            cpu, wall = ([whole(lap["cells"], part + kind, n_blocks) for lap in said[name]] for kind in (" cpu", ""))
            fused = [[lap["cells"]["all"][part + kind] for lap in said["fused"]] for kind in (" cpu", "")]
            quotients = [[a / b for a, b in zip(*pair, strict=True)] for pair in zip(fused, (cpu, wall), strict=True)]
            gflop = whole(ready[name]["gflop"], part, n_blocks)
            verdict = ("yes" if median(quotients[0]) <= LIMIT else "NO") if (part, name) == ("step", "off") else ""
            seconds = [f"{median(cpu):.2f}", f"{median(wall):.2f}"]
            rate = f"{gflop / median(cpu):.0f}"
            rows.append([part, name, *seconds, *map(spread, quotients), f"{gflop:.1f}", rate, verdict])
    measured = (
        "every block" if len(blocks) == n_blocks else f"blocks {', '.join(map(str, blocks))}, the sum interpolated"
    )
    print(f"\n{machine(options.threads)} · {config.runner.dtype} · {config.model.name}, {config.task.name}")
    print(f"{n_blocks} blocks in one step, {options.rounds} rounds; separate and off: {measured}\n")
    head = ["part", "side", "CPU s", "wall s", "fused / side, CPU", "fused / side, wall", "GFLOP", "GFLOP per CPU s"]
    print(table([*head, f"<= {LIMIT}"], rows))
    print(f"\npeak memory of the fused process: {said['fused'][-1]['peak'] / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
