"""verl's synchronous PPO trainer, with our items, our advantages, and mini-batches counted as the local runner does.

Shapes: _B rows of a batch, padding included; _N the real ones, in the order of the episodes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import numpy as np
import ray
import torch
import transfer_queue as tq
from numpy.typing import NDArray
from omegaconf import DictConfig
from ray.util.placement_group import PlacementGroup
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.metric import reduce_metrics

from agents.episode import Episode, Start
from agents.rollout import require_intact
from algorithms.batch import Batch, from_episodes
from algorithms.estimators import estimator_of
from algorithms.layers import LayerSelection
from algorithms.workers.cluster.mini_batches import mini_batches
from algorithms.workers.cluster.pools import PatientBuffer, PlacedPools
from algorithms.workers.cluster.rank import RankWorker
from algorithms.workers.cluster.rows import LOST, assemble, episode_of, turn_of
from algorithms.workers.cluster.waiting import ClusterError, within
from algorithms.workers.rows import nested
from conf.schema import Config

T = TypeVar("T")

# It tells of every batch that it fills up.
logging.getLogger("verl.trainer.ppo.padding_utils").setLevel(logging.WARNING)


class LayerTrainer(PPOTrainerSync):
    """Takes single steps, on episodes that are handed to it by their starts."""

    def __init__(
        self, config: DictConfig, cell: Config, selection: LayerSelection, groups: Sequence[PlacementGroup]
    ) -> None:
        """Prepare; ``init`` starts ranks and servers.

        Args:
            config: verl's configuration of the cell.
            cell: The cell.
            selection: What trains.
            groups: Where the ranks go.
        """
        self._cell, self._selection, self._groups = cell, selection, groups
        self._starts: list[Start] = []
        self.episodes: list[Episode] = []
        """Of the step that was taken last, in the order of its starts."""
        self.batch: Batch
        """Their rows."""
        self.update: dict[str, float] = {}
        """verl's metrics of its update."""
        self.curr_step_profile = False  # verl sets it where its own loop begins
        super().__init__(config)

    def take(self, step: int, starts: Sequence[Start]) -> None:
        """Play, compute advantages, update and send the weights.

        Args:
            step: Steps done before.
            starts: The episodes, those of a group together and as many in each.

        Raises:
            EnvironmentsBrokenError: Too many episodes were lost.
            WaitedTooLongError: They, or an exchange with the ranks, did not end in time.
        """
        self._starts, self.global_steps, self.timing_raw = list(starts), step + 1, {}
        self._buffer.begin()
        try:
            rows = self.step({}, self.timing_raw)
        except ClusterError:
            raise
        except RuntimeError:  # without a single row verl gives up; if it was the environments, they say why
            require_intact([episode_of(head) for head in self._lost().values()], self._cell.task)
            raise
        self._in_time("the weight sync", self.on_step_end)
        tq.kv_clear(keys=rows.keys, partition_id=rows.partition_id)

    def _in_time(self, what: str, call: Callable[[], T]) -> T:
        return within(what, "runner.step_timeout_s", self._cell.runner.step_timeout_s, call)

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: Any) -> KVBatchMeta:
        return self._in_time("old log-probs", lambda: super(LayerTrainer, self)._compute_old_log_prob(batch, metrics))

    def _compute_ref_log_prob(self, batch: KVBatchMeta, metrics: Any) -> KVBatchMeta:
        return self._in_time("reference", lambda: super(LayerTrainer, self)._compute_ref_log_prob(batch, metrics))

    def on_init_end(self) -> None:
        """Send the servers the whole model; one that does not train is what they have loaded."""
        if not self._selection.trains_nothing:
            super().on_init_end()

    def _init_dataloader(self) -> None:
        """Items come by their starts."""
        self.total_training_steps = self._cell.steps

    def _build_replay_buffer(self) -> PatientBuffer:
        self._buffer = PatientBuffer(self.config.trainer.v1, self._cell.runner.step_timeout_s)
        return self._buffer

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        self.role_worker_mapping = dict.fromkeys(self.role_worker_mapping, ray.remote(RankWorker))
        given = self.resource_pool_manager
        self.resource_pool_manager = PlacedPools(given.resource_pool_spec, given.mapping)
        self.resource_pool_manager.groups = self._groups
        self.resource_pool_manager.use_gpu = self.config.trainer.device == "cuda"

    def _next_train_batch(self, num_prompts: int | None = None) -> TensorDict:
        """One prompt per group; its starts travel with it, and each session plays its own."""
        groups: dict[int, list[Start]] = {}
        for start in self._starts:
            groups.setdefault(start.group, []).append(start)
        batch = tu.get_tensordict(
            {
                "uid": [f"{self.global_steps}-{group}" for group in groups],
                "index": [members[0].index for members in groups.values()],
                "start": [json.dumps([asdict(start) for start in members]) for members in groups.values()],
            }
        )
        tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
        return batch

    def _lost(self) -> dict[str, dict[str, Any]]:
        """What the players noted of episodes without rows, by key; the notes are taken off the queue."""
        notes = (tq.kv_list(LOST) or {}).get(LOST, {})
        if notes:
            tq.kv_clear(keys=list(notes), partition_id=LOST)
        return {key: json.loads(tag["episode"]) for key, tag in notes.items()}

    def _collect(self, batch: KVBatchMeta) -> KVBatchMeta:
        """Read the episodes; return their rows in the local runner's order."""
        fields = ["prompts", "responses", "rollout_log_probs", "extra_fields"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        told = [getattr(one, "data", one) for one in list(data["extra_fields"])]
        texts = [[row.tolist() for row in data[name].unbind()] for name in fields[:3]]
        turns = [turn_of(*row) for row in zip(told, *texts, strict=True)]
        rows = list(zip(told, turns, strict=True))
        self.episodes, places = assemble(self._starts, rows, list(self._lost().values()))
        require_intact(self.episodes, self._cell.task)
        self.batch = from_episodes(self.episodes)
        batch.reorder(sorted(range(len(batch)), key=lambda row: places[row]))
        return batch

    def _balance_batch(
        self, batch: KVBatchMeta, metrics: Any, logging_prefix: str = "", keep_minibatch: bool = False
    ) -> KVBatchMeta:
        """Cut the batch as the local runner does, and fill every part up for the ranks."""
        batch, ranks = self._collect(batch), self.actor_rollout_wg.world_size
        lengths = [tag["seq_len"] for tag in batch.tags]
        parts = mini_batches(lengths, self._cell.algorithm.updates_per_step, ranks)
        padded = upsample_batch_to_divisible_size(batch, sum(map(len, parts)), self.tokenizer.eos_token_id)
        self._keys, self._parts = list(padded.keys), parts
        padded.reorder([row for part in parts for row in part])
        return padded

    def _compute_advantage(self, batch: KVBatchMeta, metrics: Any) -> KVBatchMeta:
        """By this project's own functions, on the real rows; padding has no advantage and counts in no statistics."""
        advantage_N = estimator_of(self._cell.algorithm)(self.batch, self._cell.algorithm)
        self._advantage_N: NDArray[np.float64] = advantage_N
        value_of = dict(zip(self._keys, advantage_N.tolist(), strict=False))
        tokens_of = {key: len(ids) for key, ids in zip(self._keys, self.batch.response_ids, strict=False)}
        rows = [[value_of.get(key, 0.0)] * tokens_of.get(key, 1) for key in batch.keys]
        advantages = nested(rows, torch.float32)
        fields = TensorDict({"advantages": advantages, "returns": advantages}, batch_size=len(batch))
        return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)

    def _update_actor(self, batch: KVBatchMeta, metrics: Any) -> KVBatchMeta:
        """One optimizer step for each part, normalised by its real rows."""
        algorithm = self._cell.algorithm
        other_terms = algorithm.kl_coef or algorithm.entropy_coef or algorithm.updates_per_step > 1
        if algorithm.drop_zero_advantage and not other_terms and not self._advantage_N.any():
            self.update = {"grad_norm": 0.0}  # as the local runner, which then takes no step at all
            return batch
        found: list[dict[str, float]] = []
        for part in self._parts:
            rows = batch.select_keys([self._keys[row] for row in part])
            rows.extra_info = {
                "calculate_entropy": algorithm.entropy_coef > 0,
                "global_batch_size": sum(row < len(self.batch) for row in part),
                "mini_batch_size": len(part),
                "epochs": 1,
                "seed": 0,
                "dataloader_kwargs": {"shuffle": False},
                "temperature": algorithm.temperature,
                "distillation_use_topk": False,
                "distillation_only": False,
            }
            output = self._in_time("the update", partial(self.actor_rollout_wg.update_actor, rows))
            found.append(reduce_metrics(tu.get(output, "metrics")))
        names = dict.fromkeys(name for one in found for name in one)
        self.update = {name: float(np.mean([one[name] for one in found if name in one])) for name in names}
        return batch
