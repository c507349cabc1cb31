"""One update by verl's worker against the same update as a plain PyTorch loop: loss and gradient norm to 4 digits."""

from __future__ import annotations

import dataclasses

import pytest
import transformers
from plain_ppo import ADVANTAGES, by_hand, constant, log_prob_T, token_mean
from transformers import AutoModelForCausalLM

from agents.models import load_tokenizer

SMALL = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "tie_word_embeddings": False,
}
FAMILIES = {
    "llama": transformers.LlamaConfig(**SMALL),
    "qwen2": transformers.Qwen2Config(**SMALL),
    "gpt2": transformers.GPT2Config(
        vocab_size=101, n_embd=32, n_layer=3, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    ),
    "gpt_neox": transformers.GPTNeoXConfig(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2
    ),
    "qwen3_moe": transformers.Qwen3MoeConfig(**SMALL, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8),
}


def in_block(number):
    """Which gradients count."""
    return lambda block: block == number


def test_grpo_is_a_token_mean(worker, batch, start):
    metrics = worker("layer=2").update(batch, ADVANTAGES)
    loss, norm = by_hand(start, batch, normaliser=token_mean, trained=in_block(2))
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert metrics["actor/pg_clipfrac"] > 0


def test_dr_grpo_divides_by_rows_and_the_response_limit(worker, batch, start):
    metrics = worker("layer=2", algorithm="dr_grpo").update(batch, ADVANTAGES)
    loss, norm = by_hand(start, batch, normaliser=constant, trained=in_block(2))
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_full_has_the_gradient_of_every_parameter(worker, batch, start):
    metrics = worker("layer=full").update(batch, ADVANTAGES)
    _, norm = by_hand(start, batch, normaliser=token_mean, trained=lambda block: True)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo"])
@pytest.mark.parametrize(
    "words", [["algorithm.drop_zero_advantage=false"], ["runner.max_tokens_per_pass=40", "task.max_prompt_tokens=34"]]
)
def test_the_gradient_does_not_depend_on(worker, batch, start, words, algorithm):
    metrics = worker("layer=2", *words, algorithm=algorithm).update(batch, ADVANTAGES)
    normaliser = {"grpo": token_mean, "dr_grpo": constant}[algorithm]
    loss, norm = by_hand(start, batch, normaliser=normaliser, trained=in_block(2))
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_recomputed_old_log_probs_make_every_ratio_one(worker, batch, start):
    metrics = worker("layer=2", "algorithm.old_log_probs=recompute").update(batch, ADVANTAGES)
    on_policy = dataclasses.replace(
        batch,
        rollout_logprobs=[
            log_prob_T(start, p, r).tolist() for p, r in zip(batch.prompt_ids, batch.response_ids, strict=True)
        ],
    )
    _, norm = by_hand(start, on_policy, normaliser=token_mean, trained=in_block(2))
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert metrics["actor/ppo_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["actor/pg_clipfrac"] == 0.0


def test_entropy_is_part_of_the_loss(worker, batch, start):
    metrics = worker("layer=2", "algorithm.entropy_coef=0.5").update(batch, ADVANTAGES)
    loss, norm = by_hand(start, batch, normaliser=token_mean, trained=in_block(2), entropy_coef=0.5)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_kl_is_zero_at_the_first_step_and_pulls_back_at_the_second(worker, batch, start):
    trainer = worker("layer=2", "algorithm.kl_coef=5.0")
    first = trainer.update(batch, ADVANTAGES)
    assert first["kl_loss"] == pytest.approx(0.0, abs=1e-7)
    _, without = by_hand(start, batch, normaliser=token_mean, trained=in_block(2))
    assert first["grad_norm"] == pytest.approx(without, rel=1e-3)

    now = AutoModelForCausalLM.from_pretrained(start.name_or_path).eval()
    now.load_state_dict(trainer.module.state_dict())
    second = trainer.update(batch, ADVANTAGES)
    settings = {"normaliser": token_mean, "trained": in_block(2)}
    loss, norm = by_hand(now, batch, **settings, kl_from=start, kl_coef=5.0)
    assert second["kl_loss"] > 1e-6
    assert second["loss"] == pytest.approx(loss, rel=1e-4)
    assert second["grad_norm"] == pytest.approx(norm, rel=1e-3)
    assert norm != pytest.approx(by_hand(now, batch, **settings)[1], rel=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_of_models_trains_the_same_way(worker, batch, tiny_path, tmp_path, family):
    AutoModelForCausalLM.from_config(FAMILIES[family]).save_pretrained(tmp_path / family)
    load_tokenizer(tiny_path).save_pretrained(tmp_path / family)
    other = AutoModelForCausalLM.from_pretrained(tmp_path / family).eval()
    metrics = worker(f"model.path={tmp_path / family}", "layer=1").update(batch, ADVANTAGES)
    loss, norm = by_hand(other, batch, normaliser=token_mean, trained=in_block(1))
    assert metrics["loss"] == pytest.approx(loss, rel=1e-3)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-3)
