"""One cell after the other, in this process: what a run leaves on disk, what it logs, when it refuses to go on."""

from __future__ import annotations

import dataclasses
import json

import gymnasium
import numpy as np
import pytest
from safetensors.torch import load_file

import envs
from agents.rollout import EnvironmentsBrokenError
from algorithms import group as group_module
from algorithms.audit import AuditError
from algorithms.meter import Meter
from algorithms.study import run_cell
from algorithms.trainer import NoSignalError, Trainer
from algorithms.workers.local import LocalWorker
from conf.schema import EvaluationConfig, TaskConfig
from evaluation.cells import read_study

ARMS = ("base", "full", "1")
PER_STEP = """
    step reward reward/outcome reward/format success zero_variance_groups truncated env_errors response_tokens entropy
    old_policy_kl clip_fraction loss grad_norm learning_rate seconds seconds/generate seconds/update tokens_per_second
    peak_memory_bytes arms turns malformed inadmissible anchor_singletons anchor_group_size anchor_large_groups
"""


class Flaky(envs.TaskEnv):
    """Say a word with a digit in it, twice. The items in ``broken``, such as ``"train 2"``, have no simulator."""

    card = envs.TaskCard("two words", turns=2, splits=("train", "test"), source="generated")
    reward_terms = ("outcome", "format")

    def __init__(self, broken=(), reward_weights=None):
        super().__init__(reward_weights)
        self.broken = tuple(broken)

    def size(self, split):
        return 4

    def source(self, split):
        return "generated"

    def _begin(self, split, index):
        if f"{split} {index}" in self.broken:
            raise OSError(f"no simulator for {split} {index}")
        self.left = 2
        return envs.Start(f"item {index}", item_id=f"{split} {index}")

    def _act(self, action):
        self.left -= 1
        good = any(letter.isdigit() for letter in action)
        return envs.Transition("again", {"outcome": good / 2, "format": good - 1.0}, terminated=self.left == 0)


@pytest.fixture(scope="module", autouse=True)
def registered():
    gymnasium.register("flaky/words-v0", entry_point=Flaky)
    yield
    del gymnasium.registry["flaky/words-v0"]


def with_flaky(config, broken=(), share=0.1):
    """The same run, on the task above."""
    task = TaskConfig(
        name="flaky",
        env_id="flaky/words-v0",
        kwargs={"broken": list(broken)},
        reward_weights={"outcome": 1.0, "format": 1.0},
        prompt="qa",
        max_turns=2,
        max_response_tokens=6,
        max_env_error_share=share,
    )
    return dataclasses.replace(config, task=task, evaluation=EvaluationConfig(items=4, samples=2))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def study(tiny_config_in, tmp_path_factory):
    """A small study, run once: its folder and the results of its arms."""
    folder = tmp_path_factory.mktemp("study")
    results = {arm: run_cell(tiny_config_in(folder, f"layer={arm}", "evaluation.every=1")) for arm in ARMS}
    return folder / "runs" / "default" / "math" / "tiny" / "grpo", results


def cell(study, arm):
    return study[0] / f"layer={arm}" / "seed=0"


def rows_before(study, arm):
    return [row for row in lines(cell(study, arm) / "episodes.jsonl") if row["phase"] == "before"]


# --- what a run leaves ---


@pytest.mark.parametrize("arm", ARMS)
def test_a_result_says_what_was_run_and_how_it_scored(study, arm):
    result = study[1][arm]
    assert (result.status, result.layer, result.seed, result.n_blocks) == ("finished", arm, 0, 4)
    assert (result.task, result.model, result.algorithm) == ("math", "tiny", "grpo")
    assert result.blocks == {"base": [], "full": [0, 1, 2, 3], "1": [1]}[arm]
    assert result.steps == (0 if arm == "base" else 2)
    assert (result.source, result.split, result.model_source) == ("generated", "test", "folder")
    assert 0 <= result.low <= result.score <= result.high <= 1
    assert result.learning_rate == 1e-3
    assert result.seconds > 0
    assert result.peak_memory_bytes > 10**8
    assert result.counts["episodes"] == 16
    assert set(result.versions) >= {"onelayer", "torch", "verl", "transformers", "python"}


def test_an_arm_that_trains_scores_its_start_as_base_does(study):
    results = study[1]
    assert results["full"].score_before == results["1"].score_before == results["base"].score


def test_the_panel_is_the_same_in_every_arm(study):
    results = study[1]
    assert results["base"].panel == results["full"].panel == results["1"].panel
    asked = {
        arm: [(row["item"], row["item_id"], row["sample"], row["sampling_seed"]) for row in rows_before(study, arm)]
        for arm in ARMS
    }
    assert asked["base"] == asked["full"] == asked["1"]
    assert len(set(asked["base"])) == 16


def test_equal_weights_give_equal_answers(study, tiny_config, tmp_path):
    run_cell(tiny_config("layer=base", "seed=7"))  # in a study of its own, which has nothing to copy
    (file,) = tmp_path.rglob("episodes.jsonl")
    again = [row["answer"] for row in lines(file) if row["phase"] == "before"]
    before = {arm: [row["answer"] for row in rows_before(study, arm)] for arm in ARMS}
    assert before["base"] == before["full"] == before["1"] == again


BEFORE, AFTER = ["greedy_before", "before"], ["greedy_after", "after"]


@pytest.mark.parametrize(("arm", "phases"), [("base", BEFORE), ("1", [*BEFORE, "step=1", *AFTER])])
def test_every_attempt_is_a_row(study, arm, phases):
    rows = lines(cell(study, arm) / "episodes.jsonl")
    assert list(dict.fromkeys(row["phase"] for row in rows)) == phases
    assert len(rows) == sum(8 if phase.startswith("greedy_") else 16 for phase in phases)
    for name in study[1][arm].greedy:
        greedy = [row["outcome"] for row in rows if row["phase"] == f"greedy_{name}"]
        assert study[1][arm].greedy[name] == pytest.approx(np.mean(greedy))
    assert list(study[1][arm].greedy) == [name for name in ("before", "after") if f"greedy_{name}" in phases]
    score = np.mean([row["outcome"] for row in rows[-16:]])
    assert study[1][arm].score == pytest.approx(score)


def test_the_audit_shows_which_blocks_moved(study):
    audits = {arm: json.loads((cell(study, arm) / "audit.json").read_text()) for arm in ARMS}
    assert [change > 0 for change in audits["1"]["relative_change_L"]] == [False, True, False, False]
    assert [change > 0 for change in audits["full"]["relative_change_L"]] == [True] * 4
    assert audits["base"]["relative_change_L"] == [0.0] * 4
    assert all(audit["ok"] for audit in audits.values())
    assert [audits[arm]["other"] > 0 for arm in ARMS] == [False, True, False]
    assert study[1]["1"].audit["relative_change"] == audits["1"]["relative_change_L"]


@pytest.mark.parametrize("arm", ["full", "1"])
def test_every_step_is_a_line_with_the_documented_metrics(study, arm):
    steps = lines(cell(study, arm) / "metrics.jsonl")
    assert [step["step"] for step in steps] == [1, 2]
    for step in steps:
        assert set(step) - {"seconds/checkpoint"} == set(PER_STEP.split())
        assert step["reward"] == pytest.approx(step["reward/outcome"] + step["reward/format"])
        assert step["seconds"] > 0
        assert 0 < step["response_tokens"] <= 6
        assert 0 < step["entropy"] < np.log(101)


def test_a_finished_cell_keeps_its_trained_weights_and_no_working_file(study):
    kept = sorted(str(path.relative_to(cell(study, "1"))) for path in cell(study, "1").rglob("*") if path.is_file())
    assert kept == [
        ".lock",
        "audit.json",
        "checkpoint/step=000002/meta.json",
        "checkpoint/step=000002/trained.safetensors",
        "config.yaml",
        "episodes.jsonl",
        "metrics.jsonl",
        "result.json",
    ]
    saved = load_file(cell(study, "1") / "checkpoint" / "step=000002" / "trained.safetensors")
    assert saved
    assert all(".layers.1." in name for name in saved)


def test_the_report_reads_every_cell(study):
    found = read_study(study[0])
    assert found.problems == []
    assert sorted(cell.result.layer for cell in found.cells) == ["1", "base", "full"]


def test_a_finished_cell_is_only_read(study, tiny_config_in, monkeypatch, capsys):
    monkeypatch.setattr(group_module, "make_worker", None)
    again = run_cell(tiny_config_in(study[0].parents[4], "layer=1", "evaluation.every=1"))
    assert again == study[1]["1"]
    assert "finished before, nothing to do" in capsys.readouterr().out


# --- what a step is made of ---


def test_several_turns_broken_environments_and_kl(tiny_config, tmp_path):
    config = tiny_config("algorithm.kl_coef=0.1", "algorithm.groups_per_step=4", "layer=[0,-1]")
    result = run_cell(with_flaky(config, broken=["train 2", "test 2"], share=0.5))
    assert result.blocks == [0, 3]
    assert {name: result.counts[name] for name in ("episodes", "env_errors", "truncated", "turns")} == {
        "episodes": 8,
        "env_errors": 2,
        "truncated": 6,
        "turns": 12,
    }
    folder = tmp_path / "runs" / "default" / "flaky" / "tiny" / "grpo" / "layer=[0,3]" / "seed=0"
    rows = [row for row in lines(folder / "episodes.jsonl") if row["phase"] == "after"]
    assert [row["turns"] for row in rows] == [2, 2, 2, 2, 0, 0, 2, 2]
    assert result.score == pytest.approx(np.mean([row["outcome"] for row in rows if row["status"] != "env_error"]))
    steps = lines(folder / "metrics.jsonl")
    assert [step["env_errors"] for step in steps] == [4, 4]  # one group of four
    assert steps[0]["kl"] == pytest.approx(0.0, abs=1e-7)
    assert steps[1]["kl"] > 0


def test_a_step_that_loses_too_many_episodes_fails_with_their_cause(tiny_config, tmp_path):
    message = r"4 of 16 episodes were lost .*\(task.max_env_error_share=0.1\): OSError: no simulator for train 2"
    with pytest.raises(EnvironmentsBrokenError, match=message):
        run_cell(with_flaky(tiny_config("algorithm.groups_per_step=4"), broken=["train 2"]))
    assert not list(tmp_path.rglob("result.json"))


def test_a_panel_without_a_single_score_fails_before_training(tiny_config, tmp_path):
    with pytest.raises(EnvironmentsBrokenError, match="4 of 4 episodes were lost"):
        run_cell(with_flaky(tiny_config(), broken=[f"test {item}" for item in range(4)]))
    assert not any(lines(file) for file in tmp_path.rglob("metrics.jsonl"))
    assert not list(tmp_path.rglob("result.json"))


def test_adapters_are_trained_audited_and_kept(tiny_config, tmp_path):
    result = run_cell(tiny_config("model.lora_rank=4", "layer=2", "algorithm.kl_coef=0.1"))
    assert [change > 0 for change in result.audit["relative_change"]] == [False, False, True, False]
    (file,) = tmp_path.rglob("trained.safetensors")
    assert load_file(file)
    assert all("lora_" in name and ".layers.2." in name for name in load_file(file))


def test_a_run_without_signal_says_so_and_leaves_no_result(tiny_config, tmp_path):
    with pytest.raises(
        NoSignalError, match=r"no group of 2 steps had answers of different reward.*algorithm.group_size"
    ):
        run_cell(tiny_config("task.reward_weights.outcome=0", "task.reward_weights.format=0"))
    assert not list(tmp_path.rglob("result.json"))


def test_a_mask_that_leaks_fails_the_run_after_its_first_update(tiny_config, tmp_path, monkeypatch):
    update = LocalWorker.update

    def leaking(worker, work):
        frozen = next(p for name, p in worker.parameters(0).items() if "layers.3.mlp.up_proj" in name)
        frozen.data.add_(1e-6)
        return update(worker, work)

    monkeypatch.setattr(LocalWorker, "update", leaking)
    with pytest.raises(AuditError, match=r"failed after step 1: frozen parameter .*layers.3.mlp.up_proj.weight moved"):
        run_cell(tiny_config())
    assert not list(tmp_path.rglob("result.json"))


def test_every_item_is_seen_once_per_pass_and_every_sample_has_its_own_seed(tiny_config):
    def starts_of(*words):
        config = with_flaky(tiny_config(*words))
        trainer = Trainer(config, [], None, None, Flaky().size("train"), Meter())
        return [trainer._starts(step) for step in range(6)]

    steps = starts_of()
    items = [start.index for step in steps for start in step if start.sample == 0]
    assert [len(step) for step in steps] == [8] * 6
    assert [sorted(items[first : first + 4]) for first in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert items[:4] != items[4:8] or items[4:8] != items[8:]
    for step in steps:
        assert [(start.group, start.sample) for start in step] == [(g, s) for g in range(2) for s in range(4)]
    assert len({start.sampling_seed for step in steps for start in step}) == 48
    assert starts_of() == steps
    assert starts_of("seed=1") != steps
