"""What one training step works on: the starts, the worker, and one batch of rollouts with its advantages."""

from __future__ import annotations

import random
from dataclasses import dataclass

import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs.registry
from agents.agent import Agent
from agents.episode import Start
from agents.models import ModelFiles, load_tokenizer, resolve
from agents.rollout import rollout
from agents.sampler import Sampling
from agents.seeding import seed_of
from algorithms.advantages import grpo
from algorithms.batch import Batch, from_episodes
from algorithms.layers import parse_layer
from algorithms.machine import choose
from algorithms.workers.local import LocalWorker
from conf.schema import Config


@dataclass
class Step:
    """Everything a training step of ours needs, without the trainer: no files, no audit, no checkpoint."""

    config: Config
    model: ModelFiles
    worker: LocalWorker
    agent: Agent

    @classmethod
    def build(cls, config: Config) -> Step:
        """Load the model and build verl's worker for ``config.layer``."""
        model = resolve(config.model, config.task)
        worker = LocalWorker(config, parse_layer(config.layer, model.n_blocks), choose(config.runner), model)
        return cls(config, model, worker, Agent(load_tokenizer(model.path), config.task))

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn in training."""
        return self.agent.sampling(self.config.algorithm.temperature)

    @property
    def starts(self) -> list[Start]:
        """The same episodes each time: ``groups_per_step`` items, ``group_size`` answers each."""
        task, algorithm = self.config.task, self.config.algorithm
        items = random.Random(0).sample(range(self.make_env().size(task.train_split)), algorithm.groups_per_step)
        return [
            Start(task.train_split, item, group, member, seed_of("benchmark", group, member))
            for group, item in enumerate(items)
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

    def collect(self) -> tuple[Batch, NDArray[np.float64]]:
        """Rollouts and advantages, as the trainer makes them: environments, prompts, answers, rewards."""
        episodes = rollout(
            self.starts, self.make_env, self.agent, self.worker, self.sampling, self.config.task.max_turns
        )
        batch = from_episodes(episodes)
        advantage_N = grpo(batch.return_N, batch.group_N, normalize_std=self.config.algorithm.normalize_std)
        return batch, advantage_N[batch.trajectory_B]
