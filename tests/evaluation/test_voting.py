"""Votes of single-block models: elections worked by hand, and a study in which they beat full training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_study import panel_rows, write_rows

from evaluation.elections import final_answer, jaccard, majority, same_answer
from evaluation.results import EPISODES_FILE
from evaluation.voting import main

RIGHT, A, B, NOTHING = "right", "wrong 3", "wrong 4", ""


def elect(keys, n_votes):
    """The expected outcome where only ``right`` is worth anything."""
    key_LK = np.array(keys)
    outcome_LK = (key_LK == RIGHT).astype(float)
    return majority(key_LK, outcome_LK, n_votes, np.random.default_rng(0), 4000)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("17 - 9 = 12", "12"),
        ("It is \u22121,234.5", "-1234.5"),
        (r"so 3 of them: \boxed{ x + 1 }", "x+1"),
        ("  Yes,\n it is ", "yes, it is"),
        ("", ""),
    ],
)
def test_what_a_text_answers(text, answer):
    assert final_answer(text) == answer


def test_right_answers_are_equal_however_they_are_written():
    assert same_answer("7", 1.0) == same_answer("seven", 1.0) == RIGHT
    assert same_answer("3", 0.0) == same_answer("1 + 1 = 3", 0.0) != same_answer("4", 0.0)
    assert same_answer(" ", 0.0) == NOTHING


def test_the_majority_decides():
    assert elect([[RIGHT], [RIGHT], [A]], 3) == 1.0
    assert elect([[A], [RIGHT], [A]], 3) == 0.0
    assert elect([[RIGHT], [A], [B]], 3) == pytest.approx(1 / 3)  # a tie is split
    assert elect([[NOTHING], [NOTHING], [RIGHT]], 3) == 1.0  # who says nothing abstains
    assert elect([[NOTHING], [NOTHING]], 2) == 0.0


def test_every_voter_is_heard_before_any_is_heard_twice():
    keys = [[RIGHT, RIGHT], [RIGHT, RIGHT], [A, A]]
    assert elect(keys, 3) == 1.0
    # Two of three voters: both right in one of three elections, else a tie.
    assert elect(keys, 2) == pytest.approx(1 / 3 + 2 / 3 * 0.5, abs=0.02)
    # Alone with two right answers of three: one vote, and a majority of three.
    assert elect([[RIGHT, RIGHT, A]], 1) == pytest.approx(2 / 3, abs=0.02)
    assert elect([[RIGHT, RIGHT, A]], 3) == 1.0


def test_the_overlap_of_solved_items():
    solved_LI = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    value_LL, mean = jaccard(solved_LI, n_resamples=200)
    np.testing.assert_allclose(value_LL, [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    assert mean.value == pytest.approx(1 / 9)
    assert 0 <= mean.low <= mean.value <= mean.high <= 1


@pytest.fixture
def study(write_cell, tmp_path):
    """Three blocks, each right on two thirds of the items, any two of them together on all; full right on half."""
    items = np.arange(12)
    answers = {str(block): (items % 3 != block).astype(float) for block in range(3)}
    answers["full"] = (items % 2).astype(float)
    for layer, right_I in answers.items():
        for seed in (0, 1):
            after_IK = np.repeat(right_I[:, None], 2, axis=1)
            blocks = [int(layer)] if layer != "full" else [0, 1, 2]
            cell = write_cell(0 * after_IK, after_IK, layer=layer, blocks=blocks, n_blocks=3, seed=seed)
            rows = [*panel_rows(0 * after_IK, "before"), *panel_rows(after_IK, "after")]
            # Wrong answers differ from model to model.
            rows = [replace(row, answer="9" if row.success else f"1{layer}") for row in rows]
            write_rows(cell / EPISODES_FILE, rows)
    return tmp_path / "runs" / "demo"


def vote(study, capsys, *words):
    code = main([str(study), "--json", *words])
    return code, json.loads(capsys.readouterr().out)[0]


def test_models_that_err_apart_are_right_together(study, capsys):
    code, found = vote(study, capsys, "--layers", "0,1,2")
    assert code == 0
    assert (found["layers"], found["votes"], found["pooled"]) == (["0", "1", "2"], 3, True)
    assert found["vote"]["value"] == 1.0
    assert found["full_vote"]["value"] == found["full_score"]["value"] == 0.5
    assert found["difference"]["low"] > 0
    assert found["overlap"]["value"] == pytest.approx(1 / 3)


def test_a_vote_of_two_needs_no_pooling(study, capsys):
    _, found = vote(study, capsys, "--layers", "0,1", "--votes", "2")
    assert not found["pooled"]
    # Where one of the two errs they tie, and the tie is split.
    assert found["vote"]["value"] == pytest.approx(1 / 3 + 2 / 3 * 0.5)


def test_the_table_names_its_caveats(study, capsys):
    assert main([str(study), "--layers", "all"]) == 0
    printed = capsys.readouterr().out
    for text in ("3 single-block models, 3 votes", "full, 3 votes", "Jaccard", "pooled", "flattered"):
        assert text in printed


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("7", "no finished single-block arm 7; there are: 0, 1, 2"),
        ("best:1", "tie"),
        ("best:4", "the model has 3 blocks"),
        ("1", "names 1 models"),
    ],
)
def test_a_vote_that_cannot_be_held_says_why(study, capsys, layers, message):
    assert main([str(study), "--layers", layers]) == 2
    assert message in capsys.readouterr().err
