"""From episodes to rows: one row per turn, and no row from an environment that broke."""

import numpy as np
import pytest

from agents.episode import Episode, Start, Turn
from algorithms.batch import from_episodes


def turn(number, reward, anchor=""):
    return Turn(
        prompt_ids=[number],
        response_ids=[number, number + 1],
        logprobs=[-0.5, -1.5],
        entropies=[0.0, 0.0],
        truncated=False,
        text="",
        observation="",
        reward=reward,
        anchor=anchor,
    )


def episode(group, member, turns, status="done"):
    return Episode(Start("train", 0, group, member, sampling_seed=0), turns, status=status)


EPISODES = [
    episode(0, 0, [turn(10, 0.25, "a"), turn(11, 0.5, "b")]),
    episode(0, 1, [turn(20, -1.0, "a")], status="truncated"),
    episode(1, 0, [turn(30, 1.0)], status="env_error"),
    episode(1, 1, [turn(40, 1.0, "c")]),
]


def test_every_turn_is_a_row():
    batch = from_episodes(EPISODES)
    assert len(batch) == 4
    assert batch.prompt_ids == [[10], [11], [20], [40]]
    assert batch.response_ids == [[10, 11], [11, 12], [20, 21], [40, 41]]
    assert batch.rollout_logprobs == [[-0.5, -1.5]] * 4
    assert batch.anchor_B == ["a", "b", "a", "c"]
    np.testing.assert_array_equal(batch.reward_B, [0.25, 0.5, -1.0, 1.0])
    np.testing.assert_array_equal(batch.turn_B, [0, 1, 0, 0])
    np.testing.assert_array_equal(batch.trajectory_B, [0, 0, 1, 3])
    np.testing.assert_array_equal(batch.group_B, [0, 0, 0, 1])


def test_a_return_is_the_sum_over_turns_and_nan_where_the_environment_broke():
    batch = from_episodes(EPISODES)
    np.testing.assert_array_equal(batch.return_N, [0.75, -1.0, np.nan, 1.0])
    np.testing.assert_array_equal(batch.group_N, [0, 0, 1, 1])


@pytest.mark.parametrize("episodes", [[], [episode(0, 0, [turn(1, 0.0)], status="env_error")]])
def test_a_batch_without_a_single_turn_is_an_error(episodes):
    with pytest.raises(ValueError, match="no episode of this batch produced a turn"):
        from_episodes(episodes)
