"""A cluster run's configuration, without a cluster: what is refused, verl's words for a cell, engines."""

from __future__ import annotations

import re

import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass

from algorithms.layers import parse_layer
from algorithms.machine import Machine, choose
from algorithms.workers.cluster import engines
from algorithms.workers.cluster.server import HFReplica
from algorithms.workers.cluster.settings import ppo_config
from algorithms.workers.cluster.waiting import ClusterError
from conf.checks import ConfigError
from conf.runners import RunnerConfig

CPU, CUDA = Machine("cpu", torch.float32, 1), Machine("cuda", torch.bfloat16, 1)
CLUSTER = {"name": "cluster", "shortcuts": False}


@pytest.fixture
def cluster_config(tiny_config):
    """``cluster_config("runner.ranks=4")``: the tiny model, on a cluster."""
    return lambda *words: tiny_config("runner.name=cluster", "runner.shortcuts=false", "runner.ranks=2", *words)


@pytest.fixture
def files(cluster_config):
    from agents.models import resolve

    return resolve(cluster_config().model)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "local", "ranks": 2}, "runner.ranks=2 .*only runner=cluster reads it"),
        ({"name": "local", "address": "auto"}, "runner.address=auto .*only runner=cluster"),
        ({"name": "cluster"}, "runner.shortcuts=True .*only runner=local"),
        ({**CLUSTER, "engine": "tgi"}, "runner.engine=tgi .*hf, vllm, sglang"),
        ({**CLUSTER, "ranks": 3, "nodes": 2}, "runner.nodes=2 .*divide runner.ranks=3"),
        ({**CLUSTER, "ranks": 2, "tensor_parallel": 2}, "a Hugging Face server is one process"),
        ({**CLUSTER, "address": "auto", "cpus": 4}, "runner.cpus=4"),
        ({**CLUSTER, "ranks": 6, "nodes": 2, "tensor_parallel": 2, "engine": "vllm"}, "one node's 3, or whole nodes"),
        (
            {**CLUSTER, "ranks": 4, "nodes": 2},
            "runner.nodes=2 .*runner.address: a Ray of this run's own is one machine",
        ),
        ({**CLUSTER, "device": "mps"}, "runner.device=mps .*auto, cpu or cuda"),
        ({**CLUSTER, "step_timeout_s": 0}, "runner.step_timeout_s=0"),
        ({"name": "slurm"}, "runner.name=slurm .*local, cluster"),
    ],
)
def test_what_means_nothing_is_refused(wrong, says):
    with pytest.raises(ConfigError, match=says):
        RunnerConfig(**wrong)


def test_a_cluster_may_have_gpus_where_this_machine_has_none():
    assert choose(RunnerConfig(**CLUSTER, device="cuda")) == CUDA
    assert choose(RunnerConfig(**CLUSTER, device="cpu", dtype="float32")) == CPU


def test_the_cell_is_said_in_verls_words(cluster_config, files):
    config = cluster_config("algorithm.old_log_probs=rollout", "steps=7")
    verl = ppo_config(config, parse_layer(1, 4), CPU, files)
    section = verl.actor_rollout_ref
    assert (section.rollout.name, section.rollout.n, section.rollout.free_cache_engine) == ("hf_server", 4, False)
    assert (section.actor.strategy, section.actor.optim.lr) == ("fsdp2", config.algorithm.learning_rate)
    assert (verl.data.train_batch_size, verl.trainer.n_gpus_per_node, verl.trainer.nnodes) == (2, 2, 1)
    assert (verl.trainer.total_training_steps, verl.trainer.device) == (7, "cpu")
    assert verl.algorithm.rollout_correction.bypass_mode
    assert OmegaConf.to_container(verl.onelayer.task)["env_id"] == config.task.env_id
    assert not need_critic(verl)
    assert not need_reference_policy(verl)


def test_a_kl_term_keeps_a_reference_and_recomputed_log_probs_are_recomputed(cluster_config, files):
    config = cluster_config("algorithm.old_log_probs=recompute", "algorithm.kl_coef=0.01")
    verl = ppo_config(config, parse_layer("full", 4), CPU, files)
    assert need_reference_policy(verl)
    assert not verl.algorithm.rollout_correction.bypass_mode


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_servers_for_gpus_are_configured_without_one(cluster_config, files, monkeypatch, name):
    monkeypatch.setattr(engines, "find_spec", lambda package: object())
    config = cluster_config(f"runner.engine={name}", "runner.device=cuda", "runner.ranks=4", "runner.tensor_parallel=2")
    rollout = ppo_config(config, parse_layer("full", 4), CUDA, files).actor_rollout_ref.rollout
    assert (rollout.name, rollout.tensor_model_parallel_size, rollout.dtype) == (name, 2, "bfloat16")
    # A sleeping server would drop the frozen weights, which are sent only once.
    assert (rollout.free_cache_engine, rollout.load_format) == (False, "auto")
    assert rollout.logprobs_mode == "processed_logprobs"


@pytest.mark.parametrize("name", ["hf", "vllm", "sglang"])
def test_verl_takes_the_configuration_apart_as_its_workers_do(cluster_config, files, monkeypatch, name):
    """With verl's own dataclasses, which refuse unknown keys and values; no server is started."""
    monkeypatch.setattr(engines, "find_spec", lambda package: object())
    machine, device, tensor_parallel = (CPU, "cpu", 1) if name == "hf" else (CUDA, "cuda", 2)
    words = (f"runner.engine={name}", f"runner.device={device}", f"runner.tensor_parallel={tensor_parallel}")
    config = cluster_config(
        *words, "runner.ranks=4", "runner.nodes=2", "runner.address=auto", "algorithm.kl_coef=0.001"
    )
    section = ppo_config(config, parse_layer(1, 4), machine, files).actor_rollout_ref
    actor, rollout = (omega_conf_to_dataclass(part) for part in (section.actor, section.rollout))
    assert actor.use_kl_loss
    assert rollout.tensor_model_parallel_size == tensor_parallel
    replica = HFReplica(0, section.rollout, section.model, gpus_per_node=2)
    assert (replica.world_size, replica.nnodes) == (tensor_parallel, 1)


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_a_missing_package_names_its_extra(cluster_config, monkeypatch, name):
    monkeypatch.setattr(engines, "find_spec", lambda package: None if package == name else object())
    with pytest.raises(ClusterError, match=rf"{name}: pip install -e '.\[{name}\]' -c constraints/cuda-{name}.txt"):
        engines.engine_of(cluster_config(f"runner.engine={name}"), CUDA)


def test_without_verls_queue_the_extra_is_named(cluster_config, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda package: None if package == "transfer_queue" else object())
    with pytest.raises(ClusterError, match=r"needs transfer_queue: pip install -e '.\[cluster\]'"):
        engines.engine_of(cluster_config(), CPU)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"transfer_queue", "vllm"}, r"needs transfer_queue: pip install -e '.\[cluster\]'"),
        ({"vllm", "sglang"}, "installed, with runner.engine=hf"),
        ({"sglang"}, "installed, with runner.engine=hf or vllm"),
    ],
)
def test_what_a_cluster_run_has_here_is_said_in_words(monkeypatch, missing, said):
    monkeypatch.setattr(engines, "find_spec", lambda package: None if package in missing else object())
    assert re.fullmatch(said, engines.readiness())


@pytest.mark.parametrize(("name", "machine", "valid"), [("vllm", CPU, "hf"), ("hf", CUDA, "vllm, sglang")])
def test_an_engine_for_another_device_is_refused(cluster_config, name, machine, valid):
    with pytest.raises(ClusterError, match=f"valid with runner.device={machine.device}: {valid}$"):
        engines.engine_of(cluster_config(f"runner.engine={name}"), machine)


def test_adapters_are_refused(cluster_config, files):
    with pytest.raises(ClusterError, match=r"model.lora_rank=4: adapters are not sent"):
        ppo_config(cluster_config("model.lora_rank=4"), parse_layer(1, 4), CPU, files)
