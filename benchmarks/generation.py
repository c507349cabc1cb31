"""Tokens per second of our sampling against ``model.generate`` of Transformers: same weights, prompts and stop tokens.

Ours is the trainer's: ``LocalWorker.generate`` with the log-prob and entropy of every token, each row with a seed of
its own. Theirs is one left-padded batch: do_sample, temperature 1, no top-k or top-p, no log-probs. Both draw their own
answers, so a time is divided by the tokens really produced, up to and with the stop token.

Cases of 64 rows: 8 prompts x 8 answers and 64 distinct prompts, as the task ends answers; both again with nothing that
ends an answer and 32 tokens each. One process, in turn; a repetition of ours draws the same answers, of theirs others.

NOT covered: long prompts (``growth.py``), beams, static caches, torch.compile, GPUs, bfloat16, and environments and
tokenisation, which are the same for both. Ours has it easier where answers are short and begin alike: that is what a
group of answers to one prompt is, and the fourth case is the other end.

    python benchmarks/generation.py [--rounds 5] [--threads 1] [--layer full] [--model-path FOLDER] [task=... model=...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from one_batch import Step
from side_by_side import alternate, configuration, machine, ratios, spread, table
from transformers import AutoModelForCausalLM, PreTrainedModel

from agents.sampler import Request, Sampling
from agents.seeding import seed_of

LIMIT, ROWS, LONG = 2.0, 64, 32


def prompts_of(step: Step, n_distinct: int) -> list[list[int]]:
    """``ROWS`` prompts of the task's first turn, ``n_distinct`` of them distinct."""
    env, split = step.make_env(), step.config.task.train_split
    prompts: dict[tuple[int, ...], None] = {}
    for item in step.items(env.size(split) if env.size(split) < 2000 else 2000):
        prompts[tuple(step.agent.prompt(step.agent.begin(*env.reset(options={"split": split, "index": item}))))] = None
        if len(prompts) == n_distinct:
            break
    return [list(prompt) for prompt in prompts for _ in range(ROWS // n_distinct)]


def load(path: Path) -> PreTrainedModel:
    """The model of the other side."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa").eval()
    model.generation_config.eos_token_id = None  # what ends an answer is said in each call
    return model


def theirs(model: PreTrainedModel, prompts: Sequence[list[int]], sampling: Sampling) -> int:
    """Draw with Transformers; how many tokens it produced that count."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=sorted(sampling.stop_ids) or None,
        pad_token_id=0,
    )
    return sum(length_of(row, sampling.stop_ids) for row in output[:, width:].tolist())


def length_of(tokens: Sequence[int], stop_ids: frozenset[int]) -> int:
    """How many tokens there are up to the first one that stops, that one included."""
    return next((place for place, token in enumerate(tokens, 1) if token in stop_ids), len(tokens))


def timed(draw: Callable[[], int]) -> dict[str, float]:
    """Seconds of the clock and of the processor for each token."""
    start, cpu = time.perf_counter(), time.process_time()
    tokens = draw()
    return {
        "seconds": (time.perf_counter() - start) / tokens,
        "cpu": (time.process_time() - cpu) / tokens,
        "tokens": tokens,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; 0: one per usable core")
    parser.add_argument("--layer", default="full", help="the cell whose worker draws ours")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. model=tiny task=math/reversed")
    options = parser.parse_args()
    words = [f"layer={options.layer}", *options.overrides]
    config = configuration(*words, model_path=options.model_path, threads=options.threads)
    step = Step.build(config)
    model = load(step.model.path)
    short, long = step.sampling, Sampling(1.0, LONG, frozenset())
    rows = []
    for words, n_distinct, sampling in (
        ("8 prompts x 8, stops", 8, short),
        ("64 prompts, stops", ROWS, short),
        (f"8 prompts x 8, {LONG} tokens each", 8, long),
        (f"64 prompts, {LONG} tokens each", ROWS, long),
    ):
        prompts = prompts_of(step, n_distinct)
        requests = [Request(prompt, seed_of("generation", row)) for row, prompt in enumerate(prompts)]

        def ours(requests: Sequence[Request] = requests, sampling: Sampling = sampling) -> int:
            return sum(len(answer.response_ids) for answer in step.worker.generate(requests, sampling))

        def other(prompts: Sequence[list[int]] = prompts, sampling: Sampling = sampling) -> int:
            return theirs(model, prompts, sampling)

        sides = {"ours": lambda draw=ours: timed(draw), "theirs": lambda draw=other: timed(draw)}
        laps = alternate(sides, options.rounds)
        faster = ratios(laps["theirs"], laps["ours"], "seconds")
        faster_cpu = ratios(laps["theirs"], laps["ours"], "cpu")
        rate = [f"{1 / median(lap['seconds'] for lap in laps[side]):.0f}" for side in laps]
        tokens = " and ".join(f"{median(lap['tokens'] for lap in laps[side]):.0f}" for side in laps)
        widths = sorted(map(len, prompts))
        met = "yes" if median(faster) >= LIMIT else "NO"
        rows.append([words, f"{widths[0]} to {widths[-1]}", tokens, *rate, spread(faster), spread(faster_cpu), met])
    print(f"{machine(options.threads)} · float32 · {config.model.name}, {config.task.name}, layer={options.layer}")
    print(f"{options.rounds} rounds\n")
    head = ["64 rows", "prompt tokens", "tokens, ours and theirs", "ours, tokens/s", "theirs", "ours / theirs"]
    print(table([*head, "by CPU time", f">= {LIMIT:g}"], rows))


if __name__ == "__main__":
    main()
