"""Many policies in one worker against as many workers of their own: the same answers, the same updates."""

from __future__ import annotations

import numpy as np
import pytest
from plain_ppo import N_TOKENS, make_batch

from agents.models import resolve
from agents.sampler import Request, Sampling
from algorithms.layers import parse_layer
from algorithms.machine import choose
from algorithms.workers.local import LocalWorker
from algorithms.workers.plain import PlainWorker

LAYERS = ["base", 0, 1, 3, [0, 2], "mid:2", "full"]
SOME = [0, [1, 3], "full"]
PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7], [11, 12, 13, 14]]
GROUP = 4


@pytest.fixture
def pair(tiny_config):
    """``pair(layers, "algorithm.kl_coef=0.1")``: the bank and the plain worker of the same cells."""

    def of(layers, *words, algorithm="grpo"):
        config = tiny_config(*words, algorithm=algorithm)
        model, machine = resolve(config.model, config.task), choose(config.runner)
        selections = [parse_layer(layer, model.n_blocks) for layer in layers]
        return [kind(config, selections, machine, model) for kind in (LocalWorker, PlainWorker)]

    return of


def step(worker, number):
    """Three prompts, four answers each, of every policy; an advantage by the number of even tokens; one update."""
    requests = [
        Request(prompt, 1000 * number + 10 * group + member, variant)
        for variant in range(len(worker.selections))
        for group, prompt in enumerate(PROMPTS)
        for member in range(GROUP)
    ]
    drawn = worker.generate(requests, Sampling(1.0, N_TOKENS, frozenset({2, 3})))
    work = {}
    for variant, selection in enumerate(worker.selections):
        rows = [row for row, request in zip(drawn, requests, strict=True) if request.variant == variant]
        prompts = [prompt for prompt in PROMPTS for _ in range(GROUP)]
        batch = make_batch(prompts, [row.response_ids for row in rows], [row.logprobs for row in rows])
        reward = np.array([sum(token % 2 == 0 for token in row.response_ids) for row in rows], dtype=float)
        reward = reward.reshape(-1, GROUP)
        if not selection.trains_nothing:
            work[variant] = batch, (reward - reward.mean(1, keepdims=True)).ravel()
    return drawn, worker.update(work)


@pytest.mark.parametrize(
    ("layers", "words", "algorithm"),
    [
        (LAYERS, [], "grpo"),
        (SOME, [], "dr_grpo"),
        (SOME, ["algorithm.kl_coef=0.1", "algorithm.entropy_coef=0.01"], "grpo"),
        (SOME, ["algorithm.updates_per_step=3", "algorithm.old_log_probs=recompute"], "grpo"),
        (SOME, ["algorithm.temperature=0.7", "algorithm.drop_zero_advantage=false"], "grpo"),
        (SOME, ["runner.max_tokens_per_pass=80", "runner.rollout_batch=8"], "grpo"),
        (SOME, ["algorithm.single_block_learning_rate=0.0003", "algorithm.clip_grad=0.05"], "grpo"),
        (SOME, ["model.lora_rank=4"], "grpo"),
    ],
)
def test_every_policy_follows_the_trajectory_of_its_own_separate_run(pair, layers, words, algorithm):
    """Six steps in float32: the same samples, log-probs to 1e-4, weights that stay together."""
    bank, plain = pair(layers, *words, algorithm=algorithm)
    start = [{name: p.detach().clone() for name, p in plain.trained(v).items()} for v in range(len(layers))]
    for number in range(6):
        (ours, our_metrics), (theirs, their_metrics) = step(bank, number), step(plain, number)
        for mine, its in zip(ours, theirs, strict=True):
            assert (mine.response_ids, mine.truncated) == (its.response_ids, its.truncated)
            np.testing.assert_allclose(mine.logprobs, its.logprobs, atol=1e-4)
            np.testing.assert_allclose(mine.entropies, its.entropies, atol=1e-4)
        assert our_metrics.keys() == their_metrics.keys()
        for variant, metrics in our_metrics.items():
            assert metrics["grad_norm"] == pytest.approx(their_metrics[variant]["grad_norm"], rel=1e-3, abs=1e-6)
            assert metrics["loss"] == pytest.approx(their_metrics[variant]["loss"], rel=1e-3, abs=1e-5)
    for variant in range(len(layers)):
        moved = bank.trained(variant)
        assert moved.keys() == plain.trained(variant).keys()
        for name, parameter in plain.trained(variant).items():
            change, difference = parameter - start[variant][name], moved[name] - parameter
            # Adam turns rounding of a gradient near zero into a whole step of either sign: judge all entries together.
            assert difference.norm() <= 0.02 * change.norm() + 1e-7, (variant, name)


def test_metrics_of_a_policy_do_not_depend_on_the_others_or_on_passes(pair):
    """Ratios other than 1: the second of three updates on one batch clips some tokens."""
    words = ["algorithm.updates_per_step=3", "model.learning_rate=0.02"]
    beside, _ = pair([0, 1, 3], *words, "runner.max_tokens_per_pass=80")
    alone, _ = pair([1], *words)
    among, single = step(beside, 0)[1][1], step(alone, 0)[1][0]
    assert among["actor/pg_clipfrac"] > 0
    for name in ("actor/pg_clipfrac", "actor/ppo_kl", "actor/pg_loss", "loss", "grad_norm"):
        assert among[name] == pytest.approx(single[name], rel=1e-3, abs=1e-6), name
