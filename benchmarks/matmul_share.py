"""How close the update comes to what matrix products reach on this machine: full training, 8 rows x 128 tokens.

Random ids and distinct prompts, so nothing is shared and nothing is padded: what is left is arithmetic, and what keeps
the machine from it. Half of a row is the response. FLOP are counted, not estimated, in one more update (matrix products
and attention), and divided by the seconds of the clock, measured in two ways: the whole update as the trainer calls it,
and without the optimizer's step (clipping and AdamW move bytes: every weight, gradient and moment once or more).

The machine's own rate is measured in the same run, in turn with the update, on the products that this model's linear
layers need for the same tokens, forward and both gradients, and nothing else: cold, with weights of their own for every
block, as training has them; hot, with one block's weights again and again; best is the fastest of all these products.

bfloat16 is measured where the processor has instructions for it, else the script says so.

NOT covered: generation, GPUs, other models' shapes.

    python benchmarks/matmul_share.py [--rounds 5] [--threads 1] [--model-path FOLDER] [model=...]
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from arithmetic import counted
from one_batch import Step
from side_by_side import alternate, configuration, machine, spread, table
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from agents.episode import Episode, Start, Turn
from algorithms.batch import Batch, from_episodes
from algorithms.layers import find_blocks
from algorithms.machine import cpu_bfloat16_flags
from algorithms.workers.bank_engine import BankEngine

ROWS, TOKENS = 8, 128
GOALS = {"float32": 0.40, "bfloat16": 0.20}


def shapes_of(path: Path) -> PreTrainedModel:
    """The model without its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))


def batch_for(step: Step, vocabulary: int) -> Batch:
    """Rows of random ids, the second half of each the response; old log-probs are those of the model."""
    rng, episodes = random.Random(0), []
    for number in range(ROWS):
        ids = [rng.randrange(vocabulary) for _ in range(TOKENS)]
        prompt, response = ids[: TOKENS // 2], ids[TOKENS // 2 :]
        turn = Turn(prompt, response, [0.0] * len(response), [], truncated=True, text="", observation="")
        episodes.append(Episode(Start("train", number, number, 0, number), [turn]))
    batch = from_episodes(episodes)
    return replace(batch, rollout_logprobs=step.worker.log_probs(batch))


def timed_update(update: Callable[[], object]) -> dict[str, float]:
    """Seconds of an update, and of it without the optimizer's step."""
    optimizer_s = 0.0
    original = BankEngine.optimizer_step

    def measured(engine: BankEngine) -> float:
        nonlocal optimizer_s
        start = time.perf_counter()
        norm = original(engine)
        optimizer_s += time.perf_counter() - start
        return norm

    with patch.object(BankEngine, "optimizer_step", measured):
        start = time.perf_counter()
        update()
        whole_s = time.perf_counter() - start
    return {"whole update": whole_s, "without the optimizer's step": whole_s - optimizer_s}


class Products:
    """The matrix products of a full update: x W, and both gradients, of every linear layer."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        def random_of(*shape: int) -> torch.Tensor:
            return torch.randn(*shape).to(dtype)

        blocks = find_blocks(model)
        shapes = [tuple(part.weight.shape) for part in blocks[0].modules() if isinstance(part, nn.Linear)]
        self.cold = [[random_of(*shape) for shape in shapes] for _ in blocks]
        self.head = random_of(*model.get_output_embeddings().weight.shape)
        sizes = {size for weight in (*self.cold[0], self.head) for size in weight.shape}
        # The last token of a row is not read; of those read, half predict something.
        self.inputs = {size: random_of(ROWS * (TOKENS - 1), size) for size in sizes}
        self.best = 0.0

    def seconds(self, hot: bool) -> tuple[float, float]:
        """Seconds of all of them and their GFLOP."""
        total_s = gflop = 0.0
        for weights in [self.cold[0]] * len(self.cold) if hot else self.cold:
            for weight in weights:
                total_s, gflop = (a + b for a, b in zip((total_s, gflop), self._three(weight, None), strict=True))
        head_s, head_gflop = self._three(self.head, ROWS * TOKENS // 2)
        return total_s + head_s, gflop + head_gflop

    @torch.no_grad()
    def _three(self, weight: torch.Tensor, n_rows: int | None) -> tuple[float, float]:
        x, gradient = self.inputs[weight.shape[1]][:n_rows], self.inputs[weight.shape[0]][:n_rows]
        gflop = 2 * x.shape[0] * weight.numel() / 1e9
        marks = [time.perf_counter()]
        for product in (lambda: nn.functional.linear(x, weight), lambda: gradient @ weight, lambda: gradient.T @ x):
            product()
            marks.append(time.perf_counter())
            self.best = max(self.best, gflop / (marks[-1] - marks[-2]))
        return marks[-1] - marks[0], 3 * gflop

    def rates(self) -> dict[str, float]:
        """GFLOP/s: cold, hot, and of the fastest product."""
        self.best = 0.0
        rates = {name: gflop / s for name, (s, gflop) in (("cold", self.seconds(False)), ("hot", self.seconds(True)))}
        return rates | {"best": self.best}


def measure(dtype: str, options: argparse.Namespace) -> list[list[object]]:
    """The rows of the table for one precision."""
    words = ["layer=full", "algorithm.learning_rate=1e-12", *options.overrides, f"runner.dtype={dtype}"]
    step = Step.build(configuration(*words, model_path=options.model_path, threads=options.threads))
    shapes = shapes_of(step.model.path)
    batch = batch_for(step, shapes.get_output_embeddings().weight.shape[0])
    advantage_B = np.where(np.arange(ROWS) % 2, 1.0, -1.0)
    _, gflop = counted(lambda: step.worker.update({0: (batch, advantage_B)}))
    products = Products(shapes, getattr(torch, dtype))
    update = {"ours": lambda: timed_update(lambda: step.worker.update({0: (batch, advantage_B)}))}
    laps = alternate(update | {"machine": products.rates}, options.rounds)
    rows: list[list[object]] = []
    for part in laps["ours"][0]:
        rates = [gflop / lap[part] for lap in laps["ours"]]
        against = [
            spread([rate / lap[kind] for rate, lap in zip(rates, laps["machine"], strict=True)])
            for kind in ("cold", "hot", "best")
        ]
        share = median(rate / lap["best"] for rate, lap in zip(rates, laps["machine"], strict=True))
        met = ("yes" if share >= GOALS[dtype] else "NO") if part == "whole update" else ""
        seconds = f"{median(lap[part] for lap in laps['ours']):.2f}"
        rows.append([dtype, part, seconds, f"{gflop:.0f}", f"{median(rates):.0f}", *against, met])
    rates = [f"{kind} {spread([lap[kind] for lap in laps['machine']], 0)}" for kind in ("cold", "hot", "best")]
    print(f"{dtype}: this machine's products, GFLOP/s: {', '.join(rates)}", flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; 0: one per usable core")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. model=tiny")
    options = parser.parse_args()
    rows = measure("float32", options)
    gc.collect()
    if flags := cpu_bfloat16_flags():
        rows += measure("bfloat16", options)
    print(f"bfloat16: {', '.join(flags) if flags else 'not measured, this processor has no instructions for it'}")
    print(f"\n{machine(options.threads)} · full, {ROWS} x {TOKENS} tokens · {options.rounds} rounds\n")
    head = ["dtype", "of", "s", "GFLOP", "GFLOP/s", "/ cold", "/ hot", "/ best"]
    print(table([*head, f">= {GOALS['float32']} / {GOALS['bfloat16']} of best"], rows))


if __name__ == "__main__":
    main()
