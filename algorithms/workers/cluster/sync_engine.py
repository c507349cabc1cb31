"""The layer-mask engine of one rank: what it gives away, whole tensors by name, and what it takes back.

Shards are DTensors: whole tensors come from all ranks together, so every rank must ask for the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor
from verl.workers.engine import EngineRegistry

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
        weights, peft = super().get_per_tensor_param(layered_summon, base_sync_done, **settings)
        chosen = None if not self.sent_whole else self.trained_parameters().keys()
        self.sent_whole, self.bytes_sent = True, 0
        if chosen is None:
            return self._counted(weights), peft
        return self._counted(_whole(self.trained_parameters().items())), peft

    def _counted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in weights:
            self.bytes_sent += tensor.nbytes
            yield name, tensor

    def whole_parameters(self, *, trained: bool) -> dict[str, torch.Tensor]:
        """Copies of the whole parameters on the CPU, by name; only those that train, or all."""
        named = self.trained_parameters() if trained else dict(self.module.named_parameters())
        return {name: tensor.detach().cpu().clone() for name, tensor in _whole(named.items())}

    def whole_optimizer_state(self) -> dict[str, dict[str, torch.Tensor]]:
        """By parameter name, then ``step``, ``exp_avg`` and ``exp_avg_sq``; empty before the first update."""
        return {
            name: {key: tensor.detach().cpu().clone() for key, tensor in _whole(self.optimizer.state[p].items())}
            for name, p in self.trained_parameters().items()
            if p in self.optimizer.state
        }

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
        yield name, tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _like(parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor where and as the parameter is."""
    placed = tensor.to(parameter.device, copy=True)
    if isinstance(parameter, DTensor):
        return distribute_tensor(placed, parameter.device_mesh, parameter.placements)
    return placed
