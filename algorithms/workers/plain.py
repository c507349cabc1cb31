"""The plain way: every policy is a model and a verl worker of its own, as if its cell ran alone.

The shortcuts of ``LocalWorker`` are measured against it (``runner.shortcuts=false``), and it runs models whose blocks
cannot take a flat list of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agents.models import ModelFiles
from agents.sampler import Generation, Request, Sampling
from algorithms.batch import Batch
from algorithms.layers import LayerSelection, block_of_parameters
from algorithms.machine import Machine
from algorithms.meter import peak_memory_bytes
from algorithms.workers.single import SingleWorker, put_back, state_of
from conf.schema import Config


class PlainWorker:
    """One policy per selection, numbered as these are; frozen weights are shared."""

    def __init__(
        self, config: Config, selections: Sequence[LayerSelection], machine: Machine, model: ModelFiles
    ) -> None:
        """Build verl's worker for every selection.

        Raises:
            LayerError: A selection trains nothing in this model, and is not ``base``.
        """
        self.device, self.selections = machine.device, list(selections)
        self._singles = [SingleWorker(config, selection, machine, model) for selection in selections]
        self.block_of: dict[str, int | None] = block_of_parameters(self._singles[0].module)
        """The decoder block of each parameter; None for embeddings, final norm and head."""
        frozen: dict[tuple[str, torch.dtype], torch.Tensor] = {}
        for variant, single in enumerate(self._singles):
            trained = self.trained(variant)
            for name, parameter in single.module.named_parameters():
                if name not in trained:
                    parameter.data = frozen.setdefault((name, parameter.dtype), parameter.data)

    def close(self) -> None:
        """Nothing outlives the object."""

    def begin_step(self) -> None:
        """Nothing is kept between rollout and update."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """Draw one response per request from the current policy of its variant (``agents.sampler.Policy``)."""
        results: dict[int, Generation] = {}
        for variant in sorted({request.variant for request in requests}):
            places = [place for place, request in enumerate(requests) if request.variant == variant]
            answers = self._singles[variant].generate([requests[place] for place in places], sampling)
            results |= zip(places, answers, strict=True)
        return [results[place] for place in range(len(requests))]

    def update(self, work: Mapping[int, tuple[Batch, NDArray[np.float64]]]) -> dict[int, dict[str, float]]:
        """Update variants, each on its batch with one advantage per row; returns verl's metrics by variant."""
        return {variant: self._singles[variant].update(*todo) for variant, todo in work.items()}

    def peak_memory_bytes(self) -> int:
        """Of this process, see ``algorithms.meter``."""
        return peak_memory_bytes(self.device)

    def learning_rate(self, variant: int) -> float:
        """The rate a variant trains at."""
        return self._singles[variant].learning_rate

    def parameters(self, variant: int) -> dict[str, torch.Tensor]:
        """The whole model of a variant, by name; what is frozen is the same memory in all of them."""
        return dict(self._singles[variant].module.named_parameters())

    def trained(self, variant: int) -> dict[str, torch.nn.Parameter]:
        """Those of the parameters that train; none under ``layer=base``."""
        if self.selections[variant].trains_nothing:
            return {}
        return self._singles[variant].engine.trained_parameters()

    def optimizer_state(self, variant: int) -> dict[str, dict[str, torch.Tensor]]:
        """By parameter name, then ``step``, ``exp_avg`` and ``exp_avg_sq``; empty before the first update."""
        trained = self.trained(variant)
        return state_of(self._singles[variant].engine.optimizer, trained) if trained else {}

    def load(
        self,
        variant: int,
        parameters: Mapping[str, torch.Tensor],
        optimizer_state: Mapping[str, Mapping[str, torch.Tensor]],
    ) -> None:
        """Put saved weights and optimizer state back, in place, and bring what samples up to date."""
        single = self._singles[variant]
        if trained := self.trained(variant):
            put_back(trained, single.engine.optimizer, parameters, optimizer_state)
        single.sync()
