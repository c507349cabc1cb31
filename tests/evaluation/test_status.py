"""How far a study is: what is done, running, cut off, failed and owed, why, and how long it still takes."""

from __future__ import annotations

import fcntl
import json

import numpy as np
import pytest

from evaluation.pace import Pace, duration
from evaluation.progress import Asked, Failure, add_to_plan, forget_failure, read_failure, read_plan, write_failure
from evaluation.states import states_of
from evaluation.status import main

FAMILY = "math/smollm2_135m/grpo"
BEFORE, AFTER = np.zeros((4, 2)), np.ones((4, 2))


def asked(layer, seed=0, **changed):
    fields = {"cell": f"{FAMILY}/layer={layer}/seed={seed}", "steps": 30, "command": f"layer={layer} seed={seed}"}
    return Asked(**{**fields, "sweep": "python run.py -m layer=all", "at": "2026-11-23T01:00:00+00:00", **changed})


def begin(study, layer, steps, share=10.0, arms=1, seed=0):
    """A cell that has taken some steps: its settings and a line per step."""
    folder = study / FAMILY / f"layer={layer}" / f"seed={seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("steps: 30\n")
    lines = [json.dumps({"step": step + 1, "seconds": share, "arms": arms}) for step in range(steps)]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.fixture
def study(write_cell, tmp_path):
    """Block 15 is done, block 3 runs, block 4 failed, block 5 was cut off, blocks 6 and 99 were asked for."""
    write_cell(BEFORE, AFTER, layer="15", seconds=330.0)
    folder = tmp_path / "runs" / "demo"
    lines = [asked(layer) for layer in ("15", "3", "4", "5", "6")]
    wrong = asked("99", cell="", refused="layer=99 is out of range; this model has 30 blocks, 0 to 29")
    add_to_plan(folder, [*lines, wrong])
    begin(folder, "3", steps=10)
    write_failure(begin(folder, "4", steps=7), Failure("out of memory", "RuntimeError", 7))
    begin(folder, "5", steps=2)
    return folder


@pytest.fixture
def running(study):
    """A process that holds block 3; it says that its number is 4711."""
    with (study / FAMILY / "layer=3/seed=0/.lock").open("w+") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("running")
def test_every_cell_has_its_state_and_a_failure_its_cause(study):
    found = {state.layer or "99": (state.state, state.step, state.cause) for state in states_of(study)}
    assert found == {
        "15": ("done", 0, ""),
        "3": ("running", 10, ""),
        "4": ("failed", 7, "out of memory (after step 7)"),
        "5": ("cut off", 2, ""),
        "6": ("owed", 0, ""),
        "99": ("failed", 0, "layer=99 is out of range; this model has 30 blocks, 0 to 29"),
    }


def test_a_process_that_has_gone_holds_nothing(study):
    assert [state.state for state in states_of(study) if state.layer == "3"] == ["cut off"]


@pytest.mark.usefixtures("running")
def test_the_pace_of_a_cell_says_when_it_and_the_study_end(study):
    states = states_of(study)
    pace = Pace(states)
    (three,) = [state for state in states if state.layer == "3"]
    assert three.process == "4711"
    assert pace.cell_s(three) == 20 * 10.0
    # What is beyond a finished cell's steps, 330 s here, is each one's too; the failed one begins where it stood.
    assert pace.study_s() == (20 + 23 + 28 + 30) * 10.0 + 4 * 330.0


@pytest.mark.usefixtures("running")
def test_cells_side_by_side_share_their_seconds(study):
    begin(study, "7", steps=10, share=5.0, arms=8)
    states = states_of(study)
    assert [Pace(states).cell_s(state) for state in states if state.layer == "7"] == [None]
    with (study / FAMILY / "layer=7/seed=0/.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        states = states_of(study)
        assert [Pace(states).cell_s(state) for state in states if state.layer == "7"] == [20 * 5.0 * 8]


@pytest.mark.usefixtures("running")
def test_the_table_says_it_all(study, capsys):
    assert main([str(study)]) == 1
    printed = capsys.readouterr().out
    assert "failed: math/smollm2_135m/grpo/layer=4/seed=0: out of memory (after step 7)" in printed
    assert "cut off: math/smollm2_135m/grpo/layer=5/seed=0: after step 2 of 30; nobody is at work on it" in printed
    assert "failed: layer=99: layer=99 is out of range" in printed
    assert "python run.py -m layer=all" in printed
    assert "10/30" in printed
    assert "About 39 min to go with 1 process at work." in printed


@pytest.mark.usefixtures("running")
def test_the_same_as_json(study, capsys):
    assert main([str(study), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["counts"] == {"done": 1, "running": 1, "cut off": 1, "failed": 2, "owed": 1}
    assert {cell["state"]: cell["seconds_left"] for cell in data["cells"]}["running"] == 200.0


def test_a_finished_study_is_a_success_and_none_an_error(write_cell, tmp_path, capsys):
    write_cell(BEFORE, AFTER)
    assert main([str(tmp_path / "runs" / "demo")]) == 0
    (tmp_path / "runs" / "pictures").mkdir()
    assert main([str(tmp_path / "runs" / "dmeo")]) == 2
    assert capsys.readouterr().err.endswith(f"studies nearby: {tmp_path / 'runs' / 'demo'}\n")


@pytest.mark.parametrize("typed", ["dmeo", "runs/dmeo"])
def test_a_study_is_looked_for_where_its_name_says(typed, write_cell, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cell(BEFORE, AFTER)
    assert main([typed]) == 2
    assert capsys.readouterr().err == f"error: study {typed} is no folder; studies nearby: runs/demo\n"


@pytest.mark.parametrize("damage", ["gone", "torn", "nan"])
def test_a_finished_cell_that_the_report_cannot_read_has_failed(damage, study):
    file = study / FAMILY / "layer=15/seed=0/episodes.jsonl"
    text = file.read_text()
    file.unlink()
    if damage != "gone":
        file.write_text(text[:-9] if damage == "torn" else text.replace('"outcome": 0.0', '"outcome": NaN', 1))
    (fifteen,) = [state for state in states_of(study) if state.layer == "15"]
    assert fifteen.state == "failed"
    assert str(file) in fifteen.cause
    assert fifteen.cause.endswith(f"delete the folder {file.parent}, and the same command runs the cell anew")


def test_what_an_earlier_command_mistyped_is_forgotten(study):
    add_to_plan(study, [asked("6", at="2026-11-24T01:00:00+00:00")])
    assert all(state.name for state in states_of(study))


def test_a_torn_line_of_the_plan_is_counted_and_the_rest_read(study, capsys):
    with (study / "plan.jsonl").open("a") as file:
        file.write('{"cell": "math/smo')
    lines, bad = read_plan(study)
    assert (len(lines), bad) == (6, 1)
    main([str(study)])
    assert "plan.jsonl: 1 lines could not be read" in capsys.readouterr().out


def test_a_cause_is_kept_until_it_is_forgotten(tmp_path):
    write_failure(tmp_path / "cell", Failure("no", "ValueError", 3, at="now"))
    assert read_failure(tmp_path / "cell") == Failure("no", "ValueError", 3, at="now")
    (tmp_path / "cell" / "failure.json").write_text("{")
    assert "failure.json cannot be read" in read_failure(tmp_path / "cell").error
    forget_failure(tmp_path / "cell")
    assert read_failure(tmp_path / "cell") is None


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (720, "12 min"), (11100, "3 h 05 min")])
def test_seconds_in_words(seconds, words):
    assert duration(seconds) == words
