"""The report on studies that are whole, lacking, mixed up or not there."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from synthetic_study import WriteCell

from evaluation.captions import command, folded
from evaluation.report import __main__ as report
from evaluation.report.__main__ import main
from evaluation.report.tables import summary_table
from evaluation.results import read_result


def solved(n_solved: int, n_items: int = 40, samples: int = 2) -> np.ndarray:
    """``scores_IK`` with the first items solved."""
    return np.repeat((np.arange(n_items) < n_solved).astype(float)[:, None], samples, axis=1)


BASE = solved(4)


@pytest.fixture
def study(write_cell: WriteCell) -> Path:
    """Base 0.10, full 0.50, block 15 0.45, block 29 ties full, block 0 gains nothing."""
    folder = write_cell(BASE, BASE, layer="base")
    for layer, n_solved in (("full", 20), ("15", 18), ("29", 20), ("0", 4), ("mid:5", 22)):
        write_cell(BASE, solved(n_solved), layer=layer)
    return folder.parents[4]


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about what is printed; ``test_page.py`` is about files, whose figures take seconds."""
    monkeypatch.setattr(report, "write_report", lambda view: [])


def printed(study: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main([str(study), *options]) == 0
    return capsys.readouterr().out


def test_the_table_by_hand(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(study, capsys)
    rows = [line.split() for line in text.splitlines()]
    labels = ["base", "full", "0", "15", "29", "mid:5"]
    assert [row[0] for row in rows if row and row[0] in labels] == labels
    (row,) = [" ".join(row) for row in rows if row and row[0] == "15"]
    assert row.startswith("15 15 0.52 0 0.100 0.450 [") and "+0.350 [" in row and "0.87 [" in row
    assert row.endswith("5.0 90.0 2.50")
    assert "tie 1.00 [" in text and "Exact tie with full training on this panel: layer 29." in text
    assert "Data: generated arithmetic, split test; 40 items x 2 samples" in text
    assert "One training seed: the intervals cover the choice of panel items" in text
    assert "Left out" not in text and "Run what is missing" not in text
    assert "learning rate 1e-05." in text and "another learning rate" not in text


def test_json_says_the_same(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(printed(study, capsys, "--json", "--confidence", "0.9"))
    assert (data["study"], data["confidence"], data["problems"]) == ("demo", 0.9, [])
    (comparison,) = data["comparisons"]
    arms = {arm["layer"]: arm for arm in comparison["arms"]}
    assert arms["15"]["contribution"]["value"] == pytest.approx(0.875)
    assert arms["15"]["score"]["value"] == pytest.approx(0.45)
    assert arms["base"]["contribution"] is None and arms["base"]["gain"] is None
    assert comparison["source"] == "generated arithmetic" and comparison["missing_anchors"] is None


def test_a_narrow_terminal_cuts_nothing(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(study, capsys))
    table = text[: text.index("Data:")]
    assert "…" not in table and max(map(len, table.splitlines())) <= 80
    assert "contribution C" in table and "peak GB" in table


def test_no_gain_is_not_applicable(write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    write_cell(BASE, BASE, layer="base")
    write_cell(BASE, solved(5), layer="full")
    study = write_cell(BASE, solved(20), layer="15").parents[4]
    text = printed(study, capsys)
    assert " n/a " in text and "C is n/a: full training's gain +0.025 [" in text
    (comparison,) = json.loads(printed(study, capsys, "--json"))["comparisons"]
    assert comparison["arms"][-1]["contribution"]["value"] is None


def test_a_folder_of_studies_is_not_one_study(write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    write_cell(BASE, BASE, layer="base", study="other", folder="../other/math/smollm2_135m/grpo/layer=base/seed=0")
    runs = write_cell(BASE, BASE, layer="base").parents[5]
    assert main([str(runs)]) == 2
    assert f"{runs} holds several studies, name one: demo, other" in capsys.readouterr().err


def test_another_rate_for_single_blocks_is_no_small_print(
    write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(BASE, BASE, layer="base", learning_rate=3e-5)
    write_cell(BASE, solved(20), layer="full", learning_rate=3e-5)
    study = write_cell(BASE, solved(18), layer="15", learning_rate=1e-4).parents[4]
    text = printed(study, capsys)
    assert "learning rate 3e-05 (full), 0.0001 (the others)." in text
    assert "Full training has another learning rate than the other arms" in text


def test_missing_anchors_name_their_command(write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["task=math", "layer=15", "steps=50", "algorithm.group_size=16"]
    write_cell(BASE, solved(18), layer="15", seed=1, steps=50, overrides=overrides)
    study = write_cell(BASE, solved(18), layer="15", seed=0, steps=50, overrides=overrides).parents[4]
    text = " ".join(printed(study, capsys).replace("\\\n", " ").split())
    assert (
        "python run.py -m study=demo task=math model=smollm2_135m algorithm=grpo 'layer=base,full' seed=0,1 steps=50 "
        f"algorithm.group_size=16 runs_dir={study.parent}"
    ) in text
    assert "0.450 [" in text and " n/a " in text
    assert "identical in all cells, stand for the untrained model" in text


def test_scores_before_training_stand_in_for_base(write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    other = BASE.copy()
    other[30, 0] = 1.0
    write_cell(BASE, solved(20), layer="full", finished_at="2026-01-01T00:00:00")
    study = write_cell(other, solved(18), layer="15", finished_at="2026-01-02T00:00:00").parents[4]
    (comparison,) = json.loads(printed(study, capsys, "--json"))["comparisons"]
    assert comparison["base_from"] == "before differs"
    assert comparison["arms"][-1]["contribution"]["value"] == pytest.approx(0.875)
    assert "'layer=base' seed=0" in comparison["missing_anchors"]
    assert any("finished first" in caveat for caveat in comparison["caveats"])


def test_what_cannot_be_paired_is_left_out_by_name(
    study: Path, write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(solved(4, samples=3), solved(18, samples=3), layer="7")
    write_cell(BASE, solved(18), layer="8", source="another file")
    write_cell(BASE, solved(9), layer="15", folder="copy/seed=0")
    write_cell(BASE, solved(18), layer="9")
    path = study / "math/smollm2_135m/grpo/layer=9/seed=0/result.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 7'))
    (study / "math/smollm2_135m/grpo/layer=10/seed=0").mkdir(parents=True)
    data = json.loads(printed(study, capsys, "--json"))
    reasons = {problem["path"]: problem["reason"] for problem in data["problems"]}
    place = "math/smollm2_135m/grpo/layer="
    assert "samples 3 here, 2 in the others" in reasons[f"{place}7/seed=0"]
    assert "source another file here" in reasons[f"{place}8/seed=0"]
    assert "expected 1, found 7" in reasons[f"{place}9/seed=0"]
    assert reasons[f"{place}10/seed=0"].startswith("unfinished")
    assert len(reasons) == 5 and any(reason.startswith("duplicate") for reason in reasons.values())
    assert {arm["layer"] for arm in data["comparisons"][0]["arms"]} == {"base", "full", "0", "15", "29", "mid:5"}


def test_arms_that_do_not_compare_like_for_like_are_said(
    study: Path, write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = solved(18)
    broken[0, 0] = np.nan
    audit = {"ok": False, "relative_change": [0.0] * 30, "other": 0.0}
    write_cell(BASE, broken, layer="16", steps=60, audit=audit, model_source="other weights")
    text = printed(study, capsys)
    assert "different numbers of steps" in text and "different sources" in text
    assert "audit FAILED" in text and "16 seed 0" in text
    assert "1 evaluation episodes broke in their environment: excluded, not scored 0." in text


def test_two_tasks_are_two_tables(study: Path, write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    write_cell(BASE, solved(18), layer="15", task="math/gsm8k")
    data = json.loads(printed(study, capsys, "--json"))
    assert [comparison["task"] for comparison in data["comparisons"]] == ["math", "math/gsm8k"]


def test_no_study_is_exit_code_2(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study.parent / "nope")]) == 2
    error = capsys.readouterr().err
    assert "nope does not exist" in error and str(study) in error
    (study.parent / "empty" / "math" / "m" / "grpo" / "layer=1" / "seed=0").mkdir(parents=True)
    assert main([str(study.parent / "empty")]) == 2
    assert "holds no finished cell" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([str(study), "--confidence", "95"])


def test_one_run_ends_with_its_scores_and_what_to_run_next(study: Path) -> None:
    folder = study / "math/smollm2_135m/grpo/layer=15/seed=0"
    console = Console(file=io.StringIO(), width=300)
    console.print(summary_table(read_result(folder / "result.json"), folder))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0.100 [" in text and "0.450 [" in text and "+0.350 [" in text
    assert "'layer=base,full,0,15,29'" in text and f"python -m evaluation.report {study}" in text


def test_commands_repeat_what_was_set(study: Path) -> None:
    result = read_result(study / "math/smollm2_135m/grpo/layer=15/seed=0/result.json")
    line = command(result, Path("runs/demo"), ["0", "1"], [0])
    assert line.endswith("'layer=0,1' seed=0 evaluation.items=40 evaluation.samples=2")
    assert folded(line, width=40).replace(" \\\n   ", "") == line


def test_blocks_that_differ_by_seed_are_not_shown_as_the_first_ones(
    write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(BASE, BASE, layer="base", blocks=[])
    write_cell(BASE, solved(20), layer="full", blocks=list(range(30)))
    write_cell(BASE, solved(18), layer="random:2", blocks=[0, 2], seed=0)
    study = write_cell(BASE, solved(18), layer="random:2", blocks=[1, 3], seed=1).parents[4]
    assert "by seed" in printed(study, capsys)
    (comparison,) = json.loads(printed(study, capsys, "--json"))["comparisons"]
    assert comparison["arms"][-1]["blocks"] == [[0, 2], [1, 3]]
