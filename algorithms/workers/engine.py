"""verl's FSDP engine with a layer mask.

What it changes, and nothing else:

* the mask is applied between building the module and wrapping it, so the optimizer holds only what trains;
* LoRA adapters outside the mask are frozen too;
* one process is not sharded: wrapping a module for a single rank costs copies and gains nothing;
* the head runs on the rows that predict a response token, and log-probs are float32 of those rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.distributed
from tensordict import TensorDict
from transformers import AutoModelForCausalLM
from verl.utils import tensordict_utils as tu
from verl.utils.device import get_device_name
from verl.utils.model import _architecture_to_auto_class
from verl.utils.torch_dtypes import PrecisionType
from verl.utils.torch_functional import entropy_from_logits, logprobs_from_logits_naive
from verl.workers.config.optimizer import build_optimizer
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

import algorithms.workers.micro_batches  # noqa: F401  takes the place of verl's
from agents.seeding import seed_of
from algorithms.layers import LayerSelection, block_of_parameters, freeze

SELECTION_KEY = "onelayer_selection"
"""Where the selection travels: ``model.override_config`` is a free dict that reaches every process of verl."""

# verl takes what is not called ...ForCausalLM for a model without a head; GPT-2 is called GPT2LMHeadModel.
_architecture_to_auto_class.setdefault("LMHeadModel", AutoModelForCausalLM)


class LayerMaskEngine(FSDPEngineWithLMHead):
    """Trains the blocks of a ``LayerSelection`` and freezes the rest."""

    @property
    def selection(self) -> LayerSelection | None:
        """What trains; None when the config names no selection (the engine then trains everything)."""
        text = self.model_config.override_config.get(SELECTION_KEY)
        return LayerSelection.from_json(text) if text else None

    def _build_module(self) -> torch.nn.Module:
        config = self.model_config.hf_config.get_text_config()
        if not hasattr(config, "num_key_value_heads"):  # verl asks for it; GPT-2 and its like have as many as heads
            config.num_key_value_heads = config.num_attention_heads
        module = super()._build_module()
        if self.selection and not self.engine_config.forward_only:
            freeze(module, self.selection)
        self._head_rows: torch.Tensor | None = None
        module.get_output_embeddings().register_forward_pre_hook(self._select_head_rows)
        return module

    def _select_head_rows(self, _: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        """Keep the hidden states whose logits are needed, as one contiguous [1, N, H] tensor.

        Contiguous, because a frozen head on a sliced input makes torch's CPU matmul copy the whole head per row.
        """
        hidden = args[0]
        if self._head_rows is None:
            return (hidden.contiguous(),)
        return (hidden.reshape(-1, hidden.shape[-1])[self._head_rows].unsqueeze(0),)

    def _build_lora_module(self, module: torch.nn.Module) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):  # adapters start alike in every run, as weights do
            torch.manual_seed(seed_of("adapters"))
            module = super()._build_lora_module(module)  # PEFT makes every adapter trainable
        if self.selection and not self.engine_config.forward_only:
            freeze(module, self.selection)
        return module

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        precision = self.engine_config.mixed_precision or {}
        if torch.distributed.get_world_size() == 1:
            self._autocast_dtype = PrecisionType.to_dtype(precision.get("param_dtype", "bf16"))
            return module.to(get_device_name())
        engine_config = self.engine_config
        if get_device_name() == "cpu" and engine_config.forward_only:
            # verl offloads a forward-only module to pinned host memory, which needs an accelerator.
            self.engine_config = dataclasses.replace(engine_config, forward_only=False, offload_policy=False)
        try:
            return super()._build_fsdp_module(module)
        finally:
            self.engine_config = engine_config

    def _build_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        rates = self.selection.rates if self.selection else {}
        by_rate: dict[float, list[torch.nn.Parameter]] = {}
        for (_, parameter), block in zip(module.named_parameters(), block_of_parameters(module).values(), strict=True):
            if parameter.requires_grad:
                by_rate.setdefault(rates.get(block, 1.0) if block is not None else 1.0, []).append(parameter)
        lr = self.optimizer_config.lr
        groups = [{"params": parameters, "lr": lr * rate} for rate, parameters in by_rate.items()]
        return build_optimizer(groups, self.optimizer_config)

    def prepare_model_inputs(self, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
        """Also note which rows predict a response token, so that the head runs on those only."""
        inputs, output_args = super().prepare_model_inputs(micro_batch)
        length_B = micro_batch["input_ids"].offsets().diff()
        response_B = micro_batch["responses"].offsets().diff()
        row_N = torch.arange(len(length_B), device=length_B.device).repeat_interleave(length_B)
        position_N = torch.arange(len(row_N), device=row_N.device) - micro_batch["input_ids"].offsets()[row_N]
        # The token at position t is predicted by the row at t - 1; the last token predicts nothing.
        predicts_N = (position_N >= (length_B - response_B - 1)[row_N]) & (position_N < (length_B - 1)[row_N])
        packed = tu.get_non_tensor_data(data=micro_batch, key="use_remove_padding", default=True)
        flat_N = (
            torch.arange(len(row_N), device=row_N.device)
            if packed
            else row_N * inputs["input_ids"].shape[1] + position_N
        )
        self._head_rows = flat_N[predicts_N]
        output_args["predicts_N"] = predicts_N
        output_args["temperature_N"] = output_args["temperature_rmpad"] if packed else output_args["temperature"][row_N]
        return inputs, output_args

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, torch.Tensor]:
        """Log-probs (and entropies, when asked for) of the response tokens, zero elsewhere, in verl's nested form."""
        self._head_rows = None
        predicts_N = output_args["predicts_N"]
        logits_RV = output.logits.squeeze(0).float()
        if not output_args["temperature_is_one"]:
            logits_RV = logits_RV / output_args["temperature_N"][predicts_N][:, None]
        label_R = output_args["input_ids_rmpad_rolled"][predicts_N]

        def nested(value_R: torch.Tensor) -> torch.Tensor:
            value_N = value_R.new_zeros(len(predicts_N)).masked_scatter(predicts_N, value_R)
            return torch.nested.nested_tensor_from_jagged(value_N, micro_batch["input_ids"].offsets())

        outputs = {"log_probs": nested(logprobs_from_logits_naive(logits_RV, label_R))}
        if tu.get_non_tensor_data(data=micro_batch, key="calculate_entropy", default=False):
            outputs["entropy"] = nested(entropy_from_logits(logits_RV))
        return outputs

    def trained_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that train, by name."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}
