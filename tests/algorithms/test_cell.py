"""The folder of a cell: where it is, who holds it, with which settings it was made."""

import multiprocessing
import os
from dataclasses import replace

import pytest
import yaml

from algorithms.cell import Cell, CellError
from evaluation.results import PanelRow

ROW = PanelRow(
    phase="before",
    item=3,
    item_id="q3",
    sample=0,
    outcome=1.0,
    success=True,
    status="done",
    reward_terms={"outcome": 1.0},
    turns=1,
    tokens=2,
    truncated=False,
    prompt="What is 1 + 1?",
    answer="2",
    sampling_seed=7,
)


def test_the_path_spells_out_the_cell(tiny_config, tmp_path):
    cell = Cell(tiny_config("study=sums", "seed=3", "task.name=math/gsm8k"), "mid:1")
    assert cell.folder == tmp_path / "runs" / "sums" / "math-gsm8k" / "tiny" / "grpo" / "layer=mid:1" / "seed=3"
    assert not (tmp_path / "runs").exists()


def hold(config, held, release):
    """Hold the cell of ``config`` in another process until told to let go."""
    with Cell(config, "1").locked():
        held.set()
        release.wait(30)


def test_a_second_process_is_refused_and_told_who_holds_the_cell(tiny_config):
    config, context = tiny_config(), multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(config, held, release))
    other.start()
    assert held.wait(30)
    message = rf"layer=1/seed=0 is being run by process {other.pid}; wait or stop it"
    with pytest.raises(CellError, match=message), Cell(config, "1").locked():
        pytest.fail("two processes hold one cell")
    with Cell(config, "2").locked():
        pass  # another cell of the study is free
    release.set()
    other.join(30)
    with Cell(config, "1").locked():
        assert (Cell(config, "1").folder / ".lock").read_text() == str(os.getpid())


def test_a_process_that_dies_lets_go(tiny_config):
    config, context = tiny_config(), multiprocessing.get_context("fork")
    held = context.Event()
    other = context.Process(target=hold, args=(config, held, context.Event()))
    other.start()
    assert held.wait(30)
    other.kill()
    other.join(30)
    with Cell(config, "1").locked():
        pass


@pytest.mark.parametrize(
    "words",
    [
        ["layer=full"],
        ["seed=5"],
        ["runner.threads=3"],
        ["runner.max_tokens_per_pass=128"],
        ["tracker.name=wandb"],
        ["checkpoint_every=1"],
    ],
)
def test_cells_of_a_study_may_differ_in(tiny_config, words):
    Cell(tiny_config(), "1").claim({"model_source": "folder"})
    Cell(tiny_config(*words), "1").claim({"model_source": "folder"})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps=3", "Differs: steps: 2 there, 3 here. Use another study=<name>"),
        ("algorithm.kl_coef=0.1", "Differs: algorithm.kl_coef: 0.0 there, 0.1 here"),
        ("task.reward_weights.format=0.5", "Differs: task.reward_weights.format: 1.0 there, 0.5 here"),
        ("task.kwargs.size=10", "Differs: task.kwargs.size: absent there, 10 here"),
        ("evaluation.seed=1", "Differs: evaluation.seed: 0 there, 1 here"),
        ("model.path=/elsewhere", "Differs: model.path: .* there, /elsewhere here"),
    ],
)
def test_a_study_made_with_other_settings_is_refused_key_by_key(tiny_config, word, message):
    Cell(tiny_config(), "1").claim({"model_source": "folder"})
    with pytest.raises(CellError, match=message):
        Cell(tiny_config(word), "2").claim({"model_source": "folder"})
    assert not Cell(tiny_config(word), "2").folder.exists()


def test_weights_from_another_place_are_another_setting(tiny_config):
    Cell(tiny_config(), "1").claim({"model_source": "hub"})
    with pytest.raises(CellError, match=r"Differs: identity\.model_source: hub there, wheel here"):
        Cell(tiny_config(), "1").claim({"model_source": "wheel"})


def test_every_differing_key_is_listed(tiny_config):
    Cell(tiny_config(), "1").claim({"model_source": "folder"})
    with pytest.raises(CellError, match=r"algorithm.clip_ratio: 0.2 there, 0.3 here; steps: 2 there, 9 here"):
        Cell(tiny_config("steps=9", "algorithm.clip_ratio=0.3"), "1").claim({"model_source": "folder"})


def test_tasks_models_and_algorithms_of_a_study_have_settings_of_their_own(tiny_config):
    Cell(tiny_config(), "1").claim({"model_source": "folder"})
    Cell(tiny_config("steps=9", algorithm="dr_grpo"), "1").claim({"model_source": "folder"})
    Cell(tiny_config("steps=9", "model.name=other"), "1").claim({"model_source": "folder"})


def test_a_claimed_cell_records_all_of_its_settings(tiny_config):
    cell = Cell(tiny_config("layer=[0,2]"), "[0,2]")
    cell.claim({"model_source": "folder"})
    recorded = yaml.safe_load((cell.folder / "config.yaml").read_text())
    assert (recorded["layer"], recorded["steps"], recorded["algorithm"]["group_size"]) == ([0, 2], 2, 4)


def test_rows_are_kept_by_phase(tiny_config):
    cell = Cell(tiny_config(), "1")
    assert cell.rows("before") == []
    cell.add_rows([ROW, replace(ROW, sample=1)])
    after = [replace(ROW, phase="after"), replace(ROW, phase="after", sample=1)]
    cell.add_rows(after)
    assert [row.sample for row in cell.rows("before")] == [0, 1]
    assert cell.rows("after") == after


def test_a_phase_that_lost_rows_is_an_error_with_a_way_out(tiny_config):
    cell = Cell(tiny_config(), "1")
    cell.add_rows([ROW])
    with pytest.raises(CellError, match=r"episodes\.jsonl: rows of phase before are missing; delete the file"):
        cell.rows("before")


def test_an_unfinished_cell_has_no_result(tiny_config):
    assert Cell(tiny_config(), "1").result is None
