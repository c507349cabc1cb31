"""A bank of policies: each policy samples and scores as an ordinary model with its weights would."""

from __future__ import annotations

import copy

import pytest
import torch
from architectures import NOT_PACKABLE, PACKABLE, build

from agents.decoder import NotPackableError
from agents.sampler import Request, Sampling
from agents.sampler import generate as generate_plainly
from algorithms.bank import BASE, PolicyBank
from algorithms.bank.generation import generate
from algorithms.bank.past import Past
from algorithms.bank.rows import Row
from algorithms.bank.scoring import Prefix, log_probs
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


def ordinary(model, bank, policy):
    """The policy as a model of its own."""
    other = copy.deepcopy(model)
    other.load_state_dict({name: p.detach().clone() for name, p in bank.parameters(policy).items()}, strict=False)
    return other.requires_grad_(True)


@pytest.fixture(params=PACKABLE.values(), ids=PACKABLE)
def bank(request):
    return disturbed_bank(build(request.param))


def answers(bank, temperature=1.0):
    """Four answers of every policy to every prompt, with the requests."""
    requests = [
        Request(prompt, 10 * group + member, policy)
        for policy in range(len(LAYERS))
        for group, prompt in enumerate(PROMPTS)
        for member in range(4)
    ]
    return requests, generate(bank, requests, Sampling(temperature, 8, frozenset({2, 3, 4})))


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
