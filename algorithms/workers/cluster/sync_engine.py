"""The layer-mask engine of one rank: what it gives away, whole tensors by name, and what it takes back.

Shards are DTensors: whole tensors come from all ranks together, so every rank must ask for the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor
from verl.utils.model import convert_weight_keys
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.utils import unfuse_moe_params

from algorithms.workers.engine import LayerMaskEngine


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device="cpu")
@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device="cuda", vendor="nvidia")
class SyncEngine(LayerMaskEngine):
    """Sends servers the whole model once, then only what trained."""

    sent_whole = False
    bytes_sent = 0
    """By the last weight sync, of this rank to its server."""

    def get_per_tensor_param(self, layered_summon: bool = False, base_sync_done: bool = False, **settings: Any) -> Any:
        """For verl's weight sync: every tensor the first time, afterwards those that train."""
        first, self.sent_whole, self.bytes_sent = not self.sent_whole, True, 0
        if first:
            weights, peft = super().get_per_tensor_param(layered_summon, base_sync_done, **settings)
            return self._counted(weights), peft
        trained = convert_weight_keys(dict(self.trained_parameters()), self.module)  # names as in the first
        return self._counted(unfuse_moe_params(_whole(trained.items()), self.module.config.model_type)), None

    def _counted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in weights:
            self.bytes_sent += tensor.nbytes
            yield name, tensor

    def whole_parameters(self, *, trained: bool, keep: bool) -> dict[str, torch.Tensor]:
        """Copies of the whole parameters on the CPU, by name: those that train, or all.

        Args:
            trained: Only those that train.
            keep: Off: take part in making them whole, and return nothing.
        """
        named = self.trained_parameters() if trained else dict(self.module.named_parameters())
        return _kept(_whole(named.items()), keep)

    def whole_optimizer_state(self, *, keep: bool) -> dict[str, dict[str, torch.Tensor]]:
        """By parameter name, then ``step``, ``exp_avg`` and ``exp_avg_sq``; empty before the first update.

        Args:
            keep: As ``whole_parameters``.
        """
        state = {
            name: _kept(_whole(self.optimizer.state[p].items()), keep)
            for name, p in self.trained_parameters().items()
            if p in self.optimizer.state
        }
        return state if keep else {}

    @torch.no_grad()
    def put_back(
        self, parameters: Mapping[str, torch.Tensor], optimizer_state: Mapping[str, Mapping[str, torch.Tensor]]
    ) -> None:
        """Put saved weights and optimizer state into what trains, each rank its shards."""
        trained = self.trained_parameters()
        for name, tensor in parameters.items():
            trained[name].copy_(_like(trained[name], tensor))
        for name, saved in optimizer_state.items():
            self.optimizer.state[trained[name]] = {
                # torch counts steps on the CPU, whole.
                key: tensor.clone() if key == "step" else _like(trained[name], tensor)
                for key, tensor in saved.items()
            }


def _whole(named: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in named:
        values = tensor.detach()  # or what is whole would carry a gradient, which cannot be sent
        yield name, values.full_tensor() if isinstance(values, DTensor) else values


def _kept(named: Iterable[tuple[str, torch.Tensor]], keep: bool) -> dict[str, torch.Tensor]:
    """Copies on the CPU; where they are not kept, all are asked for all the same."""
    copies = {}
    for name, tensor in named:
        if keep:
            copies[name] = tensor.to("cpu", copy=True)
    return copies


def _like(parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor where and as the parameter is."""
    placed = tensor.to(parameter.device, copy=True)
    if isinstance(parameter, DTensor):
        return distribute_tensor(placed, parameter.device_mesh, parameter.placements)
    return placed
