"""What fails leaves its cause in the cell's folder, and what is asked for is written down before anything begins."""

from __future__ import annotations

import shutil

import pytest
from command_line import Command

from algorithms.arm import ArmsFailedError
from algorithms.cell import Cell, CellError
from algorithms.study import run_cell, run_cells
from algorithms.trainer import NoSignalError, Trainer
from evaluation.progress import read_failure, read_plan
from evaluation.states import states_of

NOTHING_TO_LEARN = ("task.reward_weights.outcome=0", "task.reward_weights.format=0")


def cause_in(folder, layer):
    (cell,) = folder.rglob(f"layer={layer}/seed=0")
    return read_failure(cell)


def test_a_cell_that_fails_alone_leaves_its_cause_and_success_removes_it(tiny_config, tmp_path):
    with pytest.raises(NoSignalError):
        run_cell(tiny_config(*NOTHING_TO_LEARN))
    failure = cause_in(tmp_path, "1")
    assert (failure.kind, failure.step) == ("NoSignalError", 2)
    assert "no group of 2 steps had answers of different reward" in failure.error
    (state,) = states_of(tmp_path / "runs" / "default")
    assert (state.state, state.cause) == ("failed", failure.error + " (after step 2)")
    shutil.rmtree(tmp_path / "runs")
    run_cell(tiny_config("steps=1"))
    assert cause_in(tmp_path, "1") is None


def test_of_cells_side_by_side_only_those_that_fail_leave_a_cause(tiny_config, tmp_path, monkeypatch):
    audit = Trainer._audit

    def failing(trainer, arm, fingerprints):
        if arm.selection.label == "2":
            raise RuntimeError("out of memory")
        return audit(trainer, arm, fingerprints)

    monkeypatch.setattr(Trainer, "_audit", failing)
    with pytest.raises(ArmsFailedError):
        run_cells([tiny_config("layer=1", "steps=1"), tiny_config("layer=2", "steps=1")])
    assert cause_in(tmp_path, "1") is None
    assert cause_in(tmp_path, "2").error == "out of memory"
    monkeypatch.undo()
    run_cells([tiny_config("layer=1", "steps=1"), tiny_config("layer=2", "steps=1")])
    assert cause_in(tmp_path, "2") is None


def test_a_bug_leaves_its_cause_too(tiny_config, tmp_path, monkeypatch):
    def broken(*_):
        raise AssertionError("a bug")

    monkeypatch.setattr(Trainer, "_take", broken)
    with pytest.raises(AssertionError):
        run_cell(tiny_config())
    assert cause_in(tmp_path, "1").kind == "AssertionError"


def test_what_is_wrong_with_all_cells_is_every_ones_cause(tiny_config, tmp_path):
    wrong = [tiny_config(f"layer={layer}", "task.kwargs.dataset=nope") for layer in (0, 1)]
    with pytest.raises(ValueError, match="nope"):
        run_cells(wrong)
    assert all("easy, two_digit" in cause_in(tmp_path, layer).error for layer in (0, 1))


def test_a_cell_in_other_hands_has_not_failed(tiny_config, tmp_path):
    with Cell(tiny_config(), "1").locked(), pytest.raises(CellError, match="is being run by process"):
        run_cell(tiny_config())
    assert cause_in(tmp_path, "1") is None


def test_a_sweep_writes_down_every_cell_it_asks_for(tiny_words, tmp_path):
    """The second task does not exist where it is looked for: its cells fail, the others run."""
    words = [word for word in tiny_words if not word.startswith("layer=")]
    small = ["steps=1", "evaluation.items=2", "evaluation.samples=1", f"runs_dir={tmp_path / 'runs'}"]
    sweep = ["layer=base,-1", "seed=0,1", "task.kwargs.dataset=easy,nope", "study=asked"]
    command = Command(tmp_path / "output", "run.py", "-m", *words, *small, *sweep)
    assert command.end() == 1, command.output
    study = tmp_path / "runs" / "asked"
    asked, bad = read_plan(study)
    cells = {f"math/tiny/grpo/layer={layer}/seed={seed}" for layer in ("base", "3") for seed in (0, 1)}
    assert ({line.cell for line in asked}, bad) == (cells, 0)
    assert {line.steps for line in asked} == {0, 1}
    assert all(line.sweep.startswith("python run.py -m ") for line in asked)
    assert {state.name: state.state for state in states_of(study)} == dict.fromkeys(cells, "done")
    status = Command(tmp_path / "status", "run.py", "--status", str(study))
    assert status.end() == 0
    assert "done" in status.output


def test_all_is_written_down_arm_by_arm_before_the_first_begins(tiny_words, tmp_path):
    words = [word for word in tiny_words if not word.startswith("layer=")]
    wrong = ["layer=all", "task.kwargs.dataset=nope", f"runs_dir={tmp_path / 'runs'}"]
    command = Command(tmp_path / "output", "run.py", *words, *wrong)
    assert command.end() == 1, command.output
    found = {state.layer: state.state for state in states_of(tmp_path / "runs" / "default")}
    assert found == {"base": "failed", **dict.fromkeys(["full", *"0123"], "owed")}
