"""Keys and values kept between the turns of a conversation change no answer, only what is read again."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from agents.conversation import Kept, common_prefix
from agents.sampler import Request, Sampling, generate

SAMPLING = Sampling(temperature=1.0, max_new_tokens=6, stop_ids=frozenset({40, 41, 42, 43, 44}))


@pytest.fixture(scope="module")
def model(tiny_path):
    return AutoModelForCausalLM.from_pretrained(tiny_path).eval()


class Reading:
    """Counts the tokens a model is given."""

    def __init__(self, model):
        self.tokens = 0
        self.hook = model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, module, args, kwargs):
        self.tokens += kwargs["input_ids"].numel()


def asked(prompts, first_seed, kept):
    return [
        Request(prompt, first_seed + row, kept=one) for row, (prompt, one) in enumerate(zip(prompts, kept, strict=True))
    ]


def converse(model, kept, turns=4):
    """Three conversations of unequal length, each turn the answer and a few tokens of what comes back."""
    prompts = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14]]
    answers = []
    for turn in range(turns):
        results = generate(model, asked(prompts, 100 * turn, kept), SAMPLING)
        answers.append([(r.response_ids, r.logprobs, r.truncated) for r in results])
        prompts = [
            p + r.response_ids + [20 + turn] * (row + 1)
            for row, (p, r) in enumerate(zip(prompts, results, strict=True))
        ]
    return answers


def test_a_conversation_that_goes_on_is_answered_as_if_it_were_read_whole(model):
    reading = Reading(model)
    whole = converse(model, [None] * 3)
    read_whole, reading.tokens = reading.tokens, 0
    kept = [Kept() for _ in range(3)]
    going_on = converse(model, kept)
    reading.hook.remove()
    for turn, other in zip(whole, going_on, strict=True):
        assert [row[0] for row in turn] == [row[0] for row in other]
        for (_, ours, _), (_, theirs, _) in zip(turn, other, strict=True):
            torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=1e-4)
    assert reading.tokens < 0.75 * read_whole
    assert [one.layers[0][0].shape[1] for one in kept] == [len(one.ids) for one in kept]


def test_a_prompt_that_changed_is_read_again_from_where_it_differs(model):
    kept = Kept()
    generate(model, asked([[5, 6, 7, 8, 9]], 0, [kept]), SAMPLING)
    changed = [5, 6, 50, 51, 52]
    (again,), (afresh,) = (generate(model, asked([changed], 3, [one]), SAMPLING) for one in (kept, None))
    assert again.response_ids == afresh.response_ids


def test_one_token_is_always_left_to_read():
    assert common_prefix([1, 2, 3], [1, 2, 3]) == 2
    assert common_prefix([1, 2, 3], [1, 2, 3, 4]) == 3
    assert common_prefix([1, 9], [1, 2, 3, 4]) == 1
    assert common_prefix([], [1]) == 0
