"""Generated questions: disjoint splits, the same everywhere, right answers, scored as they should be."""

from __future__ import annotations

import re

import pytest

import envs
from envs.math.data import load
from envs.math.problems import Problem
from envs.math.reward import SCORERS

FAMILIES = {
    "easy": {},
    "two_digit": {},
    "reversed": {},
    "reasoning_gym/chain_sum": {"size": 200, "generator": {"max_terms": 3, "max_digits": 2}},
    "reasoning_gym/gcd": {"size": 100},
    "reasoning_gym/word_sorting": {"size": 100},
}


def make(dataset, **kwargs):
    return envs.make("onelayer/math-v0", dataset=dataset, **FAMILIES[dataset], **kwargs)


def answer_once(env, split, index, text):
    env.reset(options={"split": split, "index": index})
    _, _, terminated, _, info = env.step(text)
    assert terminated
    return info


@pytest.mark.parametrize("dataset", FAMILIES)
def test_family(dataset):
    env = make(dataset, reward_weights={"outcome": 1.0, "format": 0.5})
    asked = {
        split: [env.reset(options={"split": split, "index": i})[0] for i in range(env.size(split))]
        for split in env.card.splits
    }
    assert min(map(len, asked.values())) >= 64
    assert not set(asked["train"]) & set(asked["test"])
    assert len(set(asked["train"])) == len(asked["train"])
    assert env.source("test").startswith("generated")
    for split in env.card.splits:
        env.reset(options={"split": split, "index": 1})
        gold = env.problem.answer
        right, wrong = answer_once(env, split, 1, gold), answer_once(env, split, 1, "98765")
        assert (right["reward_terms"], right["success"]) == ({"outcome": 1.0, "format": 0.0}, True)
        assert not wrong["success"]
        blank = answer_once(env, split, 1, " \n ")
        assert (blank["reward_terms"], blank["status"]) == ({"outcome": 0.0, "format": -1.0}, "malformed")


@pytest.mark.parametrize("dataset", FAMILIES)
def test_family_keeps_the_contract(dataset):
    envs.check_task(lambda: make(dataset), actions=["7"], items=1)


def test_generated_again_is_the_same():
    first = load("easy")
    load.cache_clear()
    assert load("easy") == first
    assert load("easy") is load("easy")
    assert [problem.question for problem in first.problems["test"][:2]] == ["What is 17 - 9?", "What is 13 - 5?"]


@pytest.mark.parametrize("dataset", ["easy", "two_digit"])
def test_answers_are_right(dataset):
    for split, problems in load(dataset).problems.items():
        for problem in problems:
            a, sign, b = re.fullmatch(r"What is (\d+) ([+-]) (\d+)\?", problem.question).groups()
            expected = int(a) + int(b) if sign == "+" else int(a) - int(b)
            assert problem.answer == str(expected), split


def test_sizes():
    assert {split: len(problems) for split, problems in load("easy").problems.items()} == {"train": 200, "test": 71}
    assert sum(map(len, load("two_digit").problems.values())) == 8100 + 4095
    assert sum(map(len, load("reversed").problems.values())) == 10_000


def test_reversed_writes_the_least_significant_digit_first():
    answers = {problem.question: problem.answer for problem in load("reversed").problems["train"]}
    assert {answers[q] for q in ("24+39", "39+24") if q in answers} == {"360"}
    assert all(answer == f"{sum(map(int, question.split('+'))):03d}"[::-1] for question, answer in answers.items())


@pytest.mark.parametrize(
    ("text", "value", "status"),
    [
        ("7", 1, "ok"),
        (" 7.", 1, "ok"),
        ("\n\n3 + 4 = 7\nQuestion: 9", 1, "ok"),
        ("7.0", 1, "ok"),
        ("The answer is **7**", 1, "ok"),
        ("10-7", 1, "ok"),
        ("-7", 0, "ok"),
        ("\u22127", 0, "ok"),
        ("7 or 8", 0, "ok"),
        ("1,007", 0, "ok"),
        ("9" * 30_000, 0, "ok"),
        ("seven", 0, "malformed"),
        ("", 0, "malformed"),
        ("٧", 0, "malformed"),
        ("\x00\ud800", 0, "malformed"),
    ],
)
def test_number(text, value, status):
    assert SCORERS["number"](text, Problem("What is 3 + 4?", "7")) == (value, status)


def test_digits_are_compared_as_text():
    problem = Problem("02+01", "300")
    assert [SCORERS["digits"](text, problem) for text in ("300", "03", "003", "x")] == [
        (1, "ok"),
        (0, "ok"),
        (0, "ok"),
        (0, "malformed"),
    ]


def test_reasoning_gym_gives_partial_credit_and_survives_what_it_cannot_parse():
    env = envs.make("onelayer/math-v0", dataset="reasoning_gym/complex_arithmetic", size=20)
    env.reset(options={"split": "test", "index": 0})
    gold = env.problem.answer
    assert answer_once(env, "test", 0, gold)["success"]
    near = answer_once(env, "test", 0, gold.replace(gold[0], "7", 1))
    assert 0 < near["reward_terms"]["outcome"] < 1
    assert not near["success"]
    for text in ("((((", "三", "\x00\ud800"):
        assert answer_once(env, "test", 0, text)["reward_terms"]["outcome"] < 0.1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dataset": "esay"}, "valid: easy, two_digit, reversed, reasoning_gym/<name>, gsm8k"),
        ({"dataset": "reasoning_gym/chain_sun"}, "valid: ab, acre,.*chain_sum"),
        ({"dataset": "reasoning_gym/chain_sum", "generator": {"terms": 2}}, "does not take the options"),
        ({"dataset": "reasoning_gym/chain_sum", "generator": {"min_terms": 0}}, "does not take the options"),
        ({"dataset": "reasoning_gym/chain_sum", "size": 0}, "at least one"),
        ({"dataset": "easy", "size": 10}, "no use for them"),
        ({"dataset": "easy", "path": "somewhere"}, "reads no path"),
        ({"dataset": "easy", "scoring": "reasoning_gym"}, "valid: number, digits, latex"),
        ({"dataset": "easy", "reward_weights": {"speed": 1.0}}, "outcome, format"),
    ],
)
def test_wrong_arguments_name_the_valid_ones(kwargs, message):
    with pytest.raises(ValueError, match=message):
        envs.make("onelayer/math-v0", **kwargs).reset(seed=0)
