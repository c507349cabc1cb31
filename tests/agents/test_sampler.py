"""Sampling: a row's tokens follow from its prompt and its seed, and from the model's own probabilities."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM

from agents.models import load_tokenizer
from agents.sampler import Request, Sampling, generate, stop_ids

PROMPTS = ["Question: What is 3 + 4?\nAnswer:", "a", "12", "Hello there", "What?" * 9, "x = y", "zzz", "{}" * 20]


@pytest.fixture(scope="module")
def tokenizer(tiny_path):
    return load_tokenizer(tiny_path)


@pytest.fixture(scope="module")
def model(tiny_path):
    """The tiny model with louder embeddings: its distributions are far from uniform."""
    model = AutoModelForCausalLM.from_pretrained(tiny_path).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return [tokenizer.encode(text) for text in PROMPTS]


def asked(prompts, seeds):
    return [Request(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]


def free(n_tokens, temperature=1.0):
    return Sampling(temperature, n_tokens, frozenset())


@torch.no_grad()
def plain_log_softmax(model, prompt, response, temperature=1.0):
    """Log-probs of the whole vocabulary at every response position, by one forward pass without a cache."""
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits / temperature, dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_a_row_does_not_see_the_batch_it_sits_in(model, prompts, temperature):
    seeds = list(range(len(prompts)))
    together = generate(model, asked(prompts, seeds), free(12, temperature))
    for prompt, seed, row in zip(prompts, seeds, together, strict=True):
        (alone,) = generate(model, asked([prompt], [seed]), free(12, temperature))
        assert alone.response_ids == row.response_ids
        np.testing.assert_allclose(alone.logprobs, row.logprobs, atol=1e-4)


def test_the_seed_decides_and_nothing_else_does(model, prompts):
    torch.manual_seed(1)
    first = generate(model, asked(prompts[:1] * 3, [5, 6, 5]), free(12))
    torch.manual_seed(2)
    again = generate(model, asked(prompts[:1], [5]), free(12))
    assert first[0].response_ids == first[2].response_ids == again[0].response_ids
    assert first[0].response_ids != first[1].response_ids


def test_a_row_that_stopped_leaves_the_others_as_they_were(model, prompts):
    unstopped = generate(model, asked(prompts, range(8)), free(12))
    stop = frozenset({unstopped[0].response_ids[2], unstopped[3].response_ids[5]})
    for before, after in zip(
        unstopped, generate(model, asked(prompts, range(8)), Sampling(1.0, 12, stop)), strict=True
    ):
        ends = [place for place, token in enumerate(before.response_ids, start=1) if token in stop]
        length = ends[0] if ends else 12
        assert after.response_ids == before.response_ids[:length]
        assert len(after.logprobs) == len(after.entropies) == length
        assert after.truncated == (not ends)


def test_greedy_is_what_transformers_generates(model, prompts):
    for prompt, row in zip(prompts, generate(model, asked(prompts, range(8)), free(10, 0.0)), strict=True):
        expected = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=10, min_new_tokens=10, eos_token_id=None
        )
        assert row.response_ids == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_log_probs_and_entropies_are_those_of_a_plain_forward_pass(model, prompts, temperature):
    for prompt, row in zip(prompts, generate(model, asked(prompts, range(8)), free(8, temperature)), strict=True):
        log_prob_TV = plain_log_softmax(model, prompt, row.response_ids, temperature)
        expected = log_prob_TV[range(8), row.response_ids]
        np.testing.assert_allclose(row.logprobs, expected, atol=1e-4)
        np.testing.assert_allclose(row.entropies, -(log_prob_TV.exp() * log_prob_TV).sum(-1), atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_as_frequent_as_the_model_says(model, prompts, temperature):
    draws = 4000
    rows = generate(model, asked(prompts[:1] * draws, range(draws)), free(1, temperature))
    counts = np.bincount([row.response_ids[0] for row in rows], minlength=model.config.vocab_size)
    probability = plain_log_softmax(model, prompts[0], [0], temperature)[0].double().exp().numpy()
    likely = probability * draws > 5
    expected = np.append(probability[likely] * draws, draws * probability[~likely].sum() + 1e-9)
    assert len(expected) > 4
    assert chisquare(np.append(counts[likely], counts[~likely].sum()), expected, sum_check=False).pvalue > 0.01


@torch.no_grad()
def test_a_model_that_knows_nothing_has_entropy_log_v(tiny_path, prompts):
    model = AutoModelForCausalLM.from_pretrained(tiny_path)
    model.get_output_embeddings().weight.zero_()
    (row,) = generate(model, asked(prompts[:1], [0]), free(3))
    v = model.config.vocab_size
    assert row.entropies == pytest.approx([math.log(v)] * 3, abs=1e-5)
    assert row.logprobs == pytest.approx([-math.log(v)] * 3, abs=1e-5)


def test_a_stop_token_is_the_last_of_its_response(model, prompts, tokenizer):
    everything = frozenset(range(len(tokenizer)))
    rows = generate(model, asked(prompts, range(8)), Sampling(1.0, 12, everything))
    assert [(len(row.response_ids), row.truncated) for row in rows] == [(1, False)] * 8


def test_a_stop_in_the_last_place_is_no_truncation(model, prompts):
    (row,) = generate(model, asked(prompts[:1], [0]), free(4))
    last = row.response_ids[3]
    assert row.truncated
    assert last not in row.response_ids[:3]
    (stopped,) = generate(model, asked(prompts[:1], [0]), Sampling(1.0, 4, frozenset({last})))
    assert (stopped.response_ids, stopped.truncated) == (row.response_ids, False)


def test_stop_ids_hold_the_end_of_text_and_every_token_that_contains_a_stop(tokenizer):
    end, newline = tokenizer.convert_tokens_to_ids(["<|im_end|>", "\n"])
    assert stop_ids(tokenizer, []) == {end}
    assert stop_ids(tokenizer, ["\n"]) == {end, newline}
    assert stop_ids(tokenizer, ["m_e", "7"]) == {end, tokenizer.convert_tokens_to_ids("7")}


def test_a_stop_text_that_no_token_contains_is_an_error(tokenizer):
    with pytest.raises(ValueError, match=r"task.stop: no token of this vocabulary contains 'ab'; give a shorter text"):
        stop_ids(tokenizer, ["\n", "ab"])


@pytest.mark.parametrize(("prompts", "seeds"), [([], []), ([[1], []], [0, 1])])
def test_what_cannot_be_generated_is_refused(model, prompts, seeds):
    with pytest.raises(ValueError, match="generate needs requests, no prompt of them empty"):
        generate(model, asked(prompts, seeds), free(1))
