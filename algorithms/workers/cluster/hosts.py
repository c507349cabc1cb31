"""Environments that need processes, in Ray actors: each host has one worker process, wherever Ray has room.

A host keeps the promises of ``envs.pool``: a call that hangs or dies costs the episode that was called, no other.
"""

from __future__ import annotations

from itertools import count
from typing import Any, cast

import ray

from agents.world import MakeEnv, make_env_of
from algorithms.workers.cluster.waiting import WaitedTooLongError
from conf.schema import TaskConfig
from envs import TaskEnv
from envs.pool import Pool
from envs.remote import RemoteEnv


class Host:
    """Holds environments by number; its calls come from many episodes."""

    def __init__(self, task: TaskConfig) -> None:
        """Start nothing yet."""
        self._make, self._pool = make_env_of(task), Pool(1, task.timeout_s)
        self._envs: dict[int, RemoteEnv] = {}
        self._numbers = count(1)

    def make(self) -> int:
        """Build an environment and return its number."""
        env = RemoteEnv(self._make, self._pool)
        number = next(self._numbers)  # many threads make environments at once
        self._envs[number] = env
        return number

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
        """Build it; the host answers within ``limit_s`` seconds."""
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
            raise WaitedTooLongError(f"{method} in a host", "runner.step_timeout_s", self._limit_s) from error


def hosted(task: TaskConfig, limit_s: float) -> MakeEnv:
    """What builds environments in ``task.processes`` hosts, in turn.

    Args:
        task: What is built.
        limit_s: Seconds that a host may take, other calls before this one's turn among them. How long a call itself
            may take, ``task.timeout_s``, the host's pool minds.
    """
    host = ray.remote(Host).options(num_cpus=0, max_concurrency=1000, max_restarts=-1)
    hosts = [host.remote(task) for _ in range(task.processes)]
    made = 0

    def make() -> TaskEnv:
        nonlocal made
        made += 1
        return cast(TaskEnv, HostedEnv(hosts[made % len(hosts)], limit_s))

    return make
