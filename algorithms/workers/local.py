"""The policies of cells that differ only in what trains: one verl worker, one frozen model, one device, no Ray.

Shapes: _B rows of a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from verl.utils import tensordict_utils as tu
from verl.workers.utils.padding import response_from_nested

from agents.models import ModelFiles
from agents.sampler import Generation, Request, Sampling
from algorithms.bank import BASE, PolicyBank
from algorithms.bank.packing import Passes, pack, together
from algorithms.bank.past import Past
from algorithms.bank.rows import Row
from algorithms.batch import Batch
from algorithms.layers import LayerSelection, block_of_parameters
from algorithms.machine import Machine
from algorithms.meter import peak_memory_bytes
from algorithms.workers.rows import answers_to_tensordict, nested
from algorithms.workers.single import put_back, start_verl, state_of
from conf.schema import Config

Work = Mapping[int, tuple[Batch, NDArray[np.float64]]]

PASS_TOKENS, PASS_NUMBERS = 1024, 2**18
"""Distinct tokens in a pass on a CPU: matrix products are at full speed from half of it, more only costs memory. Of a
narrow model it takes more, so many hidden numbers, to be worth the calls."""
SECTION_TOKENS, SECTION_BYTES = 8192, 2**28
CACHE_BYTES = 2**28
"""Keys and values of the prompts that generate together."""


@dataclass(frozen=True)
class _Task:
    """One row to update on."""

    row: Row
    advantage: float
    old: list[float]
    reference: list[float] | None


class LocalWorker:
    """One policy per selection, numbered as these are, in a ``PolicyBank``; each trains as if it were alone."""

    def __init__(
        self, config: Config, selections: Sequence[LayerSelection], machine: Machine, model: ModelFiles
    ) -> None:
        """Build verl's worker.

        Raises:
            NotPackableError: The model's blocks cannot run on a flat list of tokens; ``PlainWorker`` takes any model.
            LayerError: The model's blocks cannot be told apart.
        """
        torch.set_num_threads(machine.threads)
        start_verl(machine)
        from verl.workers.engine_workers import ActorRolloutRefWorker

        from algorithms.workers.bank_engine import BANK_KEY, bank_settings
        from algorithms.workers.verl_config import actor_rollout_ref, learning_rate

        self.device, self.selections = machine.device, list(selections)
        self._config, self._machine = config, machine
        self._rates = [learning_rate(config, selection) for selection in selections]
        self._trains = not all(selection.trains_nothing for selection in selections)
        keep_base = config.algorithm.kl_coef > 0 or len(selections) > 1
        hook = {BANK_KEY: bank_settings(selections, self._rates, keep_base=keep_base)}
        section = actor_rollout_ref(config, hook, self._rates[0], machine, model)
        with contextlib.redirect_stdout(None):  # verl prints the model's size and the number of steps
            worker = ActorRolloutRefWorker(section, role="actor_rollout" if self._trains else "rollout")
            worker.init_model()
        self._worker = cast(Any, worker)
        # bfloat16 rollouts need a copy of the float32 weights; LoRA has no such copy to sync to.
        self._shares = self._trains and (machine.dtype == torch.float32 or config.model.lora_rank > 0)
        rollout = self._worker.rollout
        if self._shares:
            rollout.share_bank(self._engine.bank)
        else:
            rollout.load(machine.dtype)
            rollout.share_bank(PolicyBank(rollout.model, selections, keep_base=keep_base))
        several_turns = config.task.max_turns > 1
        self._past = Past(self._bank.n_blocks, keeps_keys=several_turns, keeps_states=self._shares)
        rollout.past = self._past
        if self._shares:
            self._engine.past = self._past
        self.block_of: dict[str, int | None] = block_of_parameters(self._bank.model)
        """The decoder block of each parameter; None for embeddings, final norm and head."""

    @property
    def _engine(self) -> Any:
        return self._worker.actor.engine

    @property
    def _bank(self) -> PolicyBank:
        """The policies that train or, where none does, those that sample."""
        bank: PolicyBank = self._engine.bank if self._trains else self._worker.rollout.bank
        return bank

    def close(self) -> None:
        """Nothing outlives the object."""

    def begin_step(self) -> None:
        """What is generated from here on is what the next update is about."""
        self._past.clear()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """Draw one response per request from the current policy of its variant (``agents.sampler.Policy``)."""
        results: dict[int, Generation] = {}
        half = self._machine.dtype != torch.float32
        for places in together(
            requests,
            max_rows=self._config.runner.rollout_batch,
            max_tokens=CACHE_BYTES // self._bank.cache_bytes_per_token,
        ):
            with torch.autocast(self._machine.device, self._machine.dtype, enabled=half):
                answers = self._worker.rollout.generate([requests[place] for place in places], sampling)
            results |= zip(places, answers, strict=True)
        return [results[place] for place in range(len(requests))]

    def log_probs(self, batch: Batch, variant: int = 0, *, reference: bool = False) -> list[list[float]]:
        """Log-probs of the response tokens under a variant's weights, or under the base model's.

        Raises:
            KeyError: The reference of a run that keeps none.
        """
        policy = BASE if reference else variant
        return self._score([Row(*texts, policy) for texts in zip(batch.prompt_ids, batch.response_ids, strict=True)])

    def _score(self, rows: Sequence[Row]) -> list[list[float]]:
        self._engine.take(rows, self._pack(rows))
        temperature = self._config.algorithm.temperature
        data = answers_to_tensordict(rows, temperature=temperature, compute_loss=False)
        mask = data["response_mask"]
        output = self._worker.compute_log_prob(data)
        return [row.tolist() for row in response_from_nested(tu.get(output, "log_probs"), mask).unbind()]

    def _pack(self, rows: Sequence[Row]) -> Passes:
        forks = {self._bank.fork(row.policy) for row in rows}
        hidden_size = self._bank.decoder.norm.weight.shape[0]
        state_bytes = 4 * len(forks) * hidden_size
        limit = self._config.runner.max_tokens_per_pass
        return pack(
            rows,
            section_tokens=min(SECTION_TOKENS, SECTION_BYTES // state_bytes),
            pass_tokens=min(limit, max(PASS_TOKENS, PASS_NUMBERS // hidden_size)) if self.device == "cpu" else limit,
        )

    def update(self, work: Work) -> dict[int, dict[str, float]]:
        """One PPO update per variant by verl (clipped loss, k3, gradient clipping, AdamW), all in one go.

        With ``updates_per_step`` above 1 a variant's rows are cut, in their order, into as many parts of nearly equal
        number, each an update of its own; metrics are means over them.

        Args:
            work: By variant its batch, and one advantage per row.

        Returns:
            verl's metrics by variant.
        """
        self._past.forget_keys()  # the update reads states only, and needs the room
        todo = {variant: self._tasks(variant, *given) for variant, given in work.items()}
        found: dict[int, list[dict[str, float]]] = {variant: [] for variant in work}
        for number in range(self._config.algorithm.updates_per_step):
            parts = {}
            for variant, tasks in todo.items():
                cuts = np.array_split(np.arange(len(tasks)), min(self._config.algorithm.updates_per_step, len(tasks)))
                if number < len(cuts):
                    parts[variant] = [tasks[index] for index in cuts[number]]
            for variant, metrics in self._update(parts).items():
                found[variant].append(metrics)
        self.sync()
        return {variant: _means(metrics) for variant, metrics in found.items()}

    def _tasks(self, variant: int, batch: Batch, advantage_B: NDArray[np.float64]) -> list[_Task]:
        algorithm = self._config.algorithm
        old = batch.rollout_logprobs if algorithm.old_log_probs == "rollout" else self.log_probs(batch, variant)
        reference = self.log_probs(batch, variant, reference=True) if algorithm.kl_coef else None
        return [
            _Task(
                Row(batch.prompt_ids[row], batch.response_ids[row], variant),
                float(advantage_B[row]),
                old[row],
                reference[row] if reference else None,
            )
            for row in range(len(batch))
        ]

    def _update(self, parts: Mapping[int, Sequence[_Task]]) -> dict[int, dict[str, float]]:
        """Update every variant on some rows.

        Rows of advantage zero have gradient zero, without KL or entropy term, so a single update may leave them out of
        the pass; the loss is still normalised by the whole part.
        """
        algorithm = self._config.algorithm
        other_terms = algorithm.kl_coef or algorithm.entropy_coef or algorithm.updates_per_step > 1
        drops = algorithm.drop_zero_advantage and not other_terms
        tasks = [task for part in parts.values() for task in part if task.advantage or not drops]
        if not tasks:
            return {variant: {"grad_norm": 0.0} for variant in parts}
        rows = [task.row for task in tasks]
        totals = {v: (len(part), sum(len(t.row.response_ids) for t in part)) for v, part in parts.items()}
        self._engine.take(rows, self._pack(rows), totals)
        data = answers_to_tensordict(
            rows,
            temperature=algorithm.temperature,
            calculate_entropy=algorithm.entropy_coef > 0,
            mini_batch_size=len(rows),
            epochs=1,
            seed=0,
            dataloader_kwargs={"shuffle": False},
        )
        data["old_log_probs"] = nested([task.old for task in tasks], torch.float32)
        advantages = [[task.advantage] * len(task.row.response_ids) for task in tasks]
        data["advantages"] = nested(advantages, torch.float32)
        if algorithm.kl_coef:
            data["ref_log_prob"] = nested([task.reference or [] for task in tasks], torch.float32)
        metrics = tu.get(self._worker.update_actor(data), "metrics")
        norms = self._engine.grad_norms
        return {variant: _of(variant, metrics) | {"grad_norm": norms.get(variant, 0.0)} for variant in parts}

    def sync(self) -> None:
        """Bring what samples up to date with the weights that train."""
        self._past.clear()
        if self._trains and not self._shares:
            asyncio.run(self._worker.update_weights(mode="naive"))

    def peak_memory_bytes(self) -> int:
        """Of this process, see ``algorithms.meter``."""
        return peak_memory_bytes(self.device)

    def learning_rate(self, variant: int) -> float:
        """The rate a variant trains at."""
        return self._rates[variant]

    def parameters(self, variant: int) -> dict[str, torch.nn.Parameter]:
        """The whole model of a variant, by name; what is frozen is the same memory in all of them."""
        return self._bank.parameters(variant)

    def trained(self, variant: int) -> dict[str, torch.nn.Parameter]:
        """Those of the parameters that train; none under ``layer=base``."""
        return self._bank.trained(variant)

    def optimizer_state(self, variant: int) -> dict[str, dict[str, torch.Tensor]]:
        """By parameter name, then ``step``, ``exp_avg`` and ``exp_avg_sq``; empty before the first update."""
        trained = self.trained(variant)
        return state_of(self._engine.optimizer, trained) if trained else {}

    def load(
        self,
        variant: int,
        parameters: Mapping[str, torch.Tensor],
        optimizer_state: Mapping[str, Mapping[str, torch.Tensor]],
    ) -> None:
        """Put saved weights and optimizer state back, in place, and bring what samples up to date."""
        if trained := self.trained(variant):
            put_back(trained, self._engine.optimizer, parameters, optimizer_state)
        self.sync()


def _of(variant: int, metrics: Mapping[str, Any]) -> dict[str, float]:
    """A variant's own metrics, summed over passes: the engine has weighted what is a mean."""
    mine = {
        name.removeprefix(f"{variant}/"): value for name, value in metrics.items() if name.startswith(f"{variant}/")
    }
    return {name: float(np.sum(value)) for name, value in mine.items() if value is not None}


def _means(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for metrics in updates for name in metrics)
    return {name: float(np.mean([metrics[name] for metrics in updates if name in metrics])) for name in names}
