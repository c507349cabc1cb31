"""What this package uses of verl beside ``algorithms.workers.contract``: its trainer, agent loop, servers and pools."""

from __future__ import annotations

from algorithms.workers.contract import SYMBOLS, Symbols

_TRAINER = "verl.trainer.ppo.v1.trainer_sync:PPOTrainerSync"
_LOOP = "verl.experimental.agent_loop.agent_loop"
_BUFFER = "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer"
_REPLICA = "verl.workers.rollout.replica"

OWN: Symbols = {
    # What is subclassed: methods that are overridden, attributes that are read.
    f"{_TRAINER}.__init__": "self, config",
    f"{_TRAINER}.init": "self",
    f"{_TRAINER}.step": "self, metrics, timing_raw",
    f"{_TRAINER}.on_init_end": "self",
    f"{_TRAINER}.on_step_end": "self",
    f"{_TRAINER}._init_dataloader": "self",
    f"{_TRAINER}._init_resource_pool_mgr": "self",
    f"{_TRAINER}._build_replay_buffer": "self",
    f"{_TRAINER}._next_train_batch": "self, num_prompts",
    f"{_TRAINER}._balance_batch": "self, batch, metrics, logging_prefix, keep_minibatch",
    f"{_TRAINER}._compute_advantage": "self, batch, metrics",
    f"{_TRAINER}._compute_old_log_prob": "self, batch, metrics",
    f"{_TRAINER}._compute_ref_log_prob": "self, batch, metrics",
    f"{_TRAINER}._update_actor": "self, batch, metrics",
    f"{_TRAINER}.get_llm_client": "self",
    f"{_TRAINER}.get_reward_handles": "self",
    f"{_BUFFER}.__init__": (
        "self, trainer_mode, trainer_config, max_off_policy_threshold, max_off_policy_strategy, sampler_kwargs, "
        "poll_interval"
    ),
    f"{_BUFFER}._wait_for_next_poll": "self, partition_id, last_debug_time",
    f"{_LOOP}:AgentLoopBase.run": "self, sampling_params",
    f"{_REPLICA}:RolloutReplica.__init__": "self, replica_rank, config, model_config, gpus_per_node",
    f"{_REPLICA}:RolloutReplica.launch_servers": "self",
    "verl.single_controller.ray:ResourcePoolManager.create_resource_pool": "self",
    # Registries that are filled in.
    f"{_REPLICA}:RolloutReplicaRegistry.register": "name, loader",
    # What is called.
    "verl.trainer.ppo.v1:AgentLoopManagerTQ.create": None,
    f"{_LOOP}:AgentLoopMetrics": None,
    f"{_LOOP}:AgentLoopOutput": None,
    f"{_REPLICA}:TokenOutput": None,
    "verl.single_controller.base.decorator:Dispatch.ONE_TO_ALL": None,
    "verl.single_controller.base.decorator:register": "dispatch_mode, execute_mode, blocking",
    "verl.single_controller.ray:RayResourcePool.__init__": (
        "self, process_on_nodes, use_gpu, name_prefix, max_colocate_count"
    ),
    "verl.trainer.ppo.padding_utils:upsample_batch_to_divisible_size": "batch, batch_multiple, eos_token_id",
    "verl.checkpoint_engine:CheckpointEngineManager.update_weights": "self, global_steps",
    "verl.utils.metric:reduce_metrics": "metrics",
    "verl.utils.model:convert_weight_keys": "state_dict, model",
    "verl.workers.engine.fsdp.utils:unfuse_moe_params": "weights, model_type",
    "verl.workers.rollout.llm_server:LLMServerClient.generate": None,
    "verl.workers.rollout.llm_server:LLMServerManager.get_replicas": "self",
    "verl.utils.seqlen_balancing:get_seqlen_balanced_partitions": "seqlen_list, k_partitions, equal_size",
    "verl.utils.tensordict_utils:assign_non_tensor_data": "tensor_dict, key, val",
}
CLUSTER_SYMBOLS: Symbols = {**SYMBOLS, **OWN}
"""All that a cluster run uses."""
