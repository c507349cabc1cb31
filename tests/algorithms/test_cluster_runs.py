"""The same cells on a cluster of two ranks (Ray, gloo, Hugging Face servers) and in this process: minutes each."""

from __future__ import annotations

import json
import signal

import pytest
from command_line import Command
from safetensors.torch import load_file
from study_metrics import metrics, metrics_of
from torch.testing import assert_close

from algorithms.study import run_cell

pytestmark = pytest.mark.slow
CLUSTER = ["runner.name=cluster", "runner.shortcuts=false", "runner.ranks=2", "runner.start_timeout_s=900"]
MATH = ["task=math/reversed", "++task.reward_weights.format=1", "steps=5", "checkpoint_every=1"]
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
ROUNDED = ("loss", "grad_norm", "entropy", "old_policy_kl", "clip_fraction")


@pytest.fixture(scope="module")
def cell(tiny_words, tmp_path_factory):
    """``cell("here", ...)``: run a cell in a study of that name and return its result and its folder of studies."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from conf import schema

    schema.register()
    folder = tmp_path_factory.mktemp("runs")

    def run(study, *words):
        with initialize_config_module("conf", version_base="1.3"):
            config = compose("config", [*tiny_words, f"runs_dir={folder}", f"study={study}", *words])
        return run_cell(OmegaConf.to_object(config)), folder

    return run


def require_agreement(folder, here, there):
    """The two studies' cells took the same steps: the same episodes exactly, the rest up to rounding."""
    ours, theirs = metrics(folder, here), metrics(folder, there)
    assert len(ours) == len(theirs) == 5
    for mine, yours in zip(ours, theirs, strict=True):
        assert yours.pop("sync_bytes") > 0
        assert yours.pop("rank_peak_memory_bytes") > 0
        for name in ROUNDED:
            assert yours.pop(name) == pytest.approx(mine.pop(name), rel=1e-3, abs=1e-5), name
        assert yours == mine
    weights = [next((folder / study).rglob("trained.safetensors")) for study in (here, there)]
    for name, tensor in load_file(weights[0]).items():
        assert_close(load_file(weights[1])[name], tensor, rtol=1e-3, atol=1e-5)


def test_math_with_grpo_agrees_with_the_local_runner(cell):
    local, folder = cell("here", *MATH)
    cluster, _ = cell("there", *MATH, *CLUSTER)
    assert cluster.audit["ok"]
    assert (cluster.score, cluster.score_before) == (local.score, local.score_before)
    require_agreement(folder, "here", "there")


def test_the_second_weight_sync_sends_only_what_trains(cell):
    """After the test above: of four blocks one trains."""
    _, folder = cell("there", *MATH, *CLUSTER)  # finished, only read
    (file,) = (folder / "there").rglob("metrics.jsonl")
    sent = [json.loads(line)["sync_bytes"] for line in file.read_text().splitlines()]
    (weights,) = (folder / "there").rglob("trained.safetensors")
    trained = sum(tensor.nbytes for tensor in load_file(weights).values())
    assert set(sent) == {2 * trained}  # to each of two servers


def test_a_household_with_gigpo_agrees_with_the_local_runner(cell):
    local, folder = cell("house-here", *HOUSE)
    cluster, _ = cell("house-there", *HOUSE, *CLUSTER)
    assert cluster.audit["ok"]
    assert cluster.by_task_type == local.by_task_type
    require_agreement(folder, "house-here", "house-there")


@pytest.mark.parametrize("layer", ["base", "full"])
def test_everything_and_nothing_run_too(cell, layer):
    local, _ = cell("here", *MATH, "steps=1", f"layer={layer}", "study=few-here")
    cluster, _ = cell("there", *MATH, "steps=1", f"layer={layer}", *CLUSTER, "study=few-there")
    assert cluster.audit["ok"]
    assert (cluster.score, cluster.score_before) == (local.score, local.score_before)


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
    _, folder = cell("there", *MATH, *CLUSTER)  # the one that was not interrupted
    (file,) = tmp_path.rglob("metrics.jsonl")
    for mine, yours in zip(metrics_of(file), metrics(folder, "there"), strict=True):
        assert mine["reward"] == yours["reward"]
        assert mine["grad_norm"] == pytest.approx(yours["grad_norm"], rel=1e-3, abs=1e-6)
