"""Majority votes over sampled answers, and how much the items that several models solve overlap.

Shapes: ``_L`` voters (models), ``_K`` answers of a voter to one item, ``_I`` panel items, ``_P`` pairs of voters,
``_R`` elections or resamples, ``_V`` votes, ``_C`` different answers.
Source: arXiv 2607.01232, section 5.1.
"""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from envs.math.boxed import last_boxed
from evaluation.stats import Interval, percentiles

ABSTAINS = ""
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def final_answer(text: str) -> str:
    r"""What a text answers: the last ``\boxed{}``, else the last number, else its words; empty where there are none."""
    if (boxed := last_boxed(text)) is not None:
        return re.sub(r"\s", "", boxed)
    if numbers := _NUMBER.findall(text.replace("\u2212", "-")):
        return str(numbers[-1]).replace(",", "")
    return " ".join(text.lower().split())


def same_answer(text: str, outcome: float) -> str:
    """A key that equal answers share: the verifier has called all right ones equal, the others go by their words."""
    return "right" if outcome >= 1 else f"wrong {answer}" if (answer := final_answer(text)) else ABSTAINS


def majority(
    key_LK: NDArray[np.str_], outcome_LK: NDArray[np.float64], n_votes: int, rng: np.random.Generator, n_elections: int
) -> float:
    """The expected outcome of a majority vote on one item.

    Votes go round: every voter gives one of its answers before any gives a second. Who comes first, and which answer,
    is drawn anew in each election. Answers that tie share the credit, as a fair coin would on average; who has not
    said anything abstains.

    Args:
        key_LK: See ``same_answer``.
        outcome_LK: In [0, 1]; nan is no answer, and abstains.
        n_votes: At most L x K.
        rng: Draws the elections.
        n_elections: How many are averaged.
    """
    n_voters, n_answers = key_LK.shape
    voter_RL = rng.random((n_elections, n_voters)).argsort(axis=1)
    answer_RLK = rng.random((n_elections, n_voters, n_answers)).argsort(axis=2)
    round_V, place_V = np.divmod(np.arange(n_votes), n_voters)
    voter_RV = voter_RL[:, place_V]
    answer_RV = answer_RLK[np.arange(n_elections)[:, None], voter_RV, round_V]
    outcome_LK = np.nan_to_num(outcome_LK)
    names_C, code_LK = np.unique(key_LK, return_inverse=True)
    code_LK = code_LK.reshape(key_LK.shape)
    outcome_C = np.bincount(code_LK.ravel(), outcome_LK.ravel()) / np.bincount(code_LK.ravel())
    votes_RC = (code_LK[voter_RV, answer_RV][:, :, None] == np.arange(len(names_C))).sum(axis=1)
    votes_RC[:, names_C == ABSTAINS] = 0
    wins_RC = votes_RC == votes_RC.max(axis=1, keepdims=True)
    return float(((wins_RC * outcome_C).sum(axis=1) / wins_RC.sum(axis=1)).mean())


def jaccard(
    solved_LI: NDArray[np.bool_], confidence: float = 0.95, n_resamples: int = 4000, seed: int = 0
) -> tuple[NDArray[np.float64], Interval]:
    """Overlap of the sets of items that models solve, |A and B| / |A or B| for each pair, and the mean over pairs.

    Args:
        solved_LI: Which items each of at least two models solves.
        confidence: Coverage of the mean's interval.
        n_resamples: Bootstrap resamples of the items.
        seed: Of the resampling.

    Returns:
        ``value_LL``, 1 on the diagonal, nan where neither of a pair solves anything; and the mean over pairs with the
        percentiles of its item bootstrap.
    """
    n_models, n_items = solved_LI.shape
    pairs = list(combinations(range(n_models), 2))
    both_PI = np.array([solved_LI[a] & solved_LI[b] for a, b in pairs], dtype=float)
    either_PI = np.array([solved_LI[a] | solved_LI[b] for a, b in pairs], dtype=float)
    weight_RI = np.random.default_rng(seed).multinomial(n_items, np.full(n_items, 1 / n_items), size=n_resamples)
    value_P = _ratio(both_PI.sum(axis=1), either_PI.sum(axis=1))
    value_RP = _ratio(weight_RI @ both_PI.T, weight_RI @ either_PI.T)
    value_LL = np.eye(n_models)
    for (a, b), value in zip(pairs, value_P, strict=True):
        value_LL[a, b] = value_LL[b, a] = value
    low, high = percentiles(_mean(value_RP), confidence)
    return value_LL, Interval(float(_mean(value_P[None])[0]), low, high, n_items, 1)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, np.nan, dtype=float), where=whole > 0)


def _mean(value_RP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over pairs; a pair without a value does not count, and 0 where none has one."""
    known_RP = np.isfinite(value_RP)
    return np.where(known_RP, value_RP, 0.0).sum(axis=1) / np.maximum(known_RP.sum(axis=1), 1)
