"""Rank correlations of profiles: by block, by relative depth, between seeds; with intervals that know of noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_comparison import comparison_of
from scipy import stats

from evaluation.agreement import agreement, agreements
from evaluation.profiles import Profile, block_profile

SLOPE = {str(block): 0.1 + 0.05 * block for block in range(10)}


def of(trained: dict[str, float], **options) -> Profile:  # type: ignore[no-untyped-def]
    found = block_profile(comparison_of({"full": 0.6, **trained}, **options), n_resamples=1000)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def slope() -> Profile:
    return of(SLOPE)


def test_the_values_are_those_of_scipy(slope: Profile) -> None:
    other = of(SLOPE, draw=1, algorithm="dr_grpo")
    found = agreement(slope, other, n_permutations=99)
    assert (found.kind, found.n_blocks) == ("algorithm", 10)
    assert found.spearman.value == pytest.approx(stats.spearmanr(slope.gain_L, other.gain_L).statistic)
    assert found.kendall.value == pytest.approx(stats.kendalltau(slope.gain_L, other.gain_L).statistic)
    assert found.spearman.p == 0.01 and found.spearman.high > 0.95


def test_permutation_p_is_that_of_scipy(slope: Profile) -> None:
    order = [3, 0, 2, 1, 4, 9, 7, 5, 8, 6]
    shuffled = replace(slope, task="other", gain_L=np.sort(slope.gain_L)[order])
    flat = replace(slope, gain_L=np.arange(10.0))
    expected = stats.spearmanr(np.arange(10), order).pvalue
    assert agreement(flat, shuffled).spearman.p == pytest.approx(expected, abs=0.01)


def test_unrelated_profiles_may_be_unrelated(slope: Profile) -> None:
    values = list(SLOPE.values())
    other = of(dict(zip(SLOPE, np.array(values)[[4, 9, 2, 7, 0, 5, 1, 8, 3, 6]], strict=True)), task="code")
    found = agreement(slope, other)
    assert found.kind == "task" and found.spearman.low < 0 < found.spearman.high


def test_noise_alone_says_nothing() -> None:
    a, b = (of(dict.fromkeys(SLOPE, 0.3), draw=draw, task=task) for draw, task in ((0, "math"), (1, "code")))
    found = agreement(a, b)
    assert found.spearman.high - found.spearman.low > 1


def test_models_of_different_depth_are_compared_by_depth(slope: Profile) -> None:
    deep = replace(
        slope,
        model="deeper",
        n_blocks=19,
        blocks_L=tuple(range(0, 19, 2)),
        depth_L=np.arange(0, 19, 2) / 18,
    )
    shallow = replace(slope, n_blocks=10, depth_L=np.arange(10) / 9)
    found = agreement(shallow, deep)
    assert found.kind == "model" and found.spearman.value == pytest.approx(1.0)
    assert found.note.startswith("By relative depth: deeper interpolated at the depths of smollm2_135m.")


def test_every_pair_that_differs_in_one_thing(slope: Profile) -> None:
    code = replace(slope, task="code")
    both = replace(slope, task="code", algorithm="dr_grpo")
    kinds = [(found.kind, found.n_blocks) for found in agreements([slope, code, both], n_permutations=9)]
    assert kinds[:2] == [("task", 10), ("algorithm", 10)]
    assert kinds[2:] == [("seed", 10)] * 9


def test_too_few_blocks_are_not_ranked(slope: Profile) -> None:
    short = replace(
        slope, task="code", blocks_L=slope.blocks_L[:3], gain_L=slope.gain_L[:3], draws_RL=slope.draws_RL[:, :3]
    )
    found = agreement(slope, short)
    assert np.isnan(found.spearman.value) and "Fewer than 4 common blocks." in found.note


def test_smooth_profiles_are_warned_of(slope: Profile) -> None:
    smooth = replace(slope, gain_L=np.arange(10.0))
    assert "Neighbouring blocks are alike" in agreement(smooth, replace(smooth, task="code")).note
