"""What one training step works on: the starts, the worker, and the rollouts of every cell with their advantages."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs.registry
from agents.agent import Agent
from agents.episode import Episode, Start
from agents.models import ModelFiles, load_tokenizer, resolve
from agents.rollout import rollout
from agents.sampler import Sampling
from agents.seeding import seed_of
from algorithms.batch import Batch, from_episodes
from algorithms.estimators import estimator_of
from algorithms.layers import LayerSelection, parse_layer
from algorithms.machine import choose
from algorithms.workers.local import LocalWorker
from algorithms.workers.plain import PlainWorker
from conf.schema import Config

Work = dict[int, tuple[Batch, NDArray[np.float64]]]
"""By variant its batch, and one advantage per row: what a worker's ``update`` takes."""


@dataclass
class Step:
    """Everything a training step of ours needs, without the trainer: no files, no audit, no checkpoint.

    The cells are variants of one worker. With ``runner.shortcuts=false`` that is a ``PlainWorker``.
    """

    config: Config
    model: ModelFiles
    selections: list[LayerSelection]
    worker: LocalWorker | PlainWorker
    agent: Agent

    @classmethod
    def build(cls, config: Config, layers: Sequence[Any] | None = None) -> Step:
        """Load the model and build the worker for ``layers``, or for ``config.layer`` alone.

        Raises:
            NotPackableError: The model cannot run with shortcuts, and they were not switched off.
        """
        model = resolve(config.model, config.task)
        selections = [parse_layer(layer, model.n_blocks, seed=config.seed) for layer in (layers or [config.layer])]
        kind = LocalWorker if config.runner.shortcuts else PlainWorker
        worker = kind(config, selections, choose(config.runner), model)
        return cls(config, model, selections, worker, Agent(load_tokenizer(model.path), config.task))

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn in training."""
        return self.agent.sampling(self.config.algorithm.temperature)

    def items(self, n: int) -> list[int]:
        """The same ``n`` distinct questions of the training split each time."""
        return random.Random(0).sample(range(self.make_env().size(self.config.task.train_split)), n)

    @property
    def starts(self) -> list[Start]:
        """The same episodes each time: ``groups_per_step`` items, ``group_size`` answers each; of variant 0."""
        task, algorithm = self.config.task, self.config.algorithm
        return [
            Start(task.train_split, item, group, member, seed_of("benchmark", group, member))
            for group, item in enumerate(self.items(algorithm.groups_per_step))
            for member in range(algorithm.group_size)
        ]

    @property
    def seeds(self) -> list[int]:
        """What ``rollout`` seeds the first turn of each start with."""
        return [seed_of(start.sampling_seed, 0) for start in self.starts]

    def make_env(self) -> gymnasium.Env[str, str]:
        """A fresh environment of the task."""
        task = self.config.task
        return envs.registry.make(task.env_id, **task.kwargs, reward_weights=dict(task.reward_weights))

    def collect(self, variants: Iterable[int] | None = None) -> Work:
        """Rollouts and advantages as the trainer makes them: environments, prompts, answers, rewards.

        All ``variants``, by default every one, play in one rollout.
        """
        config = self.config
        played: dict[int, list[Episode]] = {
            variant: [] for variant in (range(len(self.selections)) if variants is None else variants)
        }
        starts = [replace(start, variant=variant) for variant in played for start in self.starts]
        for episode in rollout(starts, self.make_env, self.agent, self.worker, self.sampling, config.task.max_turns):
            played[episode.start.variant].append(episode)
        advantages = estimator_of(config.algorithm)
        batches = {variant: from_episodes(episodes) for variant, episodes in played.items()}
        return {variant: (batch, advantages(batch, config.algorithm)) for variant, batch in batches.items()}

    def update(self, work: Work) -> dict[int, float]:
        """Update every variant in ``work`` at once; the norms of their gradients before clipping."""
        return {variant: metrics["grad_norm"] for variant, metrics in self.worker.update(work).items()}


def answers(work: Mapping[int, tuple[Batch, Any]]) -> dict[int, list[list[int]]]:
    """The tokens that each variant drew, row by row."""
    return {variant: batch.response_ids for variant, (batch, _) in work.items()}
