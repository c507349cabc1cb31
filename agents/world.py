"""Environments that episodes are played in.

Episodes that begin alike and say the same, as those of arms that train side by side mostly do, share one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import envs.registry
from agents.episode import Start
from agents.seeding import seed_of
from conf.schema import TaskConfig
from envs import ContractError, TaskEnv
from envs.dispatch import Outcome
from envs.remote import RemoteEnv, step_all

log = logging.getLogger(__name__)

MakeEnv = Callable[[], TaskEnv]


def make_env_of(task: TaskConfig) -> MakeEnv:
    """What builds the task's environment, in this process; it can be pickled."""
    return partial(envs.registry.make, task.env_id, **task.kwargs, reward_weights=dict(task.reward_weights))


class World:
    """An environment at the beginning of ``start``, or further on. What it raises is kept as an outcome."""

    def __init__(self, make_env: MakeEnv, start: Start) -> None:
        """Make the environment and reset it; ``opening`` is what came of that."""
        self._make_env, self._start = make_env, start
        self._env: TaskEnv | None = None
        self._texts: list[str] = []
        self._observation = ""
        self.opening = self._begin()

    def fork(self) -> World:
        """Another world in which the same was said.

        An episode is deterministic in its start and what is said (``envs.contract`` checks it), so that is played
        again; where something else comes of it, the new world's next outcome is a ``ContractError``.
        """
        other = World(self._make_env, self._start)
        outcome = other.opening
        for text in self._texts:
            (outcome,) = step([other], [text])
        if outcome.error is None and other._observation != self._observation:
            outcome = Outcome(error=ContractError(f"{self._start}: the same actions led elsewhere when played again"))
        if outcome.error is not None:
            other.close()
            other._env, other.opening = None, outcome
        return other

    def close(self) -> None:
        """Close the environment; what that raises is no episode's business."""
        if self._env is None:  # it could not be made
            return
        try:
            self._env.close()
        except Exception as error:  # a task may be anybody's code and raise anything
            log.warning("%s: close failed: %s", self._start, error)

    def _begin(self) -> Outcome:
        start = self._start
        seed = seed_of("env", start.split, start.index) % 2**31
        try:
            self._env = self._make_env()
            observation, info = self._env.reset(seed=seed, options={"split": start.split, "index": start.index})
        except Exception as error:  # as above
            return Outcome(error=error)
        self._observation = observation
        return Outcome((observation, info))


def step(worlds: Sequence[World], texts: Sequence[str]) -> list[Outcome]:
    """Say one text in each world; those in processes of their own answer side by side."""
    going = [(world, world._env, text) for world, text in zip(worlds, texts, strict=True) if world._env is not None]
    remote = [env for _, env, _ in going if isinstance(env, RemoteEnv)]
    if len(remote) == len(going):
        outcomes = step_all(remote, [text for _, _, text in going])
    else:
        outcomes = [_stepped(env, text) for _, env, text in going]
    outcome_of = dict(zip((world for world, _, _ in going), outcomes, strict=True))
    for world, _, text in going:
        world._texts.append(text)
        if outcome_of[world].error is None:
            world._observation = outcome_of[world].value[0]
    return [outcome_of.get(world, world.opening) for world in worlds]


def _stepped(env: TaskEnv, text: str) -> Outcome:
    try:
        return Outcome(env.step(text))
    except Exception as error:  # as above
        return Outcome(error=error)
