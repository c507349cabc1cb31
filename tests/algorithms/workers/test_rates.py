"""``boost:k``: a block that has twice the rate moves twice as far, in the bank and in a worker of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_ppo import N_TOKENS, make_batch

from agents.models import resolve
from agents.sampler import Request, Sampling
from algorithms.layers import LayerSelection, parse_layer
from algorithms.machine import choose
from algorithms.workers.local import LocalWorker
from algorithms.workers.plain import PlainWorker

RATE = 1e-3
BOOST = LayerSelection("boost:2", (0, 1, 2, 3), trains_everything=True, rates={1: 2.0, 3: 2.0})
PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7], [11, 12, 13, 14]]


def distances(worker, variant):
    """How far the typical weight of every block moves in one update: Adam's first step is the rate, either way."""
    start = {name: weight.detach().clone() for name, weight in worker.parameters(variant).items()}
    requests = [
        Request(prompt, 10 * number + copy, variant) for number, prompt in enumerate(PROMPTS) for copy in (0, 1)
    ]
    drawn = worker.generate(requests, Sampling(1.0, N_TOKENS, frozenset({2, 3})))
    batch = make_batch([r.prompt_ids for r in requests], [d.response_ids for d in drawn], [d.logprobs for d in drawn])
    worker.update({variant: (batch, np.array([1.0, -1.0] * 3))})
    moved: dict[int | None, list[torch.Tensor]] = {}
    for name, weight in worker.parameters(variant).items():
        moved.setdefault(worker.block_of[name], []).append((weight.detach() - start[name]).abs().flatten())
    return {block: float(torch.cat(parts).median()) for block, parts in moved.items()}


@pytest.mark.parametrize("kind", [LocalWorker, PlainWorker])
def test_the_best_blocks_move_twice_as_far_as_the_rest(tiny_config, kind):
    config = tiny_config(f"model.learning_rate={RATE}", f"algorithm.learning_rate={RATE}")
    model, machine = resolve(config.model, config.task), choose(config.runner)
    far = distances(kind(config, [BOOST], machine, model), 0)
    assert [far[block] for block in range(4)] == pytest.approx([RATE, 2 * RATE, RATE, 2 * RATE], rel=0.02)
    assert far[None] <= RATE * 1.02


def test_a_policy_of_a_bank_has_its_own_rates(tiny_config):
    config = tiny_config(f"model.learning_rate={RATE}", f"algorithm.learning_rate={RATE}")
    model, machine = resolve(config.model, config.task), choose(config.runner)
    pair = LayerSelection("two", (1, 2), rates={2: 2.0})
    worker = LocalWorker(config, [pair, parse_layer(1, 4)], machine, model)
    far = distances(worker, 0)
    assert [far[block] for block in (1, 2)] == pytest.approx([RATE, 2 * RATE], rel=0.02)
    assert distances(worker, 1)[1] == pytest.approx(RATE, rel=0.02)
