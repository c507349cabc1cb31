"""The same cells on a cluster of two ranks (Ray, gloo, Hugging Face servers) and in this process: minutes each."""

from __future__ import annotations

import shutil
import signal
from copy import deepcopy
from pathlib import Path

import pytest
from command_line import Command
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from safetensors.torch import load_file
from study_metrics import metrics, metrics_of
from torch.testing import assert_close
from transformers import AutoConfig, AutoModelForCausalLM

from agents.episode import Start
from algorithms.arm import Arm
from algorithms.layers import parse_layer
from algorithms.lesson import learner_of
from algorithms.meter import Meter
from algorithms.setting import Setting
from algorithms.study import run_cell
from algorithms.workers.choice import make_worker
from algorithms.workers.single import start_verl
from conf import schema

pytestmark = pytest.mark.slow
CLUSTER = ["runner=cluster", "runner.start_timeout_s=900"]
MATH = ["task=math/reversed", "++task.reward_weights.format=1", "steps=5", "checkpoint_every=1"]
UNEVEN = ["algorithm.groups_per_step=5", "algorithm.group_size=3"]
"""Fifteen rows, which two ranks can share only with padding."""
HOUSE = [
    "task=alfworld/small",
    "algorithm=gigpo",
    "task.max_turns=3",
    "task.max_prompt_tokens=2000",
    "task.reward_weights.format=1",
    "task.processes=1",
    "evaluation.items=4",
    "steps=5",
]
ROUNDED = ("loss", "grad_norm", "entropy")
BY_PASS = ("old_policy_kl", "clip_fraction")
"""Diagnostics that verl averages over passes and ranks, whatever the number of their tokens."""


@pytest.fixture(scope="module")
def config_of(tiny_words, tmp_path_factory):
    """``config_of("task=math", ...)``: words on a command line as a configuration, all in one folder of studies."""
    schema.register()
    folder = tmp_path_factory.mktemp("runs")

    def of(*words):
        with initialize_config_module("conf", version_base="1.3"):
            return OmegaConf.to_object(compose("config", [*tiny_words, f"runs_dir={folder}", *words]))

    return of


@pytest.fixture(scope="module")
def cell(config_of):
    """``cell("here", ...)``: run a cell in a study of that name and return its result and its folder of studies."""

    def run(study, *words):
        config = config_of(f"study={study}", *words)
        return run_cell(config), Path(config.runs_dir)

    return run


def require_agreement(folder, here, there):
    """The two studies' cells took the same steps: the same episodes exactly, the rest up to rounding."""
    ours, theirs = metrics(folder, here), metrics(folder, there)
    assert len(ours) == len(theirs) == 5
    for mine, yours in zip(ours, theirs, strict=True):
        assert yours.pop("sync_bytes") > 0
        for name in ROUNDED:
            assert yours.pop(name) == pytest.approx(mine.pop(name), rel=1e-3, abs=1e-5), name
        for name in BY_PASS:
            assert yours.pop(name) == pytest.approx(mine.pop(name), abs=0.01), name
        assert yours == mine
    weights = [next((folder / study).rglob("trained.safetensors")) for study in (here, there)]
    for name, tensor in load_file(weights[0]).items():
        assert_close(load_file(weights[1])[name], tensor, rtol=1e-3, atol=1e-5)


def test_math_with_grpo_agrees_with_the_local_runner(cell):
    words = [*MATH, *UNEVEN, "algorithm.updates_per_step=2", "algorithm.old_log_probs=recompute"]
    local, folder = cell("uneven-here", *words)
    cluster, _ = cell("uneven-there", *words, *CLUSTER)
    assert cluster.audit["ok"]
    assert (cluster.score, cluster.score_before) == (local.score, local.score_before)
    require_agreement(folder, "uneven-here", "uneven-there")
    (weights,) = (folder / "uneven-there").rglob("trained.safetensors")
    one_block_of_four = sum(tensor.nbytes for tensor in load_file(weights).values())
    assert {step["sync_bytes"] for step in metrics(folder, "uneven-there")} == {2 * one_block_of_four}  # two servers


def test_a_household_with_gigpo_agrees_with_the_local_runner(cell):
    local, folder = cell("house-here", *HOUSE)
    cluster, _ = cell("house-there", *HOUSE, *CLUSTER)
    assert cluster.audit["ok"]
    assert cluster.by_task_type == local.by_task_type
    require_agreement(folder, "house-here", "house-there")


def test_the_untrained_model_is_scored_as_in_this_process(cell):
    local, _ = cell("base-here", *MATH, "layer=base")
    cluster, _ = cell("base-there", *MATH, "layer=base", *CLUSTER)
    assert cluster.audit["ok"]
    assert (cluster.score, cluster.score_before) == (local.score, local.score_before)


def learned(config, n_steps):
    """The lessons of a worker of its own that trains everything, and AdamW's state after the first of them."""
    setting, selection = Setting(config), parse_layer("full", 4)
    if config.runner.name == "local":
        start_verl(setting.machine)
    worker = make_worker(config, [selection], setting.machine, setting.model)
    try:
        learner, lessons, states = learner_of(setting, worker), [], []
        for step in range(n_steps):
            starts = [
                Start("train", index, group, member, 100 * index + member)
                for group, index in enumerate(range(5 * step, 5 * step + 5))
                for member in range(3)
            ]
            lessons += learner.learn(step, [Arm(selection, None, [], alone=True)], starts, Meter()).values()
            states.append(deepcopy(worker.optimizer_state(0)))  # in this process it is what AdamW goes on with
        return lessons, states[0]
    finally:
        worker.close()


@pytest.fixture
def untied(tiny_path, tmp_path):
    """The tiny model with a head of its own, as large models have it: only the first rank loads those."""
    model = AutoModelForCausalLM.from_pretrained(tiny_path)
    other = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_path, tie_word_embeddings=False))
    other.load_state_dict(model.state_dict() | {"lm_head.weight": model.get_input_embeddings().weight})
    shutil.copytree(tiny_path, tmp_path / "untied")
    (tmp_path / "untied" / "model.safetensors").unlink()
    other.save_pretrained(tmp_path / "untied")
    return tmp_path / "untied"


def test_log_probs_and_first_gradients_of_the_whole_model_agree(config_of, untied):
    """One step of one optimizer step, so AdamW's first moment is a tenth of the gradient, element by element."""
    words = (*MATH, *UNEVEN, "algorithm.kl_coef=0.001", f"model.path={untied}")
    here, mine = learned(config_of(*words), n_steps=2)
    there, theirs = learned(config_of(*words, *CLUSTER), n_steps=2)
    for ours, their in zip(here, there, strict=True):
        assert their.batch.response_ids == ours.batch.response_ids
        for one, other in zip(their.batch.rollout_logprobs, ours.batch.rollout_logprobs, strict=True):
            assert one == pytest.approx(other, abs=1e-5)
        for name in ("loss", "grad_norm", "kl_loss"):
            assert their.update[name] == pytest.approx(ours.update[name], rel=1e-3, abs=1e-6), name
    assert here[0].update["grad_norm"] > 0
    assert theirs.keys() == mine.keys()
    for name, state in mine.items():
        assert_close(theirs[name]["exp_avg"], state["exp_avg"], rtol=1e-3, atol=1e-6)


def test_a_rank_is_killed_and_the_same_command_resumes(cell, tiny_words, tmp_path):
    words = [*tiny_words, *MATH, *CLUSTER, f"runs_dir={tmp_path}"]
    first = Command(tmp_path / "first.log", "run.py", *words)

    def in_its_third_step() -> bool:
        files = list(tmp_path.rglob("metrics.jsonl"))
        return bool(files) and len(metrics_of(files[0])) >= 2

    code = first.signal_when(signal.SIGKILL, in_its_third_step, timeout_s=900, whom="WorkerDict")
    assert code == 1
    assert "the same command resumes from the newest checkpoint, if any" in first.output
    again = Command(tmp_path / "again.log", "run.py", *words)
    assert again.end(timeout_s=900) == 0, again.output
    assert "resuming after step" in again.output
    _, folder = cell("here", *MATH)  # nobody interrupted this one
    (file,) = tmp_path.rglob("metrics.jsonl")
    for mine, yours in zip(metrics_of(file), metrics(folder, "here"), strict=True):
        assert mine["reward"] == yours["reward"]
        assert mine["grad_norm"] == pytest.approx(yours["grad_norm"], rel=1e-3, abs=1e-6)
