"""Where verl would wait for ever: for places of its ranks, and for the episodes of a step."""

from __future__ import annotations

import time
from collections.abc import Sequence

from omegaconf import DictConfig
from ray.util.placement_group import PlacementGroup
from verl.single_controller.ray import RayResourcePool, ResourcePoolManager
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from algorithms.workers.cluster.waiting import WaitedTooLongError

POLL_S = 0.02


class PatientBuffer(ReplayBuffer):
    """Asks until ``runner.step_timeout_s`` whether all episodes of a step have ended."""

    def __init__(self, trainer: DictConfig, limit_s: float) -> None:
        """For the synchronous trainer; ``trainer`` is verl's ``trainer.v1``."""
        sampler = trainer.sampler
        super().__init__(
            trainer_mode="sync",
            trainer_config=trainer.sync,
            max_off_policy_threshold=sampler.max_off_policy_threshold,
            max_off_policy_strategy=sampler.max_off_policy_strategy,
            sampler_kwargs=sampler.sampler_kwargs,
            poll_interval=POLL_S,
        )
        self._limit_s, self._deadline = limit_s, 0.0

    def begin(self) -> None:
        """A step begins now."""
        self._deadline = time.monotonic() + self._limit_s

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        if time.monotonic() > self._deadline:
            waiting = len(self.pending_keys[partition_id]) + len(self.running_keys[partition_id])
            raise WaitedTooLongError(f"the episodes of {waiting} groups", "runner.step_timeout_s", self._limit_s)
        debugged: float = super()._wait_for_next_poll(partition_id, last_debug_time)
        return debugged


class PlacedPools(ResourcePoolManager):
    """Ranks in placement groups that are there already."""

    groups: Sequence[PlacementGroup] = ()
    use_gpu = False

    def create_resource_pool(self) -> None:
        """As verl's, which waits for what may never come, and counts GPUs only."""
        for name, processes in self.resource_pool_spec.items():
            pool = RayResourcePool(processes, use_gpu=self.use_gpu, max_colocate_count=1, name_prefix=name)
            pool.pgs = list(self.groups)  # type: ignore[assignment]
            self.resource_pool_dict[name] = pool
