"""Is verl's worker slower than a loop written by hand? One training step of each, same model, same data, same maths.

Ours is what the trainer does: environments, prompts, generation, rewards, advantages, then verl's update through
``LocalWorker``. The hand loop (``plain_loop.py``) has its own generation (each prompt read once, cached decode,
finished rows leave the batch) and its own update (PPO clip, mean over the tokens of the whole batch, rows of advantage
zero left out, AdamW, gradient clipping), in which rows are padded and each reads its prompt; it is handed prompts and
advantages, so environments count against us. What our shortcuts save is in the ratio: ``shortcuts.py`` takes it apart.
Both draw with the same random numbers, and their first gradients must agree to 1e-4.

The learning rate is 1e-12: AdamW does all its work, but the weights stand still, so every repetition is the same step.

NOT covered: bfloat16, GPUs, several passes per step, long answers, other algorithms, what happens between steps
(metrics, audit, checkpoints). Both sides live in one process and share its allocator and file cache.

    python benchmarks/step_time.py [--pairs 7] [--threads 1] [--model-path FOLDER] [--layers full,15] [task=...]
"""

from __future__ import annotations

import argparse
import gc
from statistics import median

import numpy as np
import torch
from one_batch import Step
from plain_loop import PlainLoop
from side_by_side import alternate, configuration, machine, ratios, spread, table, timed

LIMIT = 1.15
TOLERANCE = 1e-4


def measure(layer: str, options: argparse.Namespace) -> list[list[object]]:
    """The rows of the table for one choice of layer.

    Raises:
        AssertionError: The two sides drew other answers, or their first gradients differ.
    """
    config = configuration(
        f"layer={layer}",
        "algorithm.learning_rate=1e-12",
        *options.overrides,
        model_path=options.model_path,
        threads=options.threads,
    )
    ours, algorithm = Step.build(config), config.algorithm
    block = None if layer == "full" else int(layer)
    settings = {"lr": 1e-12, "betas": algorithm.adam_betas, "decay": algorithm.weight_decay}
    hand = PlainLoop(ours.model.path, block, **settings)
    work = ours.collect()
    batch, advantage_B = work[0]
    n_new = config.task.max_response_tokens
    # The numbers that agents.sampler draws from the rows' seeds.
    uniform_BT = torch.from_numpy(np.stack([np.random.default_rng(seed).random(n_new) for seed in ours.seeds]))
    stop_ids = sorted(ours.sampling.stop_ids)

    def hand_generate() -> list[list[int]]:
        return hand.generate(batch.prompt_ids, uniform_BT, stop_ids)[0]

    def hand_update() -> float:
        return hand.update(
            batch.prompt_ids,
            batch.response_ids,
            batch.rollout_logprobs,
            advantage_B,
            clip=algorithm.clip_ratio,
            clip_grad=algorithm.clip_grad,
            drop_zero=algorithm.drop_zero_advantage,
        )

    same = sum(a == b for a, b in zip(hand_generate(), batch.response_ids, strict=True))
    assert same >= 0.95 * len(batch), f"only {same} of {len(batch)} answers are the same on both sides"
    norms = ours.update(work)[0], hand_update()
    difference = abs(norms[0] / norms[1] - 1)
    print(
        f"layer={layer}: gradient norm ours {norms[0]:.6f}, by hand {norms[1]:.6f}, difference {difference:.1e}; ",
        end="",
    )
    print(f"{same}/{len(batch)} equal answers, {np.count_nonzero(advantage_B)} rows with an advantage", flush=True)
    assert difference < TOLERANCE, f"the gradient norms differ by {difference:.1e}"

    sides = {
        "ours": lambda: timed(ours.collect, lambda: ours.update(work)),
        "hand": lambda: timed(hand_generate, hand_update),
    }
    seconds = alternate(sides, options.pairs)
    rows: list[list[object]] = []
    for part in ("generate", "update", "step"):
        quotient = ratios(seconds["ours"], seconds["hand"], part)
        medians = [f"{median(lap[part] for lap in seconds[side]):.2f}" for side in sides]
        verdict = ("yes" if median(quotient) <= LIMIT else "NO") if part == "step" else ""
        quotient_cpu = ratios(seconds["ours"], seconds["hand"], f"{part} cpu")
        rows.append([layer, part, *medians, spread(quotient, 3), spread(quotient_cpu, 3), verdict])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="rounds that count, after one that does not")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: one per usable core")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("--layers", default="full,15")
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. model=tiny task=math/reversed")
    options = parser.parse_args()
    rows = []
    for layer in options.layers.split(","):
        rows += measure(layer, options)
        gc.collect()
    print(f"\n{machine(options.threads)} · float32 · {options.pairs} pairs\n")
    print(table(["layer", "part", "ours s", "by hand s", "ratio, median (range)", "of CPU time", f"<= {LIMIT}"], rows))


if __name__ == "__main__":
    main()
