"""The words a report begins with, case by case."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_study import WriteCell
from synthetic_training import write_training

from evaluation.cells import read_study
from evaluation.report.landmarks import best_single, landmarks
from evaluation.report.verdict import Verdict, verdicts
from evaluation.report.view import view_study


def solved(n_solved: int) -> np.ndarray:
    """``scores_IK`` of 60 items x 2 samples, the first items solved."""
    return np.repeat((np.arange(60) < n_solved).astype(float)[:, None], 2, axis=1)


BASE = solved(6)


def verdict(write_cell: WriteCell, **arms: int) -> Verdict:
    """The verdict on a study whose arms solve so many of 60 items; the untrained model solves 6."""
    for layer, n_solved in arms.items():
        folder = write_cell(BASE, solved(n_solved), layer=layer.removeprefix("at"))
    (found,) = verdicts(view_study(read_study(folder.parents[4])))
    return found


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ({"base": 6}, "Only the untrained model has been scored so far."),
        ({"at15": 40}, "There is no result of full training yet, so no contribution can be computed."),
        ({"full": 7, "at15": 40}, "Not answered: full training's own gain cannot be told from 0."),
        ({"full": 0, "at15": 40}, "Full training lowered the score, by 0.100: there is no gain to recover."),
        ({"full": 40}, "No single block has a result yet, so the question is open."),
        ({"full": 40, "at15": 20}, "Block 15 alone recovers a part of full training's gain: C = 0.41 ["),
        ({"full": 40, "at15": 39}, "Block 15 alone cannot be told from full training: C = 0.97 ["),
        ({"full": 25, "at15": 58}, "Block 15 alone gains more than full training: C = 2.74 ["),
        ({"full": 40, "at15": 6}, "No single block's contribution is told from 0; the largest is that of block 15"),
        ({"full": 40, "at14": 9, "at15": 20, "at16": 8}, "Block 15 alone, the best of 3, recovers a part"),
    ],
)
def test_the_headline(write_cell: WriteCell, arms: dict[str, int], words: str) -> None:
    assert verdict(write_cell, **arms).headline.startswith(words)


def test_the_numbers_and_sentences(write_cell: WriteCell) -> None:
    found = verdict(write_cell, base=6, full=40, at0=7, at14=30, at15=33, at29=6)
    numbers = dict(found.numbers)
    assert numbers["untrained"] == "0.100" and numbers["block 15 alone"] == "0.550" and numbers["panel"] == "60 × 2"
    assert numbers["blocks that gain"] == "2 of 4" and numbers["training seeds"] == "1"
    text = " ".join(found.sentences)
    assert "Full training gains +0.567 [" in text and "block 15 gains most, C 0.79 [" in text
    assert "A block picked without looking gains +0.217 on average." in text


def test_groups_without_signal_are_counted(write_cell: WriteCell) -> None:
    write_training(write_cell(BASE, solved(20), layer="15"), zero_variance_groups=0.8)
    folder = write_training(write_cell(BASE, solved(40), layer="full"), zero_variance_groups=0.2).parents[4]
    (found,) = verdicts(view_study(read_study(folder)))
    (words,) = found.warnings
    assert words.startswith("Degenerate groups: 50%") and "20%, layer full, to 80%, layer 15" in words


def test_the_best_of_many_is_marked_as_chosen(write_cell: WriteCell) -> None:
    for layer, n_solved in (("base", 6), ("full", 40), ("0", 8), ("14", 20), ("29", 11), ("mid:5", 30)):
        folder = write_cell(BASE, solved(n_solved), layer=layer)
    (comparison,) = view_study(read_study(folder.parents[4])).comparisons
    found = {mark.label: mark for mark in landmarks(comparison, 0.95)}
    assert list(found) == ["base", "full", "best of 3 blocks (14)", "middle block (14)",
                           "a random block (mean of 3)", "mid:5"]  # fmt: skip
    assert [label for label, mark in found.items() if mark.chosen] == ["best of 3 blocks (14)"]
    assert found["a random block (mean of 3)"].score.value == pytest.approx((8 + 20 + 11) / 3 / 60)
    best = best_single(comparison)
    assert best is not None and best.layer == "14"
