"""Many episodes of many groups, turn by turn, each turn of all of them in one batch."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from agents.agent import Agent
from agents.episode import Episode, Start, Turn
from agents.sampler import Generation, Policy, Sampling
from agents.seeding import seed_of
from conf.errors import UserError
from conf.schema import TaskConfig
from envs import TaskEnv

log = logging.getLogger(__name__)

MakeEnv = Callable[[], TaskEnv]


class EnvironmentsBrokenError(UserError, RuntimeError):
    """More episodes were lost to their environments than the task allows."""


def rollout(
    starts: Sequence[Start], make_env: MakeEnv, agent: Agent, policy: Policy, sampling: Sampling, task: TaskConfig
) -> list[Episode]:
    """Play one episode per start and return them in that order.

    An environment that raises makes its own episode an ``env_error`` and no other's. Finished episodes leave the
    batch. The sample of a turn is seeded by the start's ``sampling_seed`` and the turn's number alone.

    Raises:
        ValueError: No starts.
        EnvironmentsBrokenError: A share above ``task.max_env_error_share`` was lost.
    """
    if not starts:
        raise ValueError("a rollout needs at least one start")
    players = [_Player(start, make_env()) for start in starts]
    for player in players:
        player.reset()
    for turn in range(task.max_turns):
        for player in players:
            player.read(agent)
        playing = [player for player in players if player.playing]
        if not playing:
            break
        seeds = [seed_of(player.episode.start.sampling_seed, turn) for player in playing]
        generations = policy.generate([player.prompt_ids for player in playing], seeds, sampling)
        for player, generation in zip(playing, generations, strict=True):
            player.act(agent, generation)
    for player in players:
        if player.playing:
            player.episode.status = "truncated"
        player.close()
    episodes = [player.episode for player in players]
    lost = [episode for episode in episodes if episode.status == "env_error"]
    if len(lost) > task.max_env_error_share * len(episodes):
        causes = "; ".join(sorted({episode.error for episode in lost})[:3])
        raise EnvironmentsBrokenError(
            f"{len(lost)} of {len(episodes)} episodes were lost to their environments "
            f"(task.max_env_error_share={task.max_env_error_share}): {causes}"
        )
    return episodes


def _at_own_cost(method: Callable[..., None]) -> Callable[..., None]:
    """Skip players that have finished; what a task raises ends its own episode and is recorded there."""

    @functools.wraps(method)
    def guarded(self: _Player, *args: Any) -> None:
        if not self.playing:
            return
        try:
            method(self, *args)
        except Exception as error:  # a task may be anybody's code and raise anything
            self.playing = False
            self.episode.status, self.episode.error = "env_error", f"{type(error).__name__}: {error}"
            log.warning("%s lost: %s", self.episode.start, self.episode.error)

    return guarded


class _Player:
    """One episode on its way: its environment, what it sees, what it has collected."""

    def __init__(self, start: Start, env: TaskEnv) -> None:
        self.env, self.episode, self.playing = env, Episode(start), True
        self.observation, self.anchor, self.prompt_ids = "", "", list[int]()

    @_at_own_cost
    def reset(self) -> None:
        start = self.episode.start
        seed = seed_of("env", start.split, start.index) % 2**31
        self._see(*self.env.reset(seed=seed, options={"split": start.split, "index": start.index}))

    @_at_own_cost
    def read(self, agent: Agent) -> None:
        self.prompt_ids = agent.prompt(self.observation)

    @_at_own_cost
    def act(self, agent: Agent, generation: Generation) -> None:
        turn = Turn(
            prompt_ids=self.prompt_ids,
            response_ids=generation.response_ids,
            logprobs=generation.logprobs,
            entropies=generation.entropies,
            truncated=generation.truncated,
            text=agent.action(generation.response_ids),
            observation=self.observation,
            anchor=self.anchor,
        )
        observation, reward, terminated, truncated, info = self.env.step(turn.text)
        turn.reward, turn.reward_terms = float(reward), dict(info["reward_terms"])
        turn.valid, turn.status = bool(info.get("valid", True)), str(info.get("status", "ok"))
        self.episode.turns.append(turn)
        self.episode.success = bool(info["success"])
        self.playing = not (terminated or truncated)
        self.episode.status = "truncated" if truncated and not terminated else "done"
        self._see(observation, info)

    def close(self) -> None:
        try:
            self.env.close()
        except Exception as error:  # the episode is over; what closing costs is not its business
            log.warning("%s: close failed: %s", self.episode.start, error)

    def _see(self, observation: str, info: dict[str, Any]) -> None:
        self.observation, self.anchor = observation, str(info.get("anchor", observation))
        self.episode.item_id = str(info.get("item_id", self.episode.item_id))
