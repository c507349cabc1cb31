"""C_l = (S_l - S_base) / (S_full - S_base): worked by hand, and its interval by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.contribution import contribution


def solved(n_items: int, n_solved: int) -> np.ndarray:
    """One seed, one sample per item, the first ``n_solved`` items solved."""
    return (np.arange(n_items) < n_solved).astype(float)[None, :, None]


def test_worked_by_hand() -> None:
    # base 0.10, full 0.50, layer 0.45: (0.45 - 0.10) / (0.50 - 0.10) = 0.875
    found = contribution(solved(100, 10), solved(100, 50), solved(100, 45))
    assert found.value == pytest.approx(0.875)
    assert found.gain == pytest.approx(0.4)
    assert found.resolved and not found.tie and found.reason == ""
    assert (found.n_seeds, found.n_items) == (1, 100)
    # Solved sets are nested: of about 40 items that full gains, 5 are open; a binomial of 35 in 40 is 0.77 to 0.97.
    assert found.low == pytest.approx(0.77, abs=0.02) and found.high == pytest.approx(0.97, abs=0.02)


@pytest.mark.parametrize(("n_layer", "value"), [(10, 0.0), (50, 1.0), (60, 1.25), (6, -0.1)])
def test_the_anchors_and_beyond(n_layer: int, value: float) -> None:
    found = contribution(solved(100, 10), solved(100, 50), solved(100, n_layer))
    assert found.value == pytest.approx(value)
    assert found.tie == (n_layer == 50)


def test_a_gain_that_may_be_nothing_gives_no_contribution() -> None:
    found = contribution(solved(64, 10), solved(64, 11), solved(64, 40))
    assert np.isnan([found.value, found.low, found.high]).all()
    assert not found.resolved
    assert "cannot be told from 0" in found.reason and "+0.016" in found.reason


def test_no_gain_at_all_and_too_few_items() -> None:
    assert not contribution(solved(64, 10), solved(64, 10), solved(64, 40)).resolved
    # Two items that both went from 0 to 1 prove nothing about others.
    assert not contribution(solved(2, 0), solved(2, 2), solved(2, 1)).resolved


def test_a_tie_of_totals_is_a_tie() -> None:
    """The paper's ALFWorld tables: full and the best layer both solve 114 of 128."""
    full, layer = solved(128, 114), solved(128, 114)[:, ::-1]
    found = contribution(solved(128, 5), full, layer)
    assert found.tie and found.value == pytest.approx(1.0)
    assert found.low < 1 < found.high


def test_full_training_that_hurts_is_said() -> None:
    found = contribution(solved(100, 60), solved(100, 20), solved(100, 40))
    assert found.value == pytest.approx(0.5)
    assert "lowered the score by 0.400" in found.reason


def test_seeds_widen_the_interval_and_may_be_paired() -> None:
    rng = np.random.default_rng(0)
    base = solved(200, 20)
    luck_S = np.array([-0.1, 0.0, 0.1])[:, None, None]
    full = (rng.random((3, 200, 4)) < 0.6 + luck_S).astype(float)
    layer = (rng.random((3, 200, 4)) < 0.5 + luck_S).astype(float)
    one = contribution(base, full[1:2], layer[1:2])
    apart, paired = contribution(base, full, layer), contribution(base, full, layer, seeds_match=True)
    assert (one.n_seeds, apart.n_seeds) == (1, 3)
    assert one.high - one.low < apart.high - apart.low
    assert paired.high - paired.low < apart.high - apart.low
    with pytest.raises(ValueError, match="full has 3 training seeds, the layer 2"):
        contribution(base, full, layer[:2], seeds_match=True)


def test_the_same_seed_gives_the_same_interval() -> None:
    arms = solved(50, 5), solved(50, 30), solved(50, 20)
    assert contribution(*arms, seed=3) == contribution(*arms, seed=3)
    assert contribution(*arms, seed=3).low != contribution(*arms, seed=4, n_resamples=501).low


def test_intervals_cover_the_true_contribution() -> None:
    """Items of mixed difficulty; full solves half of what base leaves, the layer four tenths: C = 0.8."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        chance = rng.beta(0.5, 1.5, size=(1, 96, 1))
        arms = [(rng.random((1, 96, 4)) < chance + (1 - chance) * g).astype(float) for g in (0.0, 0.5, 0.4)]
        found = contribution(*arms, n_resamples=1000)
        covered += found.resolved and found.low <= 0.8 <= found.high
    assert 0.90 <= covered / 200 <= 0.99
