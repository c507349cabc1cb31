"""What we use of verl 0.9.1: every name, with the parameters we rely on. A verl that breaks one fails here first."""

import inspect
from importlib.metadata import PackageNotFoundError, requires, version
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
from verl.workers.engine.base import BaseEngine
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine, FSDPEngineWithLMHead
from verl.workers.rollout.base import _ROLLOUT_REGISTRY, BaseRollout, get_rollout_class

from algorithms.advantages import grpo
from algorithms.machine import Machine
from algorithms.workers import contract, single
from algorithms.workers.bank_engine import BankEngine
from algorithms.workers.cluster.agent_loop import TaskAgentLoop
from algorithms.workers.cluster.contract import CLUSTER_SYMBOLS
from algorithms.workers.cluster.pools import PatientBuffer, PlacedPools
from algorithms.workers.cluster.rank import RankWorker
from algorithms.workers.cluster.server import HFAdapter, HFReplica
from algorithms.workers.cluster.trainer import LayerTrainer
from algorithms.workers.contract import ContractError, breaches, check
from algorithms.workers.engine import LayerMaskEngine
from algorithms.workers.platform import CPUPlatform
from algorithms.workers.rollout import NAME, HFLocalRollout

COMPARED = {
    "verl.trainer.ppo.core_algos:compute_policy_loss_vanilla": "old_log_prob, log_prob, advantages, response_mask, "
    "loss_agg_mode, config",
    "verl.trainer.ppo.core_algos:kl_penalty": "logprob, ref_logprob, kl_penalty",
}
"""What only tests use: our arithmetic is compared with it."""
OURS = [
    *(BankEngine, LayerMaskEngine, HFLocalRollout, CPUPlatform),
    *(LayerTrainer, PatientBuffer, PlacedPools, RankWorker, HFReplica, HFAdapter, TaskAgentLoop),
]
ARCHITECTURES = [(LlamaConfig, "LlamaForCausalLM"), (GPT2Config, "GPT2LMHeadModel")]


def test_verl_is_the_pinned_one():
    assert version("verl") == "0.9.1"
    assert "verl==0.9.1" in requires("onelayer")


def test_verl_is_as_it_was_released():
    check(CLUSTER_SYMBOLS)
    assert list(breaches(COMPARED)) == []


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.__name__)
def test_every_method_of_verl_that_our_classes_override_is_in_the_contract(ours):
    theirs = [base for base in ours.__mro__ if base.__module__.startswith("verl.")]
    overridden = {name for name in vars(ours) if any(callable(vars(base).get(name)) for base in theirs)}
    assert overridden <= {place.rpartition(".")[2] for place in CLUSTER_SYMBOLS}


def test_a_symbol_that_is_gone_is_named_with_what_mends_it(monkeypatch):
    monkeypatch.delattr(FSDPEngineWithLMHead, "prepare_model_outputs")
    with pytest.raises(ContractError) as raised:
        check()
    text = str(raised.value)
    assert "FSDPEngineWithLMHead.prepare_model_outputs: expected (self, output, output_args," in text
    assert "found none: " in text
    assert "pip install --force-reinstall --no-deps 'verl==0.9.1'" in text


def renamed(self, batch):
    """Stands in for a method whose parameter has another name."""


def longer(self, data, shard):
    """Stands in for a method that wants one more."""


@pytest.mark.parametrize(("stand_in", "found"), [(renamed, "(self, batch)"), (longer, "(self, data, shard)")])
def test_a_symbol_that_changed_is_named_with_what_was_expected_and_found(monkeypatch, stand_in, found):
    from verl.workers.engine_workers import ActorRolloutRefWorker

    monkeypatch.setattr(ActorRolloutRefWorker, "update_actor", stand_in)
    place = "verl.workers.engine_workers:ActorRolloutRefWorker.update_actor"
    assert list(breaches()) == [f"{place}: expected (self, data), found {found}"]


def test_what_is_no_function_any_more_and_a_module_that_is_gone_are_breaches_too(monkeypatch):
    monkeypatch.setattr("verl.utils.device.get_device_name", "cpu")
    assert list(breaches({"verl.utils.device:get_device_name": ""})) == [
        "verl.utils.device:get_device_name: expected (), found a str that cannot be called"
    ]
    assert list(breaches({"verl.no_such:thing": None})) == [
        "verl.no_such:thing: expected to exist, found none: No module named 'verl.no_such'"
    ]


def test_another_release_or_none_is_refused_before_anything_of_it_is_imported(monkeypatch):
    monkeypatch.setattr(contract, "version", lambda _: "0.9.0")
    with pytest.raises(ContractError, match=r"expected release 0\.9\.1, found 0\.9\.0\. Mend it: pip install 'verl==0"):
        check({})

    def absent(_):
        raise PackageNotFoundError

    monkeypatch.setattr(contract, "version", absent)
    with pytest.raises(ContractError, match="verl is not installed; expected 0"):
        check({})


def test_a_run_is_refused_where_verl_is_started(monkeypatch):
    monkeypatch.delattr(FSDPEngine, "optimizer_step")
    monkeypatch.delattr(BaseEngine, "optimizer_step")
    single._check_contract.cache_clear()
    with pytest.raises(ContractError, match="optimizer_step"):
        single.start_verl(Machine("cpu", torch.float32, 1))


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
