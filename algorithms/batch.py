"""From episodes to the rows of an update: one row per turn.

Shapes: _B rows (turns), _N trajectories (episodes), _T response tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.episode import Episode


@dataclass(frozen=True)
class Batch:
    """What the update needs, ragged lists by row and one advantage per row.

    ``group_B`` and ``trajectory_B`` are indices; ``turn_B`` counts from 0 within a trajectory; ``reward_B`` is the
    turn's own weighted reward and ``anchor_B`` the environment's state key.
    """

    prompt_ids: list[list[int]]
    response_ids: list[list[int]]
    rollout_logprobs: list[list[float]]
    group_B: NDArray[np.int64]
    trajectory_B: NDArray[np.int64]
    turn_B: NDArray[np.int64]
    reward_B: NDArray[np.float64]
    anchor_B: list[str]
    return_N: NDArray[np.float64]
    group_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.prompt_ids)


def from_episodes(episodes: list[Episode]) -> Batch:
    """Flatten episodes into rows; an episode whose environment broke has return NaN and gives no rows.

    Raises:
        ValueError: No episode produced a turn.
    """
    rows = [
        (index, position, turn)
        for index, episode in enumerate(episodes)
        if episode.status != "env_error"
        for position, turn in enumerate(episode.turns)
    ]
    if not rows:
        raise ValueError("no episode of this batch produced a turn")
    group_N = np.array([episode.start.group for episode in episodes])
    trajectory_B = np.array([index for index, _, _ in rows])
    return Batch(
        prompt_ids=[turn.prompt_ids for _, _, turn in rows],
        response_ids=[turn.response_ids for _, _, turn in rows],
        rollout_logprobs=[turn.logprobs for _, _, turn in rows],
        group_B=group_N[trajectory_B],
        trajectory_B=trajectory_B,
        turn_B=np.array([position for _, position, _ in rows]),
        reward_B=np.array([turn.reward for _, _, turn in rows]),
        anchor_B=[turn.anchor for _, _, turn in rows],
        return_N=np.array([np.nan if e.status == "env_error" else e.total_reward for e in episodes]),
        group_N=group_N,
    )
