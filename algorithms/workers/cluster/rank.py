"""One rank: verl's actor/rollout worker as a Ray actor, with the layer-mask engine in it."""

from __future__ import annotations

import datetime
import os
import resource
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, cast

import torch
import torch.distributed as dist

import algorithms.workers.platform

# isort: split
from verl.single_controller.base.decorator import Dispatch, register
from verl.utils.device import get_device_name
from verl.workers.engine_workers import ActorRolloutRefWorker

import algorithms.workers.cluster.server  # noqa: F401  registers the server
from algorithms.claim import claimed
from algorithms.layers import LayerSelection, block_of_parameters
from algorithms.workers.engine import SELECTION_KEY

RELEASE_S = 60.0
"""Seconds that a rank of the cell before may take to end, and its claim on the GPU with it."""
EVERY_RANK: Any = Dispatch.ONE_TO_ALL  # type: ignore[attr-defined]


class RankWorker(ActorRolloutRefWorker):
    """What verl's worker does, and beside it what audit, checkpoint and metrics ask for.

    Of ``layer=base`` it only serves: there is nothing to train and so no engine.
    """

    def __init__(self, config: Any, role: str, **settings: Any) -> None:
        """As verl's, with a claim on the GPU and a process group whose exchanges end.

        Raises:
            DeviceBusyError: Another process of ours trains on the GPU.
        """
        import algorithms.workers.cluster.sync_engine  # noqa: F401  verl takes one engine per process

        selection = LayerSelection.from_json(config.model.override_config[SELECTION_KEY])
        super().__init__(config, role="rollout" if selection.trains_nothing else role, **settings)
        torch.set_num_threads(config.onelayer.threads)
        self._claim = ExitStack()
        if get_device_name() == "cuda":
            device, share = f"cuda:{torch.cuda.current_device()}", config.onelayer.share_device
            self._claim.enter_context(claimed(device, share=share, patience_s=RELEASE_S))
        if not dist.is_initialized():
            # On a CPU verl would ask torch for the same backend twice; it takes a group that is there.
            dist.init_process_group(
                "gloo" if get_device_name() == "cpu" else "cpu:gloo,cuda:nccl",
                rank=int(os.environ["RANK"]),
                world_size=int(os.environ["WORLD_SIZE"]),
                timeout=datetime.timedelta(seconds=config.onelayer.step_timeout_s),
            )

    @property
    def _engine(self) -> Any:
        return cast(Any, self.actor).engine

    @register(dispatch_mode=EVERY_RANK)
    def blocks(self) -> dict[str, int | None]:
        """The decoder block of each parameter; None for embeddings, final norm and head."""
        return block_of_parameters(self._engine.module)

    @register(dispatch_mode=EVERY_RANK)
    def whole_parameters(self, trained: bool) -> dict[str, torch.Tensor]:
        """Whole parameters by name, of the first rank; the others help and return nothing."""
        whole: dict[str, torch.Tensor] = self._engine.whole_parameters(trained=trained, keep=dist.get_rank() == 0)
        return whole

    @register(dispatch_mode=EVERY_RANK)
    def whole_optimizer_state(self) -> dict[str, dict[str, torch.Tensor]]:
        """The optimizer's state by parameter, of the first rank."""
        state: dict[str, dict[str, torch.Tensor]] = self._engine.whole_optimizer_state(keep=dist.get_rank() == 0)
        return state

    @register(dispatch_mode=EVERY_RANK)
    def put_back(self, parameters: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Take back what a checkpoint holds."""
        self._engine.put_back(parameters, state)

    @register(dispatch_mode=EVERY_RANK)
    def bytes_sent(self) -> int:
        """Of this rank to its server, by the last weight sync."""
        return int(self._engine.bytes_sent)

    @register(dispatch_mode=EVERY_RANK)
    def peak_memory(self) -> int:
        """Bytes: of the device, or resident in this process."""
        if get_device_name() == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
