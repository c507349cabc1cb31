"""A bank of policies: each policy samples and scores as an ordinary model with its weights would."""

from __future__ import annotations

import copy

import pytest
import torch
from architectures import NOT_PACKABLE, PACKABLE, build
from disturbed import LAYERS, PROMPTS, answers, disturbed_bank, tokens_through_blocks

from agents.decoder import NotPackableError
from agents.sampler import Request, Sampling
from agents.sampler import generate as generate_plainly
from algorithms.bank import BASE, PolicyBank
from algorithms.bank.generation import generate
from algorithms.bank.rows import Row
from algorithms.bank.scoring import Prefix, log_probs
from algorithms.layers import parse_layer


def ordinary(model, bank, policy):
    """The policy as a model of its own."""
    other = copy.deepcopy(model)
    other.load_state_dict({name: p.detach().clone() for name, p in bank.parameters(policy).items()}, strict=False)
    return other.requires_grad_(True)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_all_policies_in_one_batch_draw_what_each_would_draw_alone(bank, temperature):
    requests, drawn = answers(bank, temperature)
    for policy in range(len(LAYERS)):
        mine = [place for place, request in enumerate(requests) if request.variant == policy]
        model = ordinary(bank.model, bank, policy)
        expected = generate_plainly(model, [requests[p] for p in mine], Sampling(temperature, 8, frozenset({2, 3, 4})))
        for place, other in zip(mine, expected, strict=True):
            assert (drawn[place].response_ids, drawn[place].truncated) == (other.response_ids, other.truncated)
            torch.testing.assert_close(drawn[place].logprobs, other.logprobs, atol=1e-4, rtol=0)
            torch.testing.assert_close(drawn[place].entropies, other.entropies, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("temperature", "with_entropy"), [(1.0, False), (0.7, True), (0.7, False)])
def test_log_probs_and_gradients_are_those_of_ordinary_models(bank, temperature, with_entropy):
    """Shared beginnings, frozen prefix and the head where it is needed, all at once, against one row at a time."""
    requests, drawn = answers(bank)
    rows = [Row(r.prompt_ids, d.response_ids, r.variant) for r, d in zip(requests, drawn, strict=True)]
    weights = [torch.linspace(-1, 2, len(row.response_ids)) + number % 5 for number, row in enumerate(rows)]
    chosen = list(range(len(rows)))[::-1]
    found, entropy = log_probs(bank, rows, chosen, Prefix(bank, rows), temperature, with_entropy=with_entropy)
    total = (found * torch.cat([weights[row] for row in chosen])).sum()
    if entropy is not None:
        total = total + 0.1 * (entropy * torch.cat([weights[row] for row in chosen])).sum()
    total.backward()
    assert all(parameter.grad is None for parameter in bank.parameters(BASE).values())
    pieces = dict(zip(chosen, found.split([len(rows[row].response_ids) for row in chosen]), strict=True))
    for policy in range(len(LAYERS)):
        model, expected = ordinary(bank.model, bank, policy), torch.tensor(0.0)
        for number in [number for number, row in enumerate(rows) if row.policy == policy]:
            row = rows[number]
            first, last = len(row.prompt_ids) - 1, -1
            logits = model(torch.tensor([row.prompt_ids + row.response_ids])).logits[0, first:last] / temperature
            log_prob = torch.log_softmax(logits, dim=-1)
            alone = log_prob[range(len(row.response_ids)), row.response_ids]
            torch.testing.assert_close(pieces[number].detach(), alone.detach(), atol=1e-4, rtol=0)
            expected = expected + (weights[number] * alone).sum()
            if with_entropy:
                expected = expected - 0.1 * (weights[number] * (log_prob.exp() * log_prob).sum(-1)).sum()
        expected.backward()
        gradients = dict(model.named_parameters())
        for name, parameter in bank.trained(policy).items():
            difference = (parameter.grad - gradients[name].grad).norm()
            assert difference <= 1e-4 * gradients[name].grad.norm() + 1e-6, name


def test_a_policy_shares_what_it_does_not_own():
    bank = disturbed_bank(build(PACKABLE["qwen3"]))
    base = bank.parameters(BASE)
    for policy, layer in enumerate(LAYERS):
        mine, selection = bank.parameters(policy), parse_layer(layer, 4)
        own = {name for name in mine if mine[name] is not base[name]}
        assert own == bank.trained(policy).keys()
        assert own == {
            name
            for name in base
            if selection.trains_everything or any(f".layers.{block}." in name for block in selection.blocks)
        }


@pytest.mark.parametrize("policy", range(len(LAYERS)))
def test_a_policy_can_be_assembled_as_an_ordinary_model_and_taken_apart(policy):
    bank = disturbed_bank(build(PACKABLE["llama, tied"]))
    ids = torch.tensor([PROMPTS[0]])
    before = bank.model(ids).logits
    expected = ordinary(bank.model, bank, policy)(ids).logits
    with bank.assembled(policy) as model:
        torch.testing.assert_close(model(ids).logits, expected)
    torch.testing.assert_close(bank.model(ids).logits, before)


def test_a_single_full_policy_is_the_model_itself_where_nobody_needs_the_base():
    model = build(PACKABLE["qwen3"])
    bank = PolicyBank(model, [parse_layer("full", 4)], keep_base=False)
    assert all(parameter is bank.parameters(0)[name] for name, parameter in model.named_parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", NOT_PACKABLE)
def test_a_model_that_is_more_than_its_blocks_is_refused_and_left_as_it_was(name):
    model = build(NOT_PACKABLE[name])
    before = model.config._attn_implementation
    with pytest.raises(NotPackableError):
        PolicyBank(model, [parse_layer(1, 4)])
    assert model.config._attn_implementation == before
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("requests", [[], [Request([], 0)]])
def test_generation_of_nothing_is_refused(requests):
    with pytest.raises(ValueError, match="none with an empty prompt"):
        generate(PolicyBank(build(PACKABLE["llama"]), []), requests, Sampling(1.0, 4, frozenset()))


# --- the work is really shared ---


def test_a_group_reads_its_prompt_once_and_equal_answers_are_decoded_once(monkeypatch):
    bank = PolicyBank(build(PACKABLE["llama"]), [parse_layer("base", 4)])
    greedy = Sampling(0.0, 5, frozenset())

    def cost(n_rows):
        requests = [Request([5, 6, 7], seed) for seed in range(n_rows)]
        return tokens_through_blocks(bank, monkeypatch, lambda: generate(bank, requests, greedy))

    assert cost(8) == cost(1) == 4 * (3 + 4)  # four blocks; the last token drawn is not read


def test_below_its_own_block_a_policy_costs_nothing(monkeypatch):
    model = build(PACKABLE["llama"])
    greedy = Sampling(0.0, 5, frozenset())

    def cost(layers):
        bank = PolicyBank(model, [parse_layer(layer, 4) for layer in layers])
        requests = [Request([5, 6, 7], 0, policy) for policy in range(len(layers))]
        return tokens_through_blocks(bank, monkeypatch, lambda: generate(bank, requests, greedy))

    # The base below block 3 once, then every policy from its own block on.
    assert cost([0, 1, 2, 3]) == 7 * (3 + 4 + 3 + 2 + 1)
    assert cost([3]) == 7 * 4


def test_rows_that_are_scored_share_their_beginnings_and_the_prefix(monkeypatch):
    bank = PolicyBank(build(PACKABLE["llama"]), [parse_layer(2, 4), parse_layer(3, 4)])
    rows = [Row([5, 6, 7], [8, 9, token], policy) for policy in (0, 1) for token in (2, 3)]
    prefix = Prefix(bank, rows)
    scored = tokens_through_blocks(bank, monkeypatch, lambda: log_probs(bank, rows, range(4), prefix, 1.0))
    assert scored == 5 * (2 + 1), "prompt and two tokens, in blocks 2 and 3 of one policy and block 3 of the other"


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_policy_that_has_diverged_leaves_the_others_their_gradients(broken):
    bank = PolicyBank(build(PACKABLE["llama"]), [parse_layer(layer, 4) for layer in (0, 1, 2)])
    with torch.no_grad():
        next(iter(bank.trained(broken).values())).fill_(torch.nan)
    rows = [
        Row(prompt, [8, 9, 10][: 1 + number], policy) for policy in range(3) for number, prompt in enumerate(PROMPTS)
    ]
    found, _ = log_probs(bank, rows, range(len(rows)), Prefix(bank, rows), 1.0)
    pieces = found.split([len(row.response_ids) for row in rows])
    sum(piece.sum() for piece in pieces).backward()
    for policy in range(3):
        finite = all(bool(parameter.grad.isfinite().all()) for parameter in bank.trained(policy).values())
        assert finite == (policy != broken)
