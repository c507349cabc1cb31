"""``python run.py ... --plan``: what it prints of a command, from where, and that it writes nothing."""

from __future__ import annotations

import json
import re

import pytest
from command_line import Command
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict

from algorithms.flags import SHOW_PLAN, hydra_words
from algorithms.planning import PlanCallback
from conf import schema


@pytest.fixture
def shown(capsys, tmp_path):
    """``shown("layer=all", "seed=0,1")``: exit code, tables and errors of the plan of such a multirun."""
    schema.register()

    def of(*words, multirun=True):
        words = [*words, f"runs_dir={tmp_path / 'runs'}"]
        with initialize_config_module("conf", version_base="1.3"):
            config = compose("config", [] if multirun else words, return_hydra_config=True)
            OmegaConf.set_readonly(config.hydra, False)
            with open_dict(config):
                config.hydra.overrides.task = words
            begin = PlanCallback(show=True).on_multirun_start if multirun else PlanCallback(show=True).on_run_start
            with pytest.raises(SystemExit) as left:
                begin(config)
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return of


def row(text, *words):
    """The cells of the only line of a table that holds all words."""
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return re.split(r"\s{2,}", line.strip())


def column(text, name):
    """The cells of that column of the memory table, by the names of its lines."""
    lines = iter(text.splitlines())
    end = next(found.end() for line in lines if (found := re.search(rf"  {name}(?= |$)", line)))
    next(lines)
    found = {}
    for line in lines:
        if not line.strip():
            return found
        cell = line[:end].rsplit("  ", 1)[-1].strip()
        found[re.split(r"\s{2,}", line.strip())[0]] = cell
    raise AssertionError(f"the table with {name} does not end")


def test_the_plan_of_8b_names_the_ranks_that_every_kind_of_arm_needs(shown, tmp_path):
    code, text, _ = shown("model=qwen3_8b_base", "layer=all", multirun=False)
    assert code == 0
    assert "Plan of 38 cells, 0 of them finished. Nothing is launched or written." in text
    assert "task=math model=qwen3_8b_base algorithm=grpo\n" in text
    cost = {kind: row(text, f" {kind} ", "model") for kind in ("base", "full", "one block")}
    assert [cost[kind][1:5] for kind in cost] == [["1", "1", "1", "1"], ["1", "1", "1", "5"], ["36", "36", "1", "1"]]
    assert "full of qwen3_8b_base on math: too large for runner=local, planned for runner=cluster" in text
    assert "runner=cluster runner.engine=vllm runner.ranks=5." in text
    assert "plan.devices=1 is 4 too few for 5 ranks." in text
    assert column(text, "36 fused in one bank")["ranks"] == "none fits"
    assert "Sizes: model.shape of qwen3_8b_base (conf/model)." in text
    assert "layer=all is one job" in text
    assert not (tmp_path / "runs").exists()


def test_on_a_cluster_a_cell_takes_the_ranks_it_is_given_and_is_told_of_those_it_lacks(shown):
    words = ("model=qwen3_8b_base", "runner=cluster", "runner.ranks=4", "runner.engine=vllm", "plan.devices=8")
    _, text, _ = shown(*words, "layer=full,35")
    assert [row(text, f" {kind} ", "model")[4] for kind in ("full", "one block")] == ["5", "4"]
    assert "full of qwen3_8b_base on math needs runner.ranks=5; 4 are too few." in text
    assert column(text, "full")["sampling"] == "40"  # the server's half of 80 GB
    assert [column(text, kind)["ranks"] for kind in ("full", "one block")] == ["5", "4"]
    assert [column(text, kind)["weights"] for kind in ("full", "one block")] == ["6.55", "8.19"]  # 8.19e9 parameters
    assert "bank" not in text
    _, text, _ = shown(*words, "layer=full", "runner.gpu_memory_share=0.25")
    assert row(text, " full ", "model")[4] == "4"
    assert "too few" not in text


def test_the_memory_of_a_rank_is_given_part_by_part(shown):
    _, text, _ = shown("model=qwen3_8b_base", "layer=full")
    # float32 weights, what is gathered, vLLM's half, gradients, two moments: 8.19e9 parameters on 5 ranks
    parts = {"weights": "6.55", "gathered": "3.26", "sampling": "40", "gradients": "6.55", "optimizer": "13.1"}
    assert column(text, "full").items() >= {"ranks": "5", **parts}.items()


def test_hours_follow_the_device_and_what_is_assumed_of_it(shown):
    words = ("model=qwen3_1_7b_base", "layer=full", "runner.rollout_batch=64")
    hours = [
        float(row(shown(*words, *more)[1], " full ", "model")[5])
        for more in ((), ("plan.share_of_peak=0.15", "plan.share_of_bandwidth=0.25"), ("plan=a100",))
    ]
    assert hours[1] == pytest.approx(2 * hours[0], rel=0.02)
    assert hours[2] > hours[0]


def test_seeds_and_layers_are_counted_and_a_device_has_one_cell_unless_asked(shown):
    words = ("model=qwen3_1_7b_base", "layer=0,1,2", "seed=0,1", "plan.devices=6")
    _, text, _ = shown(*words)
    assert row(text, "one block", "model")[1:4] == ["6", "3", "2"]
    assert "With at most one cell on a GPU:" in text
    _, shared, _ = shown(*words, "plan.cells_per_device=2")
    assert "With at most 2 cells on a GPU:" in shared
    assert "where 36 of 80 may be used" in shared


def test_names_that_differ_are_columns_and_every_model_has_a_memory_of_its_own(shown):
    _, text, _ = shown("model=qwen3_8b_base,qwen3_1_7b_base", "algorithm=grpo,gigpo", "layer=full")
    assert "task=math\n" in text
    assert row(text, "qwen3_8b_base ", "gigpo")[:3] == ["qwen3_8b_base", "gigpo", "full"]
    assert "qwen3_8b_base, math" in text
    assert "qwen3_1_7b_base, math" in text


def test_a_narrow_terminal_cuts_no_figure(monkeypatch, shown):
    words = ("model=qwen3_8b_base", "task=math/gsm8k", "layer=all")
    _, piped, _ = shown(*words)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    _, narrow, _ = shown(*words)
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow
    assert sorted(narrow.split()) == sorted(piped.split())


def test_jobs_that_name_no_cell_are_errors_and_the_others_are_planned(shown):
    code, text, errors = shown("model=smollm2_135m", "layer=0,99,foo")
    assert code == 1
    assert "Plan of 1 cells" in text
    assert "layer=99 is out of range; this model has 30 blocks, 0 to 29" in errors
    assert "layer='foo' does not parse" in errors


def test_a_model_of_unknown_size_is_not_guessed(shown):
    code, text, errors = shown("model=local", "model.name=mine", "model.path=/nowhere", "layer=0,1")
    assert code == 1
    assert "Plan of" not in text
    assert "model.path=/nowhere holds no config.json" in errors
    code, text, _ = shown(
        "model=local", "model.name=mine", "model.hub_id=no/such", "model.path=null", "model.n_blocks=4", "layer=0"
    )
    assert code == 0
    assert "Not known: the size of model mine is not known" in text
    assert row(text, "one block", "?")[4] == "?"


def test_a_value_that_makes_no_sense_is_named(shown):
    code, _, errors = shown("plan.devices=0", "layer=0")
    assert code == 1
    assert "plan.devices=0 is not valid" in errors


def begin(tmp_path, layer, n_steps, share_s):
    """A cell of the default study that has taken some steps."""
    folder = tmp_path / "runs/default/math/smollm2_135m/grpo" / f"layer={layer}" / "seed=0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("steps: 30\n")
    lines = [json.dumps({"step": step + 1, "seconds": share_s, "arms": 1}) for step in range(n_steps)]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_seconds_that_the_study_has_measured_take_the_models_place_for_cells_of_the_kind(shown, tmp_path):
    begin(tmp_path, "3", 10, 36.0)
    _, text, _ = shown("layer=full,3,4")
    assert row(text, " full ", "model")[-1] == "model"
    blocks = row(text, "one block", "measured")
    assert blocks[-1] == "measured"
    assert float(blocks[-2]) == pytest.approx((20 + 30) * 36 / 3600)
    assert "Measured: cells of the same study" in text
    assert sorted(path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()) == [
        "config.yaml",
        "metrics.jsonl",
    ]


def test_the_flag_stands_anywhere_and_its_word_beside_the_others():
    assert hydra_words(["a=1", "-m", "--plan"]) == [SHOW_PLAN, "a=1", "-m"]
    assert hydra_words(["--plan", "-m", "a=1"]) == ["-m", SHOW_PLAN, "a=1"]
    assert hydra_words(["--plan"]) == [SHOW_PLAN]
    assert hydra_words(["-m", "a=1,2"]) == ["-m", "a=1,2"]


@pytest.mark.parametrize("flags", [["--plan"], ["-m", "--plan"]])
def test_a_user_sees_the_plan_and_finds_nothing_written(tiny_words, tmp_path, flags):
    words = [*tiny_words, f"runs_dir={tmp_path / 'runs'}", "plan=cpu"]
    command = Command(tmp_path / "output", "run.py", *flags, *words)
    assert command.end() == 0, command.output
    assert "Plan of 1 cells, 0 of them finished." in command.output
    assert "CPU h" in command.output
    assert not (tmp_path / "runs").exists()


def test_finished_cells_are_counted_apart_and_cost_nothing(tiny_words, tmp_path):
    words = [*tiny_words, f"runs_dir={tmp_path / 'runs'}", "steps=1", "evaluation.items=2", "plan=cpu", "layer=base"]
    command = Command(tmp_path / "first", "run.py", *words)
    assert command.end() == 0, command.output
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    command = Command(
        tmp_path / "second", "run.py", "-m", "--plan", *[w for w in words if w[:6] != "layer="], "layer=base,0"
    )
    assert command.end() == 0, command.output
    assert "Plan of 2 cells, 1 of them finished." in command.output
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
