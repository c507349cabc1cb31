"""Our configuration in verl's words: verl's own generated YAML with our values merged in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.models import ModelFiles
from algorithms.layers import LayerSelection
from algorithms.machine import Machine
from algorithms.workers.rollout import NAME as ROLLOUT_NAME
from conf.schema import Config


def learning_rate(config: Config, selection: LayerSelection) -> float:
    """One rate for every arm, unless the study sets another for arms that train some blocks only."""
    single = config.algorithm.single_block_learning_rate
    return single if single is not None and selection.is_partial else config.algorithm.learning_rate


def actor_rollout_ref(
    config: Config, hook: Mapping[str, str], rate: float, machine: Machine, model: ModelFiles
) -> DictConfig:
    """Return verl's ``actor_rollout_ref`` section: ``hook`` tells our engine what trains, ``rate`` how fast."""
    ours = {"actor_rollout_ref": our_values(config, hook, rate, machine, model)}
    merged = OmegaConf.merge(verl_defaults(), ours, {"trainer": {"n_gpus_per_node": 1, "nnodes": 1}})
    return merged.actor_rollout_ref


def our_values(
    config: Config, hook: Mapping[str, str], rate: float, machine: Machine, model: ModelFiles
) -> dict[str, Any]:
    """What of that section is ours to say.

    Dr. GRPO (arXiv 2503.20783, section 3): sums token losses and divides by a constant, the response limit.
    """
    algorithm, task = config.algorithm, config.task
    rows = algorithm.groups_per_step * algorithm.group_size * task.max_turns
    precision = {
        "param_dtype": str(machine.dtype).removeprefix("torch."),
        "reduce_dtype": "fp32",
        "buffer_dtype": "fp32",
    }
    fsdp = {"strategy": "fsdp2", "use_torch_compile": False, "mixed_precision": precision, "model_dtype": "fp32"}
    return {
        "model": {
            "path": str(model.path),
            "override_config": {"attn_implementation": "sdpa", **hook},
            "use_remove_padding": False,
            "enable_gradient_checkpointing": config.runner.gradient_checkpointing,
            "lora_rank": config.model.lora_rank,
            "lora_alpha": 2 * config.model.lora_rank,
        },
        "actor": {
            "strategy": "fsdp2",
            "fsdp_config": fsdp,
            "use_torch_compile": False,
            "use_dynamic_bsz": True,
            "ppo_max_token_len_per_gpu": config.runner.max_tokens_per_pass,
            "ppo_mini_batch_size": rows // algorithm.updates_per_step,
            "clip_ratio": algorithm.clip_ratio,
            "clip_ratio_low": algorithm.clip_ratio,
            "clip_ratio_high": algorithm.clip_ratio,
            "loss_agg_mode": algorithm.loss_agg_mode,
            "loss_scale_factor": task.max_response_tokens,
            "use_kl_loss": algorithm.kl_coef > 0,
            "kl_loss_coef": algorithm.kl_coef,
            "kl_loss_type": "low_var_kl",
            "entropy_coeff": algorithm.entropy_coef,
            "grad_clip": algorithm.clip_grad,
            "optim": {
                "lr": rate,
                "betas": list(algorithm.adam_betas),
                "weight_decay": algorithm.weight_decay,
                "clip_grad": algorithm.clip_grad,
                "lr_scheduler_type": "constant",
                "total_training_steps": config.steps,
            },
        },
        "ref": {"fsdp_config": fsdp, "log_prob_max_token_len_per_gpu": config.runner.max_tokens_per_pass},
        "rollout": {
            "name": ROLLOUT_NAME,
            "n": algorithm.group_size,
            "temperature": algorithm.temperature,
            "prompt_length": task.max_prompt_tokens,
            "response_length": task.max_response_tokens,
            "tensor_model_parallel_size": 1,
            "free_cache_engine": False,
            "log_prob_max_token_len_per_gpu": config.runner.max_tokens_per_pass,
        },
    }


@lru_cache(maxsize=1)
def verl_defaults() -> DictConfig:
    """verl's own configuration, parsed once: it takes a quarter of a second."""
    text = files("verl.trainer.config").joinpath("_generated_ppo_trainer.yaml").read_text()
    defaults: DictConfig = OmegaConf.create(text)  # type: ignore[assignment]
    OmegaConf.set_struct(defaults, False)
    return defaults
