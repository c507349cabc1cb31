"""Our training step against TRL's GRPOTrainer: same model folder, prompts, answers per prompt, length and precision.

Both train every parameter in float32: one update per step, no KL, no reference model, the same learning rate (so small
that answers keep their length). Two processes take turns, step by step. Ours is the whole ``Trainer``: environments,
metrics and all. TRL's (``trl_side.py``) is its whole training step, generation and reward function included, with our
stop tokens (by default only end of text ends an answer) and without gradient checkpointing, shuffling or saving.

NOT covered: GPUs, vLLM, long answers, whether either learns. What stays different: TRL reads the prompt once per
answer, pads rows, and keeps those without an advantage in the pass (``--every-row`` makes ours do so, too); both draw
their own answers, so the number of tokens differs: it is in the table.

TRL is no dependency of this project; it gets an environment of its own:

    python -m venv ../venv_trl
    ../venv_trl/bin/pip install torch==2.13.0 trl==1.16.0 transformers==5.10.4 datasets==5.2.0 accelerate==1.15.0
    python benchmarks/trl_step.py --trl-python ../venv_trl/bin/python [--rounds 7] [--threads 1] [--every-row]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from lockstep import say, take_turns, wait_for_turn
from one_batch import Step
from side_by_side import configuration, machine, ratios, spread, table

from agents.models import load_tokenizer
from algorithms.arm import Arm
from algorithms.cell import Cell
from algorithms.machine import choose
from algorithms.meter import Meter, peak_memory_bytes
from algorithms.screen import Screen
from algorithms.trackers import Trackers
from algorithms.trainer import Trainer
from conf.schema import Config
from evaluation.results import Result

TRL_SIDE = Path(__file__).with_name("trl_side.py")
LEARNING_RATE = 1e-6


class Heard:
    """A tracker that remembers what the last step found."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def log(self, metrics: dict[str, float]) -> None:
        """Remember."""
        self.metrics = metrics

    def finished(self, result: Result) -> None:
        """Its run never ends."""

    def close(self) -> None:
        """Nothing is open."""


def ours(folder: Path, options: argparse.Namespace) -> None:
    """Our process: write down what TRL is to do, then train, waiting for our turn after every step."""
    config = configuration(
        "layer=full",
        f"algorithm.learning_rate={LEARNING_RATE}",
        f"algorithm.drop_zero_advantage={not options.every_row}",
        f"steps={options.rounds + 2}",  # one to warm up, and one that never comes: the last step saves
        f"checkpoint_every={options.rounds + 2}",
        model_path=options.model_path,
        threads=options.threads,
    )
    step, heard = Step.build(config), Heard()
    selection = step.selections[0]
    arm = Arm(selection, Cell(replace(config, runs_dir=str(folder)), selection.label), [], alone=True)
    arm.trackers = Trackers([heard])
    trainer = Trainer(config, [arm], step.worker, step.agent, step.make_env, Meter())
    (folder / "job.json").write_text(json.dumps(job(config, step, trainer, options)))
    started = [0.0, 0.0]

    def after_step(number: int, _: Sequence[Arm]) -> None:
        if number == 1:
            say(ready=True)
        else:
            say(
                seconds=time.perf_counter() - started[0],
                cpu_seconds=time.process_time() - started[1],
                tokens=heard.metrics["response_tokens"],
                peak=peak_memory_bytes("cpu"),
            )
        if not wait_for_turn():
            sys.exit()
        started[:] = time.perf_counter(), time.process_time()

    trainer.train(Screen("ours", config.steps), after_step, lambda: False)


def job(config: Config, step: Step, trainer: Trainer, options: argparse.Namespace) -> dict[str, object]:
    """All that TRL's side needs to know: the prompts of each step in our order, the answers, the settings."""
    env, tokenizer, algorithm = step.make_env(), load_tokenizer(step.model.path), config.algorithm
    rows = []
    for number in range(config.steps):
        for start in trainer._starts(number)[:: algorithm.group_size]:
            question, told = env.reset(options={"split": start.split, "index": start.index})
            answer = env.demonstration(start.split, start.index)[0].strip()
            prompt = tokenizer.decode(step.agent.prompt(step.agent.begin(question, told)))
            rows.append({"prompt": prompt, "answer": answer})
    return {
        "model": str(step.model.path),
        "rows": rows,
        "steps": config.steps,
        "threads": choose(config.runner).threads,
        "stop_ids": sorted(step.sampling.stop_ids),
        "max_new_tokens": config.task.max_response_tokens,
        "group_size": algorithm.group_size,
        "batch": algorithm.groups_per_step * algorithm.group_size,
        "learning_rate": LEARNING_RATE,
        "beta2": algorithm.adam_betas[1],
        "weight_decay": algorithm.weight_decay,
        "clip_grad": algorithm.clip_grad,
    }


def main() -> None:
    """Start both, let them take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", help="the Python that has TRL")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each that count, after one to warm up")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: one per usable core")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("--every-row", action="store_true", help="ours, too, keeps rows without an advantage")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(options.ours, options)
        return
    if not options.trl_python:
        parser.error("--trl-python is missing; see above how to make it")
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "ours": [sys.executable, *sys.argv, "--ours", folder],
            "TRL": [options.trl_python, str(TRL_SIDE), f"{folder}/job.json"],
        }
        said = take_turns(commands, options.rounds)

    rows = []
    for name, rounds in said.items():
        rows.append(
            [
                name,
                f"{median(lap['seconds'] for lap in rounds):.2f}",
                spread(ratios(rounds, said["TRL"], "seconds")),
                spread(ratios(rounds, said["TRL"], "cpu_seconds")),
                f"{median(lap['tokens'] for lap in rounds):.1f}",
                f"{rounds[-1]['peak'] / 2**30:.2f}",
            ]
        )
    print(f"{machine(options.threads)} · float32 · {said['TRL'][0]['versions']} · {options.rounds} rounds\n")
    print(table(["side", "s per step", "/ TRL", "/ TRL, CPU time", "tokens per answer", "peak GiB"], rows))


if __name__ == "__main__":
    main()
