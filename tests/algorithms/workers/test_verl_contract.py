"""What we use of verl 0.9.1: every name, with the parameters we rely on. A verl that breaks one fails here first."""

import importlib
import inspect
from importlib.metadata import requires, version
from importlib.resources import files

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig
from verl.plugin.platform import PlatformBase, PlatformRegistry
from verl.trainer.ppo.core_algos import agg_loss, compute_grpo_outcome_advantage
from verl.utils import tensordict_utils as tu
from verl.utils.model import get_hf_auto_model_class
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.rollout.base import _ROLLOUT_REGISTRY, BaseRollout, get_rollout_class

from algorithms.advantages import grpo
from algorithms.workers.bank_engine import BankEngine
from algorithms.workers.platform import CPUPlatform
from algorithms.workers.rollout import NAME, HFLocalRollout

SIGNATURES = {
    "verl.plugin.platform:PlatformRegistry.register": ["platform"],
    "verl.plugin.platform:PlatformRegistry.get": ["name"],
    "verl.workers.engine:EngineRegistry.register": ["model_type", "backend", "device", "vendor"],
    "verl.workers.engine:EngineRegistry.get_engine_cls": ["model_type", "backend"],
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead._build_module": ["self"],
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead._build_lora_module": ["self", "module"],
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead._build_fsdp_module": ["self", "module"],
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead._build_optimizer": ["self", "module"],
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead.prepare_model_inputs": ["self", "micro_batch"],
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead.prepare_model_outputs": [
        "self",
        "output",
        "output_args",
        "micro_batch",
        "logits_processor_func",
    ],
    "verl.workers.engine_workers:ActorRolloutRefWorker.__init__": ["self", "config", "role"],
    "verl.workers.engine_workers:ActorRolloutRefWorker.init_model": ["self"],
    "verl.workers.engine_workers:ActorRolloutRefWorker.compute_log_prob": ["self", "data"],
    "verl.workers.engine_workers:ActorRolloutRefWorker.compute_ref_log_prob": ["self", "data"],
    "verl.workers.engine_workers:ActorRolloutRefWorker.update_actor": ["self", "data"],
    "verl.workers.engine_workers:ActorRolloutRefWorker.update_weights": ["self", "global_steps", "mode"],
    "verl.workers.rollout.base:BaseRollout.__init__": ["self", "config", "model_config", "device_mesh"],
    "verl.workers.rollout.base:BaseRollout.update_weights": ["self", "weights", "wire_format"],
    "verl.workers.rollout.base:BaseRollout.resume": ["self", "tags"],
    "verl.workers.rollout.base:BaseRollout.release": ["self"],
    "verl.workers.config.optimizer:build_optimizer": ["parameters", "config"],
    "verl.workers.utils.padding:response_from_nested": ["tensor", "response_mask"],
    "verl.utils.tensordict_utils:get_tensordict": ["tensor_dict", "non_tensor_dict"],
    "verl.utils.tensordict_utils:get_non_tensor_data": ["data", "key", "default"],
    "verl.utils.tensordict_utils:get": ["tensordict", "key", "default"],
    "verl.utils.tensordict_utils:assign_non_tensor": ["tensor_dict"],
    "verl.utils.torch_functional:logprobs_from_logits_naive": ["logits", "labels"],
    "verl.utils.torch_functional:entropy_from_logits": ["logits"],
    "verl.utils.torch_dtypes:PrecisionType.to_dtype": ["precision"],
    "verl.utils.device:get_device_name": [],
    "verl.trainer.ppo.core_algos:compute_policy_loss_vanilla": [
        "old_log_prob",
        "log_prob",
        "advantages",
        "response_mask",
        "loss_agg_mode",
        "config",
    ],
    "verl.trainer.ppo.core_algos:kl_penalty": ["logprob", "ref_logprob", "kl_penalty"],
}
ARCHITECTURES = [(LlamaConfig, "LlamaForCausalLM"), (GPT2Config, "GPT2LMHeadModel")]


def test_verl_is_the_pinned_one():
    assert version("verl") == "0.9.1"
    assert "verl==0.9.1" in requires("onelayer")


@pytest.mark.parametrize("place", SIGNATURES)
def test_verl_has(place):
    module, _, path = place.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    expected = SIGNATURES[place]
    parameters = list(inspect.signature(found).parameters)
    assert parameters[: len(expected)] == expected


def test_our_platform_is_registered_and_abstract_in_nothing():
    assert issubclass(CPUPlatform, PlatformBase)
    assert PlatformRegistry.get("cpu") is CPUPlatform
    platform = CPUPlatform()
    assert (platform.device_name, platform.communication_backend_name(), platform.device_count()) == ("cpu", "gloo", 1)


@pytest.mark.parametrize(
    ("backend", "device"), [("fsdp2", "cpu"), ("fsdp", ("cuda", "nvidia")), ("fsdp2", ("cuda", "nvidia"))]
)
def test_our_engine_is_registered_for_cpu_and_cuda(backend, device):
    assert issubclass(BankEngine, FSDPEngineWithLMHead)
    assert EngineRegistry._engines["language_model"][backend][device] is BankEngine


def test_our_rollout_is_registered_by_name():
    assert issubclass(HFLocalRollout, BaseRollout)
    assert (NAME, "async") in _ROLLOUT_REGISTRY
    assert get_rollout_class(NAME) is HFLocalRollout


def test_the_engines_order_is_build_mask_wrap_optimize():
    source = inspect.getsource(FSDPEngineWithLMHead._build_model_optimizer)
    calls = ["_build_module(", "_build_lora_module(", "_build_fsdp_module(", "_build_optimizer("]
    places = [source.index(call) for call in calls]
    assert places == sorted(places)


def test_verl_finds_the_class_of_a_model_by_the_name_of_its_architecture():
    found = [get_hf_auto_model_class(config(architectures=[name])) for config, name in ARCHITECTURES]
    assert found == [AutoModelForCausalLM] * 2


def test_verls_generated_yaml_has_every_key_we_set():
    defaults = OmegaConf.load(files("verl.trainer.config") / "_generated_ppo_trainer.yaml").actor_rollout_ref
    for key in (
        "model.path",
        "model.override_config",
        "model.lora_rank",
        "actor.loss_agg_mode",
        "actor.loss_scale_factor",
        "actor.ppo_max_token_len_per_gpu",
        "actor.optim.betas",
        "actor.optim.lr_scheduler_type",
        "actor.kl_loss_type",
        "actor.entropy_coeff",
        "ref.log_prob_max_token_len_per_gpu",
        "rollout.name",
        "rollout.free_cache_engine",
    ):
        section, _, name = key.rpartition(".")
        assert name in list(OmegaConf.select(defaults, section)), key


@pytest.mark.parametrize("normalize_std", [True, False])
def test_our_advantage_is_verls(normalize_std):
    rng = np.random.default_rng(0)
    returns, groups = rng.normal(size=24), np.repeat(np.arange(6), 4)
    rewards, mask = torch.zeros(24, 5), torch.ones(24, 5)
    rewards[:, -1] = torch.from_numpy(returns)
    theirs, _ = compute_grpo_outcome_advantage(rewards, mask, groups, norm_adv_by_std_in_grpo=normalize_std)
    ours = grpo(returns, groups, normalize_std=normalize_std)
    np.testing.assert_allclose(theirs, np.repeat(ours[:, None], 5, axis=1), atol=1e-5)


def test_verls_constant_normaliser_by_hand():
    loss_BT, mask_BT = torch.tensor([[1.0, 2.0], [3.0, 9.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    settings = {"loss_mask": mask_BT, "global_batch_size": 4, "batch_num_tokens": 3, "loss_scale_factor": 10}
    assert agg_loss(loss_BT, loss_agg_mode="token-mean", **settings).item() == pytest.approx(6 / 3)
    assert agg_loss(loss_BT, loss_agg_mode="seq-mean-token-sum-norm", **settings).item() == pytest.approx(6 / 4 / 10)


def test_settings_travel_beside_tensors():
    data = tu.get_tensordict({"a": torch.zeros(2, 3)}, {})
    tu.assign_non_tensor(data, temperature=0.5)
    assert tu.get_non_tensor_data(data, "temperature", None) == 0.5
