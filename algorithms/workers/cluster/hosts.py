"""Environments that need processes, in Ray actors: each host has one worker process, wherever Ray has room.

A host keeps the promises of ``envs.pool``: a call that hangs or dies costs the episode that was called, no other.
"""

from __future__ import annotations

from typing import Any, cast

import ray

from agents.world import MakeEnv, make_env_of
from algorithms.workers.cluster.waiting import WaitedTooLongError
from conf.schema import TaskConfig
from envs import TaskEnv
from envs.pool import Pool
from envs.remote import RemoteEnv

GRACE_S = 150.0
"""Beyond ``task.timeout_s``: building an environment may take two minutes, and calls of one host take turns."""


class Host:
    """Holds environments by number; its calls come from many episodes."""

    def __init__(self, task: TaskConfig) -> None:
        """Start nothing yet."""
        self._make, self._pool = make_env_of(task), Pool(1, task.timeout_s)
        self._envs: dict[int, RemoteEnv] = {}
        self._made = 0

    def make(self) -> int:
        """Build an environment and return its number."""
        env = RemoteEnv(self._make, self._pool)
        self._made += 1
        self._envs[self._made] = env
        return self._made

    def reset(self, number: int, seed: int | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """``TaskEnv.reset`` of one."""
        return self._envs[number].reset(seed=seed, options=options)

    def step(self, number: int, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """``TaskEnv.step`` of one."""
        return self._envs[number].step(action)

    def close(self, number: int) -> None:
        """Close one."""
        self._envs.pop(number).close()


class HostedEnv:
    """An environment in a host: as much of a ``TaskEnv`` as an episode calls."""

    def __init__(self, host: Any, limit_s: float) -> None:
        """Build it."""
        self._host, self._limit_s = host, limit_s
        self._number: int = self._answer("make")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """As ``TaskEnv.reset``."""
        answer: tuple[str, dict[str, Any]] = self._answer("reset", self._number, seed, options or {})
        return answer

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """As ``TaskEnv.step``."""
        answer: tuple[str, float, bool, bool, dict[str, Any]] = self._answer("step", self._number, action)
        return answer

    def close(self) -> None:
        """Let it go; nobody waits."""
        self._host.close.remote(self._number)

    def _answer(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._host, method).remote(*arguments), timeout=self._limit_s)
        except ray.exceptions.GetTimeoutError as error:
            raise WaitedTooLongError(f"{method} of an environment's host", "task.timeout_s", self._limit_s) from error


def hosted(task: TaskConfig) -> MakeEnv:
    """What builds environments in ``task.processes`` hosts, in turn."""
    host = ray.remote(Host).options(num_cpus=0, max_concurrency=1000)
    hosts = [host.remote(task) for _ in range(task.processes)]
    made = 0

    def make() -> TaskEnv:
        nonlocal made
        made += 1
        return cast(TaskEnv, HostedEnv(hosts[made % len(hosts)], task.timeout_s + GRACE_S))

    return make
