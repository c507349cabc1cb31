"""What a step teaches: the episodes, their rows, the update; in this process, or by verl's trainer on a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.episode import Episode, Start
from agents.rollout import require_intact, rollout
from algorithms.arm import Arm
from algorithms.batch import Batch, from_episodes
from algorithms.estimators import estimator_of
from algorithms.meter import Meter
from algorithms.setting import Setting
from algorithms.workers.choice import LocalWorkers, Worker

if TYPE_CHECKING:
    from algorithms.workers.cluster.worker import ClusterWorker


@dataclass(frozen=True)
class Lesson:
    """Of one arm in one step: what was played, its rows, what the worker says of the update, and what else it tells."""

    episodes: list[Episode]
    batch: Batch
    update: Mapping[str, float]
    more: Mapping[str, float] = field(default_factory=dict)


class Learner(Protocol):
    """Takes a step."""

    def learn(self, step: int, arms: Sequence[Arm], starts: Sequence[Start], meter: Meter) -> dict[int, Lesson]:
        """Play the starts with every arm and update on them; an arm that fails is dropped, unless it is alone.

        Args:
            step: Steps done before.
            arms: Those that take it.
            starts: Its episodes, the same for every arm.
            meter: Told the seconds of ``generate`` and ``update``.

        Returns:
            The lessons of the arms that are still going, by variant.
        """
        ...


def learner_of(setting: Setting, worker: Worker) -> Learner:
    """Who takes the steps of ``worker``."""
    return LocalLearner(setting, worker) if isinstance(worker, LocalWorkers) else ClusterLearner(worker)


class LocalLearner:
    """One rollout of all arms side by side, one update."""

    def __init__(self, setting: Setting, worker: LocalWorkers) -> None:
        """For one worker."""
        self._setting, self._worker = setting, worker
        self._advantages = estimator_of(setting.config.algorithm)

    def learn(self, step: int, arms: Sequence[Arm], starts: Sequence[Start], meter: Meter) -> dict[int, Lesson]:
        """See ``Learner.learn``."""
        agent, make_env, config = self._setting.agent, self._setting.make_env, self._setting.config
        algorithm, task = config.algorithm, config.task
        with meter.phase("generate"):
            self._worker.begin_step()
            sampling = agent.sampling(algorithm.temperature)
            each = [replace(start, variant=arm.variant) for arm in arms for start in starts]
            played: dict[int, list[Episode]] = {arm.variant: [] for arm in arms}
            for episode in rollout(each, make_env, agent, self._worker, sampling, task.max_turns):
                played[episode.start.variant].append(episode)
        work: dict[int, tuple[Batch, NDArray[np.float64]]] = {}
        with meter.phase("update"):
            for arm in arms:
                with arm.at_own_cost():
                    require_intact(played[arm.variant], task)
                    batch = from_episodes(played[arm.variant])
                    work[arm.variant] = batch, self._advantages(batch, algorithm)
            updates = self._worker.update(work) if work else {}
        return {variant: Lesson(played[variant], batch, updates[variant]) for variant, (batch, _) in work.items()}


class ClusterLearner:
    """verl's trainer plays and updates in one go; there is one arm."""

    def __init__(self, worker: ClusterWorker) -> None:
        """For one worker."""
        self._worker = worker

    def learn(self, step: int, arms: Sequence[Arm], starts: Sequence[Start], meter: Meter) -> dict[int, Lesson]:
        """See ``Learner.learn``."""
        (arm,) = arms
        begin_s = time.perf_counter()
        episodes, batch, update, more = self._worker.take(step, starts)
        meter.add("generate", self._worker.generated_s)
        meter.add("update", time.perf_counter() - begin_s - self._worker.generated_s)
        return {arm.variant: Lesson(episodes, batch, update, more)}
