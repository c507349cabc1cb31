"""verl's engine with a bank of policies: one frozen module, one optimizer, and the loss of each policy on its own rows.

Where the configuration names no bank it is the ``LayerMaskEngine``, which it takes the place of in verl's registry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
import torch.distributed
from tensordict import NonTensorData, TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.device import get_device_name
from verl.utils.metric import AggregationType, Metric
from verl.workers.config.optimizer import build_optimizer
from verl.workers.engine import EngineRegistry
from verl.workers.engine.utils import detach_tree

from algorithms.bank import PolicyBank
from algorithms.bank.packing import Passes
from algorithms.bank.past import Past
from algorithms.bank.rows import Row
from algorithms.bank.scoring import Prefix, log_probs
from algorithms.layers import LayerSelection, block_of_parameters
from algorithms.workers.engine import LayerMaskEngine
from algorithms.workers.rows import take_ragged, take_rows

BANK_KEY = "onelayer_bank"
"""Where the bank travels in ``model.override_config``: selections as JSON, rates, and whether the base is kept."""


def bank_settings(selections: Sequence[LayerSelection], learning_rates: Sequence[float], *, keep_base: bool) -> str:
    """What ``BANK_KEY`` holds."""
    words = [selection.to_json() for selection in selections]
    return json.dumps({"selections": words, "learning_rates": list(learning_rates), "keep_base": keep_base})


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device="cpu")
@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device="cuda", vendor="nvidia")
class BankEngine(LayerMaskEngine):
    """Trains all policies of a ``PolicyBank`` at once, each exactly as if it were alone."""

    bank: PolicyBank | None = None
    past: Past | None = None
    """What the rollout has read and written, the rows to come among it."""
    grad_norms: dict[int, float]
    """Of the last update, before clipping, by policy."""

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        module = super()._build_fsdp_module(module)
        text = self.model_config.override_config.get(BANK_KEY)
        if text:
            if torch.distributed.get_world_size() > 1:
                raise NotImplementedError("a bank of policies lives in one process; shard one policy per run instead")
            settings = json.loads(text)
            self._selections = [LayerSelection.from_json(word) for word in settings["selections"]]
            self._learning_rates = settings["learning_rates"]
            self.bank = PolicyBank(cast(Any, module), self._selections, keep_base=settings["keep_base"])
        return module

    def _build_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        if self.bank is None:
            return super()._build_optimizer(module)
        block_of = block_of_parameters(module)
        groups: dict[tuple[int, float], list[torch.nn.Parameter]] = {}
        for policy, selection in enumerate(self._selections):
            for name, parameter in self.bank.trained(policy).items():
                block = block_of[name]
                factor = selection.rates.get(block, 1.0) if block is not None else 1.0
                groups.setdefault((policy, self._learning_rates[policy] * factor), []).append(parameter)
        return build_optimizer([{"params": g, "lr": lr} for (_, lr), g in groups.items()], self.optimizer_config)

    def take(self, rows: Sequence[Row], packed: Passes, totals: Mapping[int, tuple[int, int]] | None = None) -> None:
        """Say what the rows of the next batch are, in their order.

        Args:
            rows: What verl's rows stand for.
            packed: How they go through the model.
            totals: By policy how many rows and response tokens its loss is normalised by.
        """
        self._rows, self._packed, self._totals = rows, packed, totals or {}
        self._prefix: tuple[int, Prefix] | None = None
        self._in_passes: dict[int, int] = {}
        for row in rows:
            self._in_passes[row.policy] = self._in_passes.get(row.policy, 0) + len(row.response_ids)

    def forward_backward_batch(
        self, data: TensorDict, loss_function: Callable[..., Any], forward_only: bool = False
    ) -> Any:
        """As verl's, in the passes that ``take`` was given."""
        if self.bank is not None:
            tu.assign_non_tensor(data, passes=NonTensorData(self._packed.passes))
        try:
            return super().forward_backward_batch(data, loss_function, forward_only)
        finally:
            self._prefix = None  # as large as a section's hidden states

    def _prefix_of(self, section: int) -> tuple[Prefix, dict[int, int]]:
        members = [row for row, its in enumerate(self._packed.section_of) if its == section]
        if self._prefix is None or self._prefix[0] != section:
            assert self.bank is not None
            self._prefix = None  # two sections' hidden states at once would be twice the memory
            self._prefix = section, Prefix(self.bank, [self._rows[row] for row in members], self.past)
        return self._prefix[1], {row: place for place, row in enumerate(members)}

    def forward_step(
        self, micro_batch: TensorDict, loss_function: Callable[..., Any] | None, forward_only: bool
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Log-probs of the rows' answers and, for training, the sum of the policies' losses."""
        if self.bank is None:
            result: tuple[torch.Tensor, dict[str, Any]] = super().forward_step(micro_batch, loss_function, forward_only)
            return result
        device = get_device_name()
        chosen = micro_batch["row"].tolist()
        half = self._autocast_dtype != torch.float32
        with torch.autocast(device, self._autocast_dtype) if half else nullcontext():
            prefix, place_of = self._prefix_of(self._packed.section_of[chosen[0]])
            section = list(place_of)
            logprob_R, entropy_R = log_probs(
                self.bank,
                [self._rows[row] for row in section],
                [place_of[row] for row in chosen],
                prefix,
                tu.get_non_tensor_data(data=micro_batch, key="temperature", default=1.0),
                with_entropy=tu.get_non_tensor_data(data=micro_batch, key="calculate_entropy", default=False),
            )
        outputs = {"log_probs": self._nested(micro_batch, logprob_R)}
        if entropy_R is not None:
            outputs["entropy"] = self._nested(micro_batch, entropy_R)
        loss, metrics = torch.tensor(1.0, device=device), dict[str, Any]()
        if loss_function is not None:
            loss, metrics = self._losses(micro_batch, outputs, loss_function)
        return loss, {"model_output": detach_tree(outputs), "loss": loss.detach().item(), "metrics": metrics}

    def _nested(self, micro_batch: TensorDict, value_R: torch.Tensor) -> torch.Tensor:
        """As verl's engine gives values: by input token, the response's one place early, zero elsewhere."""
        offsets = micro_batch["input_ids"].offsets()
        # A row is one token that stands for the prompt, then the response; its last token predicts nothing.
        predicts_N = torch.ones(int(offsets[-1]), dtype=torch.bool, device=value_R.device)
        predicts_N[offsets[1:] - 1] = False
        value_N = value_R.new_zeros(len(predicts_N)).masked_scatter(predicts_N, value_R)
        return torch.nested.nested_tensor_from_jagged(value_N, offsets)

    def _losses(
        self, micro_batch: TensorDict, outputs: dict[str, torch.Tensor], loss_function: Callable[..., Any]
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """verl's loss for each policy on its rows, with its own normalisers; metrics are named ``policy/name``."""
        policy_B = [self._rows[row].policy for row in micro_batch["row"].tolist()]
        losses, metrics = [], dict[str, Any]()
        for policy in dict.fromkeys(policy_B):
            mine = [place for place, its in enumerate(policy_B) if its == policy]
            data, output = micro_batch, outputs
            if len(mine) < len(policy_B):
                data = take_rows(micro_batch, mine)
                output = {name: take_ragged(value, mine) for name, value in outputs.items()}
            n_rows, n_tokens = self._totals[policy]
            tu.assign_non_tensor(data, global_batch_size=n_rows, batch_num_tokens=n_tokens)
            loss, found = loss_function(model_output=output, data=data, dp_group=self.get_data_parallel_group())
            losses.append(loss)
            # A pass has its part of a sum; of a mean it has as much as it has of the policy's tokens.
            share = float(data["response_mask"].values().sum()) / self._in_passes[policy]
            for name, value in (found | {"loss": Metric(value=loss.detach(), aggregation="sum")}).items():
                is_sum = isinstance(value, Metric) and value.aggregation is AggregationType.SUM
                plain = float(value.aggregate() if isinstance(value, Metric) else value)
                metrics[f"{policy}/{name}"] = plain if is_sum else plain * share
        return torch.stack(losses).sum(), metrics

    def optimizer_step(self) -> float:
        """Clip every policy by its own norm, then one step for all; returns the largest norm."""
        if self.bank is None:
            norm: float = super().optimizer_step()
            return norm
        self.grad_norms = {}
        for policy in range(len(self._selections)):
            with_grad = [p for p in self.bank.trained(policy).values() if p.grad is not None]
            if not with_grad:
                continue
            norm = float(torch.nn.utils.clip_grad_norm_(with_grad, max_norm=self.optimizer_config.clip_grad))
            self.grad_norms[policy] = norm
            if norm != norm or norm == float("inf"):  # as verl: such a step is left out
                for parameter in with_grad:
                    parameter.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad()  # the gradients of all policies together are as large as a model
        return max(self.grad_norms.values(), default=0.0)

    def get_per_tensor_param(self, layered_summon: bool = False, base_sync_done: bool = False, **settings: Any) -> Any:
        """For verl's weight sync: what trains and nothing else, named ``policy/name``; and no LoRA settings."""
        if self.bank is None:
            return super().get_per_tensor_param(layered_summon, base_sync_done, **settings)
        return self._trained(self.bank), None

    def _trained(self, bank: PolicyBank) -> Iterator[tuple[str, torch.Tensor]]:
        for policy in range(len(self._selections)):
            for name, parameter in bank.trained(policy).items():
                yield f"{policy}/{name}", parameter.detach()
