"""verl's ``ActorRolloutRefWorker`` in this process: one device, gloo, no Ray.

Shapes: _B rows, _T response tokens (ragged: nested tensors).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from tensordict import TensorDict
from transformers.utils import logging as transformers_logging
from verl.utils import tensordict_utils as tu
from verl.workers.utils.padding import response_from_nested

import algorithms.workers.platform  # noqa: F401  registers the CPU platform before verl looks for one
from agents.models import ModelFiles
from agents.sampler import Generation, Request, Sampling
from algorithms.batch import Batch
from algorithms.layers import LayerSelection
from algorithms.machine import Machine
from algorithms.workers.contract import check
from algorithms.workers.rows import nested, to_tensordict
from conf.schema import Config

# verl announces every optional backend that is not installed, torch a deprecation of its own.
warnings.filterwarnings("ignore", message=".*engine is not available.*")
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
transformers_logging.disable_progress_bar()


def start_verl(machine: Machine) -> None:
    """Tell verl which device this process uses, then import its worker; calling it again does nothing.

    Call it where no frame holds a model: verl keeps the tracebacks of the optional imports that failed, and with
    them, for as long as the process lives, every frame that was waiting for the import.

    Raises:
        ContractError: verl is not the release that is pinned, or not as it was released.
    """
    os.environ["VERL_PLATFORM"] = "cpu" if machine.device == "cpu" else "nvidia"
    _join_process_group(machine.device)
    _check_contract()  # here verl settles on its platform


@cache
def _check_contract() -> None:
    """Once a process: it costs some hundredths of a second."""
    check()


def _join_process_group(device: str) -> None:
    """Make a group of one before verl does: on CPU it would ask torch for the same backend twice."""
    if dist.is_initialized():
        return
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "0")
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    # A store in memory needs no port: many cells may run on one machine.
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)


def state_of(optimizer: Any, trained: Mapping[str, torch.nn.Parameter]) -> dict[str, dict[str, torch.Tensor]]:
    """The optimizer's state by parameter name; of parameters that have taken no step there is none."""
    return {
        name: dict(optimizer.state[parameter]) for name, parameter in trained.items() if parameter in optimizer.state
    }


@torch.no_grad()
def put_back(
    trained: Mapping[str, torch.nn.Parameter],
    optimizer: Any,
    parameters: Mapping[str, torch.Tensor],
    optimizer_state: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """Put saved weights and optimizer state into those that train, in place, each where its parameter is."""
    for name, tensor in parameters.items():
        trained[name].copy_(tensor)
    for name, saved in optimizer_state.items():
        device = trained[name].device
        # torch counts steps on the CPU.
        optimizer.state[trained[name]] = {
            key: tensor.clone() if key == "step" else tensor.clone().to(device) for key, tensor in saved.items()
        }


class SingleWorker:
    """The policy of one cell: generates, gives log-probs, updates. ``layer=base`` only generates."""

    def __init__(self, config: Config, selection: LayerSelection, machine: Machine, model: ModelFiles) -> None:
        """Build verl's worker.

        Raises:
            LayerError: The selection trains nothing in this model.
        """
        torch.set_num_threads(machine.threads)
        start_verl(machine)
        from verl.workers.engine_workers import ActorRolloutRefWorker

        import algorithms.workers.bank_engine  # noqa: F401  registers the engine of both kinds of worker
        from algorithms.workers.engine import SELECTION_KEY
        from algorithms.workers.verl_config import actor_rollout_ref, learning_rate

        self._algorithm, self._machine = config.algorithm, machine
        self._rollout_batch = config.runner.rollout_batch
        self.device, self.learning_rate = machine.device, learning_rate(config, selection)
        role = "actor_rollout_ref" if config.algorithm.kl_coef > 0 else "actor_rollout"
        section = actor_rollout_ref(config, {SELECTION_KEY: selection.to_json()}, self.learning_rate, machine, model)
        with contextlib.redirect_stdout(None):  # verl prints the model's size and the number of steps
            worker = ActorRolloutRefWorker(section, role="rollout" if selection.trains_nothing else role)
            worker.init_model()
        self._worker = cast(Any, worker)
        self._worker.rollout.share_prompts = config.runner.shortcuts
        # bfloat16 rollouts need a copy of the float32 weights; LoRA has no such copy to sync to.
        self._shares = machine.dtype == torch.float32 or config.model.lora_rank > 0
        if selection.trains_nothing or not self._shares:
            self._worker.rollout.load(machine.dtype)
        else:
            self._worker.rollout.share(self.module)

    @property
    def engine(self) -> Any:
        """verl's training engine, ours by registration."""
        return self._worker.actor.engine

    @property
    def module(self) -> torch.nn.Module:
        """The module that trains, or under ``layer=base`` the one that samples."""
        return self._worker.actor.engine.module if self._worker.actor else self._worker.rollout.model

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """Draw one response per request from the current policy (``agents.sampler.Policy``)."""
        results: list[Generation] = []
        autocast = torch.autocast(
            self._machine.device, self._machine.dtype, enabled=self._machine.dtype != torch.float32
        )
        for start in range(0, len(requests), self._rollout_batch):
            with autocast:
                results += self._worker.rollout.generate(requests[start : start + self._rollout_batch], sampling)
        return results

    def log_probs(self, batch: Batch, *, reference: bool = False) -> list[list[float]]:
        """Log-probs of the response tokens under the trainer's weights, or under the frozen reference."""
        data = self._rows(batch, range(len(batch)), compute_loss=False)
        mask = data["response_mask"]
        output = (self._worker.compute_ref_log_prob if reference else self._worker.compute_log_prob)(data)
        return [row.tolist() for row in response_from_nested(tu.get(output, "log_probs"), mask).unbind()]

    def update(self, batch: Batch, advantage_B: NDArray[np.float64]) -> dict[str, float]:
        """One PPO update by verl (clipped loss, k3, gradient clipping, AdamW); returns its metrics.

        With ``updates_per_step`` above 1 the rows are cut, in their order, into as many parts of nearly equal number,
        each an update of its own; metrics are means over them.
        """
        algorithm = self._algorithm
        old = batch.rollout_logprobs if algorithm.old_log_probs == "rollout" else self.log_probs(batch)
        reference = self.log_probs(batch, reference=True) if algorithm.kl_coef else None
        parts = np.array_split(np.arange(len(batch)), min(algorithm.updates_per_step, len(batch)))
        updates = [self._update(batch, part.tolist(), advantage_B, old, reference) for part in parts]
        self.sync()
        names = dict.fromkeys(name for metrics in updates for name in metrics)
        return {name: float(np.mean([metrics[name] for metrics in updates if name in metrics])) for name in names}

    def _update(
        self,
        batch: Batch,
        part: list[int],
        advantage_B: NDArray[np.float64],
        old: list[list[float]],
        reference: list[list[float]] | None,
    ) -> dict[str, float]:
        """Update on some rows.

        Rows of advantage zero have gradient zero, without KL or entropy term, so a single update may leave them out of
        the pass; the loss is still normalised by the whole part.
        """
        algorithm, rows = self._algorithm, part
        other_terms = algorithm.kl_coef or algorithm.entropy_coef or algorithm.updates_per_step > 1
        if algorithm.drop_zero_advantage and not other_terms:
            rows = [row for row in part if advantage_B[row]]
        if not rows:
            return {"grad_norm": 0.0}
        tokens_B = np.array([len(ids) for ids in batch.response_ids])
        # verl divides a token mean by the tokens it is given; this makes it the mean over the whole part.
        scale = tokens_B[rows].sum() / tokens_B[part].sum() if algorithm.loss_agg_mode == "token-mean" else 1.0
        data = self._rows(
            batch,
            rows,
            global_batch_size=len(part),
            mini_batch_size=len(rows),
            epochs=1,
            seed=0,
            dataloader_kwargs={"shuffle": False},
        )
        data["old_log_probs"] = nested([old[row] for row in rows], torch.float32)
        advantages = [[float(advantage_B[row] * scale)] * int(tokens_B[row]) for row in rows]
        data["advantages"] = nested(advantages, torch.float32)
        if reference is not None:
            data["ref_log_prob"] = nested([reference[row] for row in rows], torch.float32)
        metrics = tu.get(self._worker.update_actor(data), "metrics")
        return {name: float(np.mean(value)) for name, value in metrics.items() if value is not None}

    def sync(self) -> None:
        """Bring the sampling copy up to date; nothing to do where the module itself samples."""
        if not self._shares:
            asyncio.run(self._worker.update_weights(mode="naive"))

    def _rows(self, batch: Batch, rows: Sequence[int], **settings: Any) -> TensorDict:
        algorithm = self._algorithm
        entropy = algorithm.entropy_coef > 0
        return to_tensordict(batch, rows, temperature=algorithm.temperature, calculate_entropy=entropy, **settings)
