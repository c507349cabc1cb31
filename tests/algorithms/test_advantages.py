"""Advantages: worked by hand, against a plain loop, and where a group has nothing to say."""

import statistics

import numpy as np
import pytest

from algorithms.advantages import grpo, zero_variance_share

# Two prompts, three answers each: means 1/3 and 2, standard deviations sqrt(1/3) and 1.
RETURNS = [0.0, 0.0, 1.0, 1.0, 2.0, 3.0]
GROUPS = [0, 0, 0, 1, 1, 1]


def test_grpo_by_hand():
    expected = [-0.57735, -0.57735, 1.15470, -1.0, 0.0, 1.0]
    np.testing.assert_allclose(grpo(RETURNS, GROUPS), expected, atol=5e-6)


def test_dr_grpo_by_hand():
    expected = [-1 / 3, -1 / 3, 2 / 3, -1.0, 0.0, 1.0]
    np.testing.assert_allclose(grpo(RETURNS, GROUPS, normalize_std=False), expected, atol=1e-12)


def test_groups_may_be_interleaved_and_named():
    shuffled = grpo([1.0, 0.0, 2.0, 0.0, 3.0, 1.0], ["b", "a", "b", "a", "b", "a"], normalize_std=False)
    np.testing.assert_allclose(shuffled, [-1.0, -1 / 3, 0.0, -1 / 3, 1.0, 2 / 3], atol=1e-12)


def looped(returns, groups, normalize_std):
    """The formula, one trajectory at a time."""
    advantages = []
    for own_return, own_group in zip(returns, groups, strict=True):
        peers = [r for r, g in zip(returns, groups, strict=True) if g == own_group]
        scale = statistics.stdev(peers) + 1e-6 if normalize_std and len(peers) > 1 else 1.0
        advantages.append((own_return - statistics.fmean(peers)) / scale)
    return advantages


@pytest.mark.parametrize("normalize_std", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_grpo_equals_a_plain_loop(seed, normalize_std):
    rng = np.random.default_rng(seed)
    returns, groups = rng.normal(size=60), rng.integers(0, 12, size=60)
    expected = looped(returns.tolist(), groups.tolist(), normalize_std)
    np.testing.assert_allclose(grpo(returns, groups, normalize_std=normalize_std), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_advantages_sum_to_zero_in_every_group_and_do_not_see_a_shift(seed):
    rng = np.random.default_rng(seed)
    returns, groups = rng.integers(0, 2, size=40).astype(float), np.repeat(np.arange(5), 8)
    advantages = grpo(returns, groups)
    np.testing.assert_allclose([advantages[groups == group].sum() for group in range(5)], 0.0, atol=1e-9)
    np.testing.assert_allclose(grpo(returns + 7.0, groups), advantages, atol=1e-9)


def test_a_group_of_one_has_advantage_zero():
    np.testing.assert_array_equal(grpo([5.0, 0.0, 1.0], [0, 1, 1], normalize_std=False), [0.0, -0.5, 0.5])


@pytest.mark.parametrize("normalize_std", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 0.1, 1 / 3])
def test_a_group_of_equal_returns_has_advantage_exactly_zero(value, normalize_std):
    for size in range(2, 9):  # the mean of three 0.1 is not 0.1, and a row is dropped only where the advantage is 0
        np.testing.assert_array_equal(grpo([value] * size, [0] * size, normalize_std=normalize_std), 0.0)


def test_a_broken_episode_has_advantage_zero_and_does_not_count():
    advantages = grpo([0.0, np.nan, 1.0, np.nan, 4.0], [0, 0, 0, 1, 1], normalize_std=False)
    np.testing.assert_array_equal(advantages, [-0.5, 0.0, 0.5, 0.0, 0.0])


@pytest.mark.parametrize(
    ("returns", "groups", "message"),
    [
        ([0.0, 1.0], [0], "one length"),
        ([], [], "one length"),
        ([[0.0, 1.0]], [[0, 0]], "must be vectors"),
        (1.0, 0, "must be vectors"),
        ([0.0, np.inf], [0, 0], "infinite"),
        ([0.0, -np.inf], [0, 0], "infinite"),
    ],
)
def test_what_is_no_batch_is_refused(returns, groups, message):
    with pytest.raises(ValueError, match=message):
        grpo(returns, groups)


def test_the_input_is_left_alone():
    returns = np.array(RETURNS)
    grpo(returns, GROUPS)
    np.testing.assert_array_equal(returns, RETURNS)


def test_zero_variance_share_counts_groups_without_signal():
    returns = [0.0, 0.0, 0.0, 1.0, 1.0, np.nan, 1.0, np.nan]
    #          equal     differs   one left    one left
    assert zero_variance_share(returns, [0, 0, 1, 1, 2, 2, 3, 3]) == 0.75
