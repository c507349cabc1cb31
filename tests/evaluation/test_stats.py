"""Intervals against numbers worked out by hand, by Clopper and Pearson, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.stats import mean_interval, paired_difference, resampled_means


def test_the_mean_is_the_mean_of_items() -> None:
    found = mean_interval(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, np.nan], [np.nan, np.nan]]))
    assert found.value == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert (found.n_items, found.n_samples, found.n_seeds) == (3, 2, 1)
    assert 0 <= found.low < found.value < found.high <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("n_items", [1, 10, 64])
def test_all_items_alike_is_clopper_and_pearson(value: float, n_items: int) -> None:
    found = mean_interval(np.full((n_items, 4), value))
    exact = stats.binomtest(int(value * n_items), n_items).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_the_interval_is_that_of_the_standard_error() -> None:
    scores_IK = np.repeat([[0.0], [1.0]], 200, axis=0)
    found = mean_interval(scores_IK)
    assert (found.low, found.high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.005)
    narrower = mean_interval(scores_IK, confidence=0.5)
    assert found.low < narrower.low < narrower.high < found.high


def test_samples_of_one_item_are_not_independent_items() -> None:
    once = mean_interval(np.repeat([[0.0], [1.0]], 50, axis=0))
    eight_times = mean_interval(np.repeat(np.repeat([[0.0], [1.0]], 50, axis=0), 8, axis=1))
    assert (once.low, once.high) == (eight_times.low, eight_times.high)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike_SIK = (rng.random((3, 100, 4)) < 0.5).astype(float)
    apart_SIK = (rng.random((3, 100, 4)) < np.array([0.3, 0.5, 0.7])[:, None, None]).astype(float)
    alike, apart = mean_interval(alike_SIK), mean_interval(apart_SIK)
    assert apart.n_seeds == 3
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_two_seeds_have_one_degree_of_freedom() -> None:
    arm_SI = np.array([[0.4] * 5, [0.6] * 5])
    (draw_R,) = resampled_means([arm_SI], n_resamples=20000, seed=0)
    # Half of Student's t with 1 degree of freedom lies within one standard error, here 0.1.
    assert np.mean(np.abs(draw_R - 0.5) < 0.1) == pytest.approx(0.5, abs=0.02)


def test_arms_share_items_and_named_arms_share_seeds() -> None:
    arm_SI = np.random.default_rng(0).random((3, 20))
    a_R, b_R, c_R = resampled_means([arm_SI, arm_SI, arm_SI[:1]], n_resamples=50, seed=0, seed_groups=(0, 0, 1))
    np.testing.assert_allclose(a_R, b_R)
    assert not np.allclose(a_R, c_R)


def test_pairing_removes_the_difficulty_of_items() -> None:
    before_IK = np.repeat([[0.0], [0.9]], 50, axis=0)
    found = paired_difference(before_IK + 0.1, before_IK)
    assert found.value == pytest.approx(0.1)
    # All 100 items gain 0.1: what is left is that up to 3.6 % of other items might not.
    assert found.high - found.low < 0.08


def test_no_difference_on_any_item_is_not_certainty() -> None:
    found = paired_difference(np.zeros((64, 4)), np.zeros((64, 4)))
    assert (found.value, found.low, found.high) == (
        0.0,
        pytest.approx(-0.056, abs=1e-3),
        pytest.approx(0.056, abs=1e-3),
    )


def test_an_item_without_a_score_leaves_both_arms() -> None:
    a_IK, b_IK = np.array([[1.0], [1.0], [np.nan]]), np.array([[0.0], [1.0], [1.0]])
    found = paired_difference(a_IK, b_IK)
    assert (found.value, found.n_items) == (0.5, 2)


def test_unequal_numbers_of_seeds_are_drawn_apart() -> None:
    rng = np.random.default_rng(0)
    found = paired_difference(rng.random((3, 40, 2)), rng.random((2, 40, 2)))
    assert found.low < found.value < found.high


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros((0, 2)), np.full((3, 2), np.nan)])
def test_no_scores_no_interval(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"scores must be|no panel item has a score"):
        mean_interval(scores)


def test_panels_of_different_size_are_not_paired() -> None:
    with pytest.raises(ValueError, match=r"panels of \[3, 4\] items"):
        paired_difference(np.zeros((3, 1)), np.zeros((4, 1)))


def test_intervals_cover_what_they_claim() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        chance_I = rng.beta(0.6, 1.4, size=64)
        found = mean_interval((rng.random((64, 4)) < chance_I[:, None]).astype(float), n_resamples=600)
        covered += found.low <= 0.3 <= found.high
    assert 0.90 <= covered / 200 <= 0.99
