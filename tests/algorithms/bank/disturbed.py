"""A bank whose policies all differ, what they answer, and how much of it really went through the blocks."""

from __future__ import annotations

import torch

from agents.sampler import Request, Sampling
from algorithms.bank import PolicyBank
from algorithms.bank.generation import generate
from algorithms.layers import parse_layer

LAYERS = ["base", 0, 1, 3, [1, 3], "mid:2", "full"]
PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7], [11, 12, 13, 14]]


def disturbed_bank(model):
    """Policies of every kind, moved a little from their start so that no two are equal."""
    bank = PolicyBank(model, [parse_layer(layer, 4) for layer in LAYERS])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for policy in range(len(LAYERS)):
            for parameter in bank.trained(policy).values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return bank


def answers(bank, temperature=1.0):
    """Four answers of every policy to every prompt, with the requests."""
    requests = [
        Request(prompt, 10 * group + member, policy)
        for policy in range(len(LAYERS))
        for group, prompt in enumerate(PROMPTS)
        for member in range(4)
    ]
    return requests, generate(bank, requests, Sampling(temperature, 8, frozenset({2, 3, 4})))


def tokens_through_blocks(bank, monkeypatch, action):
    """How many tokens each run of a block saw while ``action`` ran, summed over blocks."""
    seen = []
    run = type(bank.decoder).run

    def counting(self, block, hidden_NH, rotation, attend):
        seen.append(len(hidden_NH))
        return run(self, block, hidden_NH, rotation, attend)

    monkeypatch.setattr(type(bank.decoder), "run", counting)
    action()
    monkeypatch.undo()
    return sum(seen)
