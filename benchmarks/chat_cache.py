"""What keeping a conversation's keys and values saves: ``task.history=chat`` against reading every prompt whole.

Plays the same ALFWorld episodes twice in each round, in alternating order: with the keys of earlier turns kept, and
without. Same weights, same seeds; the tokens must agree but for rounding. Seconds are those of generating.

NOT covered: training on conversations (each turn is a row of its own, read whole); the environment.

    python benchmarks/chat_cache.py [--episodes 4] [--turns 8] [--rounds 3] [--threads 1] [task=... model=...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from side_by_side import configuration, machine, spread, table
from transformers import AutoModelForCausalLM, PreTrainedModel

import envs
from agents.agent import Agent
from agents.episode import Start
from agents.models import load_tokenizer, resolve
from agents.rollout import rollout
from agents.sampler import Generation, ModelPolicy, Request, Sampling
from agents.seeding import seed_of

WORDS = ["task=alfworld/chat"]


class Timed(ModelPolicy):
    """Measures itself; forgets the keys it is given unless ``keeps``."""

    def __init__(self, model: PreTrainedModel, keeps: bool) -> None:
        super().__init__(model)
        self.keeps, self.seconds, self.read = keeps, 0.0, 0

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """As the policy does."""
        start = time.perf_counter()
        asked = requests if self.keeps else [replace(request, kept=None) for request in requests]
        results = super().generate(asked, sampling)
        self.seconds += time.perf_counter() - start
        self.read = max(self.read, *(len(request.prompt_ids) for request in requests))
        return results


def main() -> None:
    """Play, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    words = [*WORDS, f"task.max_turns={options.turns}", *options.overrides]
    config = configuration(*words, threads=options.threads)
    torch.set_num_threads(options.threads)
    files = resolve(config.model, config.task)
    model = AutoModelForCausalLM.from_pretrained(files.path, dtype=torch.float32).eval()
    agent = Agent(load_tokenizer(files.path), config.task)
    make_env = partial(envs.make, config.task.env_id, **config.task.kwargs)
    starts = [
        Start(config.task.eval_split, item, item, 0, seed_of("chat_cache", item)) for item in range(options.episodes)
    ]

    def play(keeps: bool) -> tuple[float, int, list[list[int]]]:
        policy = Timed(model, keeps)
        episodes = rollout(starts, make_env, agent, policy, agent.sampling(1.0), config.task.max_turns)
        return policy.seconds, policy.read, [turn.response_ids for episode in episodes for turn in episode.turns]

    seconds: dict[bool, list[float]] = {True: [], False: []}
    agreeing, longest = [], 0
    for number in range(options.rounds):
        answers = {}
        for keeps in (number % 2 == 0, number % 2 == 1):
            taken, longest, answers[keeps] = play(keeps)
            seconds[keeps].append(taken)
        agreeing.append(sum(a == b for a, b in zip(answers[True], answers[False], strict=False)) / len(answers[True]))
    ratios = [whole / kept for whole, kept in zip(seconds[False], seconds[True], strict=True)]
    print(machine(options.threads))
    print(
        f"{config.model.name}, {options.episodes} episodes of {options.turns} turns, longest prompt {longest} tokens\n"
    )
    rows = [
        ["keys kept", spread(seconds[True]), "1"],
        ["every prompt read whole", spread(seconds[False]), spread(ratios)],
    ]
    print(table(["", "seconds", "x"], rows))
    print(f"\nturns with the same tokens: {min(agreeing):.3f}")


if __name__ == "__main__":
    main()
