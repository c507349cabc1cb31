"""Whatever is wrong with a study's files is named, and the rest is still reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_study import WriteCell
from synthetic_training import write_training

from evaluation.report import __main__ as report

PLACE = "math/smollm2_135m/grpo"


def solved(n_solved: int) -> np.ndarray:
    """``scores_IK`` of 40 items x 2 samples, the first items solved."""
    return np.repeat((np.arange(40) < n_solved).astype(float)[:, None], 2, axis=1)


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about words; drawing takes seconds."""
    monkeypatch.setattr(report, "write_report", lambda view: [])


@pytest.fixture
def study(write_cell: WriteCell) -> Path:
    """Base 0.10, full 0.50, block 15 0.45, and block 7 for each test to break."""
    for layer, n_solved in (("base", 4), ("full", 20), ("15", 18), ("7", 10)):
        folder = write_cell(solved(4), solved(n_solved), layer=layer)
    return folder.parents[4]


def reported(study: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, str], list[str]]:
    """What is left out and why, by the path in the study; and the layers that are reported."""
    assert report.main([str(study), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    return {problem["path"]: problem["reason"] for problem in data["problems"]}, [
        arm["layer"] for arm in data["comparisons"][0]["arms"]
    ]


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("result.json", '"schema": 1', '"schema": 2', "field schema: expected 1, found 2"),
        ("result.json", '"status": "finished"', '"status": "failed"', "expected 'finished', found 'failed'"),
        ("result.json", '"score": 0.25', '"score": NaN', "field score"),
        ("result.json", '"score": 0.25', '"score": 0.5', "the rows' score is 0.25, result.json says 0.5"),
        ("episodes.jsonl", '"outcome": 1.0', '"outcome": NaN', "line 1: field outcome"),
        ("episodes.jsonl", '"outcome": 1.0', '"outcome": 7.0', "expected a number in [0, 1], found 7.0"),
        ("episodes.jsonl", '"sample": 1', '"sample": 0', "there twice"),
        ("episodes.jsonl", '"sample": 1', '"sampel": 1', "line 2: field sample"),
    ],
)
def test_one_bad_file_costs_one_cell(
    study: Path, capsys: pytest.CaptureFixture[str], file: str, before: str, after: str, words: str
) -> None:
    change(study / PLACE / "layer=7" / "seed=0" / file, before, after)
    problems, layers = reported(study, capsys)
    assert list(problems) == [f"{PLACE}/layer=7/seed=0"] and words in problems[f"{PLACE}/layer=7/seed=0"]
    assert layers == ["base", "full", "15"]


@pytest.mark.parametrize("file", ["result.json", "episodes.jsonl"])
def test_a_torn_file_is_named(study: Path, capsys: pytest.CaptureFixture[str], file: str) -> None:
    path = study / PLACE / "layer=7" / "seed=0" / file
    path.write_bytes(path.read_bytes()[:-30])
    problems, layers = reported(study, capsys)
    reason = problems[f"{PLACE}/layer=7/seed=0"]
    assert ("torn" if file == "episodes.jsonl" else "not JSON") in reason and "7" not in layers


def test_bytes_that_are_no_text_are_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / PLACE / "layer=7" / "seed=0" / "result.json").write_bytes(b"\xff\xfe\x00")
    problems, _ = reported(study, capsys)
    assert list(problems) == [f"{PLACE}/layer=7/seed=0"]


def test_another_panel_is_not_paired(study: Path, write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    write_cell(solved(4)[:30], solved(18)[:30], layer="8")
    problems, layers = reported(study, capsys)
    assert problems[f"{PLACE}/layer=8/seed=0"].startswith("another panel than the study's other cells, not paired")
    assert "8" not in layers and "7" in layers


def test_a_cell_that_is_there_twice_counts_once(
    study: Path, write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(solved(4), solved(30), layer="15", folder=f"{PLACE}/layer=15/seed=0 (copy)")
    write_cell(solved(4), solved(2), layer="15", folder="a copy/smollm2_135m/grpo/layer=15/seed=0")
    problems, layers = reported(study, capsys)
    used = f"duplicate: the same cell as {PLACE}/layer=15/seed=0, which is used"
    assert problems[f"{PLACE}/layer=15/seed=0 (copy)"] == used
    assert problems["a copy/smollm2_135m/grpo/layer=15/seed=0"] == used
    assert layers.count("15") == 1


def test_a_study_that_runs_is_reported_with_what_is_there(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_training(study / PLACE / "layer=9" / "seed=0", n_steps=12)
    (study / PLACE / "layer=10" / "seed=0").mkdir(parents=True)
    problems, layers = reported(study, capsys)
    assert problems[f"{PLACE}/layer=9/seed=0"].startswith("unfinished: no result.json; 12 of 30 steps are logged")
    assert problems[f"{PLACE}/layer=10/seed=0"] == "unfinished: no result.json; no steps are logged"
    assert layers == ["base", "full", "7", "15"]


def test_a_torn_line_of_metrics_costs_no_cell(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = write_training(study / PLACE / "layer=7" / "seed=0")
    with (cell / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "rew')
    problems, layers = reported(study, capsys)
    assert list(problems) == [f"{PLACE}/layer=7/seed=0/metrics.jsonl"] and "7" in layers


def test_everything_at_once(study: Path, write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    change(study / PLACE / "layer=7" / "seed=0" / "result.json", '"schema": 1', '"schema": 9')
    write_cell(solved(4), solved(30), layer="15", folder=f"{PLACE}/layer=15/seed=0 (copy)")
    write_cell(solved(4), solved(9), layer="3", source="another file")
    write_training(study / PLACE / "layer=9" / "seed=0")
    problems, layers = reported(study, capsys)
    assert len(problems) == 4 and layers == ["base", "full", "15"]
