"""bfloat16: the bank that samples is a copy of the one that trains, and only what trains is sent to it."""

from __future__ import annotations

import pytest
import torch
from plain_ppo import ADVANTAGES, N_TOKENS, asked

from agents.models import resolve
from agents.sampler import Sampling
from algorithms.bank import BASE
from algorithms.layers import parse_layer
from algorithms.machine import choose
from algorithms.workers.choice import make_worker
from algorithms.workers.local import LocalWorker
from algorithms.workers.plain import PlainWorker


@pytest.fixture
def worker_of(tiny_config):
    """``worker_of(["base", 2], "runner.dtype=bfloat16")``."""

    def of(layers, *words):
        config = tiny_config(*words)
        model = resolve(config.model, config.task)
        return make_worker(config, [parse_layer(layer, 4) for layer in layers], choose(config.runner), model)

    return of


def test_an_update_of_one_block_sends_that_block_and_nothing_else(worker_of, batch):
    worker = worker_of(["base", 2], "runner.dtype=bfloat16")
    rollout, trained = worker._worker.rollout, worker.trained(1)
    start = {name: p.detach().clone() for name, p in rollout.bank.parameters(BASE).items()}
    worker.update({1: (batch, ADVANTAGES)})
    block = sum(parameter.nbytes for parameter in trained.values())
    assert rollout.bytes_received == block
    assert block < sum(parameter.nbytes for parameter in worker.parameters(1).values()) / 4
    copies = rollout.bank.parameters(1)
    for name, parameter in trained.items():
        assert torch.equal(copies[name], parameter.to(torch.bfloat16))
    assert any(not torch.equal(copies[name], start[name]) for name in trained)
    assert all(torch.equal(parameter, start[name]) for name, parameter in rollout.bank.parameters(BASE).items())


def test_bfloat16_rollouts_follow_the_weights_that_train(worker_of, batch):
    worker = worker_of([2], "runner.dtype=bfloat16", "model.learning_rate=0.5")
    sampling = Sampling(0.0, N_TOKENS, frozenset({2}))
    before = [row.response_ids for row in worker.generate(asked(batch.prompt_ids), sampling)]
    worker.update({0: (batch, ADVANTAGES)})
    assert before != [row.response_ids for row in worker.generate(asked(batch.prompt_ids), sampling)]


def test_float32_samples_from_the_weights_themselves(worker_of, batch):
    worker = worker_of([2])
    worker.update({0: (batch, ADVANTAGES)})
    assert worker._worker.rollout.bank is worker._engine.bank
    assert worker._worker.rollout.bytes_received == 0


def test_without_shortcuts_every_policy_is_a_worker_of_its_own(worker_of):
    assert isinstance(worker_of([2]), LocalWorker)
    assert isinstance(worker_of([2], "runner.shortcuts=false"), PlainWorker)


def test_a_model_that_cannot_be_packed_runs_plainly_and_says_so(worker_of, monkeypatch, capsys):
    monkeypatch.setattr("agents.decoder.Decoder._require_equal", refuse)
    worker = worker_of([2])
    assert isinstance(worker, PlainWorker)
    assert "without shortcuts: odd blocks" in capsys.readouterr().out


def refuse(*_):
    from agents.decoder import NotPackableError

    raise NotPackableError("odd blocks")
