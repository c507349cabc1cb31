"""A cell in the words of verl's trainer: its whole configuration, with ours merged in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.models import ModelFiles
from algorithms.layers import LayerSelection
from algorithms.machine import Machine
from algorithms.workers.cluster.engines import engine_of
from algorithms.workers.engine import SELECTION_KEY
from algorithms.workers.verl_config import learning_rate, our_values, verl_defaults
from conf.schema import Config

PADDING_TOKENS = 128
"""verl fills a batch up with rows of so many tokens; a pass must hold one."""
AGENT_LOOP = "onelayer"
QUEUE_UNITS = 1


def ppo_config(config: Config, selection: LayerSelection, machine: Machine, model: ModelFiles) -> DictConfig:
    """Return verl's configuration of a cell; ``onelayer`` in it is what our own parts read.

    Raises:
        ClusterError: See ``engines.engine_of``.
    """
    runner, algorithm, task = config.runner, config.algorithm, config.task
    engine = engine_of(config, machine)
    hook = {SELECTION_KEY: selection.to_json()}
    section = our_values(config, hook, learning_rate(config, selection), machine, model)
    pass_tokens = max(runner.max_tokens_per_pass, PADDING_TOKENS)
    section["actor"] |= {"ppo_max_token_len_per_gpu": pass_tokens, "ppo_epochs": 1, "shuffle": False}
    section["ref"] |= {"log_prob_max_token_len_per_gpu": pass_tokens, "log_prob_use_dynamic_bsz": True}
    dtype = str(machine.dtype).removeprefix("torch.")
    server = {
        "dtype": dtype,
        "threads": machine.threads,
        "max_rows": runner.rollout_batch,
        "start_timeout_s": runner.start_timeout_s,
    }
    section["rollout"] |= {
        "name": engine.verl_name,
        "dtype": dtype,
        "tensor_model_parallel_size": runner.tensor_parallel,
        "gpu_memory_utilization": runner.gpu_memory_share,
        # A server that sleeps drops its weights, and would have to be sent the frozen ones again.
        "free_cache_engine": False,
        "load_format": "auto",
        "log_prob_max_token_len_per_gpu": pass_tokens,
        "log_prob_use_dynamic_bsz": True,
        "calculate_log_probs": True,
        # SGLang keeps one token for itself.
        "max_model_len": task.max_prompt_tokens + task.max_response_tokens + 1,
        "engine_kwargs": {"hf": server, "vllm": {}, "sglang": {}, "trtllm": {}},
        "agent": {
            "num_workers": runner.agent_workers,
            "default_agent_loop": AGENT_LOOP,
            "agent_loop_config_path": str(Path(__file__).with_name("agent_loop.yaml")),
        },
    }
    timeouts = {name: getattr(runner, name) for name in ("answer_timeout_s", "step_timeout_s")}
    section["onelayer"] = {
        "step_timeout_s": runner.step_timeout_s,
        "threads": machine.threads,
        "share_device": runner.share_device,
    }
    ours: dict[str, Any] = {
        "actor_rollout_ref": section,
        "algorithm": {
            # Only a name for verl: the advantages are computed by this project's own functions.
            "adv_estimator": "grpo",
            "norm_adv_by_std_in_grpo": algorithm.normalize_std,
            "use_kl_in_reward": False,
            "rollout_correction": {"bypass_mode": algorithm.old_log_probs == "rollout"},
        },
        "data": {
            "train_batch_size": algorithm.groups_per_step,
            "max_prompt_length": task.max_prompt_tokens,
            "max_response_length": task.max_response_tokens,
        },
        "reward": {"num_workers": 0},  # environments reward
        "critic": {"enable": False},
        "trainer": {
            "device": machine.device,
            "n_gpus_per_node": runner.ranks // runner.nodes,
            "nnodes": runner.nodes,
            "total_training_steps": config.steps,
            "resume_mode": "disable",  # a cell has checkpoints of its own
            "logger": [],
            "v1": {"trainer_mode": "sync"},
        },
        "transfer_queue": {
            "enable": True,
            "backend": {
                "SimpleStorage": {
                    "num_data_storage_units": QUEUE_UNITS,
                    "total_storage_size": 4 * algorithm.groups_per_step * algorithm.group_size * (task.max_turns + 2),
                }
            },
        },
        "onelayer": {"task": OmegaConf.to_container(OmegaConf.structured(task)), "runner": timeouts},
    }
    merged = OmegaConf.merge(verl_defaults(), ours)
    OmegaConf.resolve(merged)
    return merged  # type: ignore[return-value]
