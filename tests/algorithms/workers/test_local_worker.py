"""The worker in this process: what it samples, what it computes, what it moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_ppo import ADVANTAGES, N_TOKENS, asked, log_prob_T, make_batch

from agents.sampler import Sampling
from algorithms.layers import LayerError, block_of_parameters, parse_layer
from algorithms.workers.verl_config import learning_rate


def moved_blocks(worker, start):
    """Blocks (None: outside) with a parameter that is not what it was at the start."""
    block_of, before = block_of_parameters(start), dict(start.named_parameters())
    return {block_of[name] for name, p in worker.module.named_parameters() if not torch.equal(p, before[name])}


# --- what it samples, what it computes ---


def test_rollout_and_trainer_agree_on_log_probs(worker, batch, start):
    trainer = worker("layer=2")
    drawn = trainer.generate(asked(batch.prompt_ids), Sampling(1.0, N_TOKENS, frozenset({2})))
    played = make_batch(batch.prompt_ids, [row.response_ids for row in drawn], [row.logprobs for row in drawn])
    for row, ours, prompt in zip(drawn, trainer.log_probs(played), batch.prompt_ids, strict=True):
        np.testing.assert_allclose(ours, row.logprobs, atol=1e-4)
        np.testing.assert_allclose(ours, log_prob_T(start, prompt, row.response_ids).detach(), atol=1e-4)


def test_log_probs_are_taken_at_the_sampling_temperature(worker, batch, start):
    found = worker("layer=2", "algorithm.temperature=0.5").log_probs(batch)
    for ours, prompt, response in zip(found, batch.prompt_ids, batch.response_ids, strict=True):
        np.testing.assert_allclose(ours, log_prob_T(start, prompt, response, temperature=0.5).detach(), atol=1e-4)


def test_small_rollout_batches_change_no_sample(worker, batch):
    sampling = Sampling(1.0, N_TOKENS, frozenset({2}))
    whole, parts = (
        worker("layer=base", f"runner.rollout_batch={size}").generate(asked(batch.prompt_ids), sampling)
        for size in (256, 4)
    )
    assert [row.response_ids for row in whole] == [row.response_ids for row in parts]


def test_base_samples_and_has_nothing_to_train(worker, batch, start):
    base = worker("layer=base")
    with torch.no_grad():
        expected = start.generate(torch.tensor([batch.prompt_ids[0]]), do_sample=False, max_new_tokens=5)
    (row,) = base.generate(asked(batch.prompt_ids[:1]), Sampling(0.0, 5, frozenset({2})))
    assert row.response_ids == expected[0, len(batch.prompt_ids[0]) :].tolist()
    assert base._worker.actor is None


def test_a_block_the_model_does_not_have_is_refused(worker):
    with pytest.raises(LayerError, match="this model has 4 blocks, 0 to 3"):
        worker("layer=4")


# --- what it moves ---


def test_an_update_of_one_block_moves_that_block_only(worker, batch, start):
    trainer = worker("layer=2")
    trainer.update(batch, ADVANTAGES)
    assert moved_blocks(trainer, start) == {2}
    optimizer = trainer.engine.optimizer
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    inside = {id(p) for name, p in trainer.module.named_parameters() if ".layers.2." in name}
    assert held == inside == {id(p) for p in optimizer.state}


def test_full_moves_every_block_and_what_lies_outside(worker, batch, start):
    trainer = worker("layer=full")
    trainer.update(batch, ADVANTAGES)
    assert moved_blocks(trainer, start) == {0, 1, 2, 3, None}


def test_the_policy_that_samples_is_the_one_that_trains(worker, batch):
    trainer = worker("layer=2", "model.learning_rate=0.05", "algorithm.learning_rate=0.05")
    greedy = Sampling(0.0, N_TOKENS, frozenset({2}))
    trainer.update(batch, ADVANTAGES)
    (row,) = trainer.generate(asked(batch.prompt_ids[:1]), greedy)
    played = make_batch(batch.prompt_ids[:1], [row.response_ids], [row.logprobs])
    np.testing.assert_allclose(trainer.log_probs(played)[0], row.logprobs, atol=1e-4)


def test_a_bfloat16_copy_is_brought_up_to_date_and_its_masters_stay_float32(worker, batch, start):
    trainer = worker("layer=2", "runner.dtype=bfloat16")
    trainer.update(batch, ADVANTAGES)
    assert moved_blocks(trainer, start) == {2}
    copy = dict(trainer._worker.rollout.model.named_parameters())
    for name, master in trainer.module.named_parameters():
        assert master.dtype is torch.float32
        assert torch.equal(copy[name], master.to(torch.bfloat16)), name


def test_a_batch_is_cut_into_as_many_updates_as_asked_for(worker, batch):
    trainer = worker("layer=2", "algorithm.updates_per_step=2")
    trainer.update(batch, ADVANTAGES)
    assert {int(state["step"]) for state in trainer.engine.optimizer.state.values()} == {2}
    trainer = worker("layer=2")
    trainer.update(batch, ADVANTAGES)
    assert {int(state["step"]) for state in trainer.engine.optimizer.state.values()} == {1}


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
def test_several_updates_are_updates_on_the_parts(worker, batch, mode):
    words = ["layer=2", f"algorithm.loss_agg_mode={mode}"]
    at_once = worker(*words, "algorithm.updates_per_step=4")
    at_once.update(batch, ADVANTAGES)
    one_by_one = worker(*words, "algorithm.drop_zero_advantage=false")
    for part in ([0, 1], [2, 3], [4], [5]):  # six rows in four parts
        rows = [[column[row] for row in part] for column in (batch.prompt_ids, batch.response_ids)]
        one_by_one.update(make_batch(*rows, [batch.rollout_logprobs[row] for row in part]), ADVANTAGES[part])
    theirs = dict(one_by_one.module.named_parameters())
    for name, parameter in at_once.module.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], rtol=0, atol=1e-7)


def test_fewer_rows_than_updates_are_an_update_each(worker, batch):
    trainer = worker("layer=2", "algorithm.updates_per_step=6")
    part = make_batch(batch.prompt_ids[:2], batch.response_ids[:2], batch.rollout_logprobs[:2])
    assert np.isfinite(trainer.update(part, ADVANTAGES[:2])["grad_norm"])
    assert {int(state["step"]) for state in trainer.engine.optimizer.state.values()} == {2}


def test_a_batch_without_signal_takes_no_step(worker, batch, start):
    trainer = worker("layer=2")
    assert trainer.update(batch, np.zeros(6))["grad_norm"] == 0.0
    assert not trainer.engine.optimizer.state
    assert moved_blocks(trainer, start) == set()


def test_lora_trains_the_adapters_of_its_block_only(worker, batch):
    trainer = worker("layer=2", "model.lora_rank=4")
    before = {name: p.detach().clone() for name, p in trainer.module.named_parameters()}
    trained = trainer.engine.trained_parameters()
    assert trained
    assert all("lora_" in name and ".layers.2." in name for name in trained)
    assert all(4 in parameter.shape for parameter in trained.values())
    assert trainer.update(batch, ADVANTAGES)["grad_norm"] > 0
    moved = {name for name, p in trainer.module.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert moved <= set(trained)
    assert {id(p) for p in trainer.engine.optimizer.state} == {id(p) for p in trained.values()}


@pytest.mark.parametrize(
    ("layer", "single", "expected"),
    [("2", "null", 1e-3), ("2", "0.01", 1e-2), ("mid:2", "0.01", 1e-2), ("full", "0.01", 1e-3)],
)
def test_single_blocks_may_have_a_rate_of_their_own(tiny_config, layer, single, expected):
    config = tiny_config(f"layer={layer}", f"algorithm.single_block_learning_rate={single}")
    assert learning_rate(config, parse_layer(config.layer, 4)) == expected
