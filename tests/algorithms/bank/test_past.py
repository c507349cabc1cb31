"""What a bank keeps of what it has read: it saves work and changes nothing."""

from __future__ import annotations

import pytest
import torch
from architectures import PACKABLE, build
from disturbed import LAYERS, PROMPTS, answers, disturbed_bank, tokens_through_blocks

from agents.sampler import Request, Sampling
from algorithms.bank import PolicyBank
from algorithms.bank.generation import generate
from algorithms.bank.past import Past
from algorithms.bank.rows import Row
from algorithms.bank.scoring import Prefix, log_probs
from algorithms.layers import parse_layer


def test_what_entered_while_answering_need_not_be_computed_again(monkeypatch):
    bank, past, drawn = disturbed_bank(build(PACKABLE["qwen3"])), Past(4, keeps_states=True), []
    requests = [Request(p, 7 * n, policy) for policy in (1, 2, 3, 5, 6) for n, p in enumerate(PROMPTS * 3)]
    sampling = Sampling(1.0, 8, frozenset({2, 3, 4}))
    tokens_through_blocks(bank, monkeypatch, lambda: drawn.extend(generate(bank, requests, sampling, past)))
    rows = [Row(r.prompt_ids, d.response_ids, r.variant) for r, d in zip(requests, drawn, strict=True)]
    recalled = []
    assert tokens_through_blocks(bank, monkeypatch, lambda: recalled.append(Prefix(bank, rows, past))) == 0
    ours, _ = log_probs(bank, rows, range(len(rows)), recalled[0], 1.0)
    theirs, _ = log_probs(bank, rows, range(len(rows)), Prefix(bank, rows), 1.0)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    past.clear()
    assert past.recall(rows[12]) is None


def later_turns(requests, drawn):
    """As a rollout would go on: conversations that grow, and prompts that begin as those before them."""
    for request, answer in zip(requests, drawn, strict=True):
        grown = [*request.prompt_ids, *answer.response_ids, 7 + request.seed % 3, 9]
        yield Request(grown if request.seed % 2 else [*request.prompt_ids[:3], 8, 6], request.seed + 1, request.variant)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_earlier_turns_have_read_changes_nothing(bank, temperature):
    past, sampling = Past(4, keeps_keys=True, keeps_states=True), Sampling(temperature, 8, frozenset({2, 3, 4}))
    requests, _ = answers(bank, temperature)
    for _ in range(3):
        drawn, alone = generate(bank, requests, sampling, past), generate(bank, requests, sampling)
        for ours, theirs in zip(drawn, alone, strict=True):
            assert ours.response_ids == theirs.response_ids
            torch.testing.assert_close(ours.logprobs, theirs.logprobs, atol=1e-4, rtol=0)
        rows = [Row(r.prompt_ids, d.response_ids, r.variant) for r, d in zip(requests, drawn, strict=True)]
        for ours, theirs in zip(
            log_probs(bank, rows, range(len(rows)), Prefix(bank, rows, past), 1.0)[0].split(4),
            log_probs(bank, rows, range(len(rows)), Prefix(bank, rows), 1.0)[0].split(4),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
        requests = list(later_turns(requests, drawn))


def test_a_later_turn_reads_only_what_is_new(monkeypatch):
    bank, past = PolicyBank(build(PACKABLE["llama"]), [parse_layer(2, 4)]), Past(4, keeps_keys=True)
    greedy, drawn = Sampling(0.0, 3, frozenset()), []

    def cost(prompt):
        requests = [Request(prompt, 0, 0)]
        return tokens_through_blocks(bank, monkeypatch, lambda: drawn.extend(generate(bank, requests, greedy, past)))

    assert cost([5, 6, 7]) == 4 * (3 + 2)  # the last token drawn is not read
    answer = drawn[0].response_ids
    assert cost([5, 6, 7, *answer, 8]) == 4 * (1 + 1 + 2), "the answer's last token, what is new, and two drawn"
    assert cost([5, 6, 9]) == 4 * (1 + 2)
    past.clear()
    assert cost([5, 6, 9]) == 4 * (3 + 2)


@pytest.mark.parametrize("first", range(len(LAYERS)))
def test_policies_may_take_turns_with_one_past(bank, first):
    """What the base has read for others, no farther than they need it, is not what it reads for itself."""
    past, greedy = Past(4, keeps_keys=True, keeps_states=True), Sampling(0.0, 6, frozenset())
    for policy in (first, *range(len(LAYERS)), first):
        requests = [Request([*prompt, 1 + policy], 0, policy) for prompt in PROMPTS] + [Request(PROMPTS[0], 0, policy)]
        ours, alone = generate(bank, requests, greedy, past), generate(bank, requests, greedy)
        assert [one.response_ids for one in ours] == [one.response_ids for one in alone]


@pytest.mark.parametrize("layer", [0, 2, "full"])
def test_an_evaluation_of_any_length_takes_the_memory_of_one_batch(layer, monkeypatch):
    monkeypatch.setattr("algorithms.bank.past.STATE_BYTES", 4096)
    bank, past = PolicyBank(build(PACKABLE["llama"]), [parse_layer(layer, 4)]), Past(4, keeps_states=True)
    for first in range(5, 25):
        generate(bank, [Request([first, token], 0) for token in range(5, 25)], Sampling(0.0, 2, frozenset()), past)
    assert past.n_places < 200


def test_a_past_that_has_grown_too_large_is_forgotten_and_nothing_is_recalled(monkeypatch):
    monkeypatch.setattr("algorithms.bank.past.KEY_BYTES", 1)
    bank, past = PolicyBank(build(PACKABLE["llama"]), [parse_layer(2, 4)]), Past(4, keeps_keys=True, keeps_states=True)
    first, second = ([Request(prompt, 0, 0)] for prompt in ([5, 6, 7], [5, 6, 9]))
    (answer,) = generate(bank, first, Sampling(0.0, 3, frozenset()), past)
    assert past.recall(Row([5, 6, 7], answer.response_ids, 0)) is not None
    generate(bank, second, Sampling(0.0, 3, frozenset()), past)
    assert past.recall(Row([5, 6, 7], answer.response_ids, 0)) is None
    past.clear()
    generate(bank, first, Sampling(0.0, 3, frozenset()), past)
    assert past.recall(Row([5, 6, 7], answer.response_ids, 0)) is not None
