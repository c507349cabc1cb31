"""The result schema: what is written is read back; what is not a result is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_study import WriteCell, make_result, panel_rows, write_rows

from evaluation.cells import read_study
from evaluation.results import (
    EPISODES_FILE,
    RESULT_FILE,
    ResultError,
    read_result,
    read_rows,
    score_array,
    write_result,
)

BEFORE = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
AFTER = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.5]])


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    result = make_result(BEFORE, AFTER)
    assert read_result(write_result(tmp_path, result)) == result
    assert [path.name for path in tmp_path.iterdir()] == [RESULT_FILE]


def test_the_fields_of_schema_1_are_frozen(tmp_path: Path) -> None:
    data = json.loads(write_result(tmp_path, make_result(BEFORE, AFTER)).read_text())
    named = """
        schema status study task model algorithm layer blocks n_blocks seed panel source split score_before low_before
        high_before score low high steps seconds seconds_per_phase tokens_per_second peak_memory_bytes learning_rate
        audit versions model_source overrides counts finished_at by_task_type greedy
    """
    assert list(data) == named.split()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "field schema: expected 1, found 2"),
        ({"score": None}, "field score: .*found None"),
        ({"seed": "0"}, "field seed: .*found '0'"),
        ({"seed": True}, "field seed: .*found True"),
        ({"blocks": [1, 2.5]}, r"field blocks\.1: .*found 2.5"),
        ({"extra": 1}, "field extra: Unexpected"),
        ({"audit": {"ok": True, "relative_change": []}}, r"field audit\.other: Field required, found nothing"),
        ({"status": "running"}, "field status: expected 'finished', found 'running'"),
    ],
)
def test_a_changed_field_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = write_result(tmp_path, make_result(BEFORE, AFTER))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ResultError, match=message) as error:
        read_result(path)
    assert str(path) in str(error.value)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = write_result(tmp_path, make_result(BEFORE, AFTER))
    data = json.loads(path.read_text())
    del data["source"]
    path.write_text(json.dumps(data))
    with pytest.raises(ResultError, match=r"field source: .*found nothing"):
        read_result(path)


@pytest.mark.parametrize("text", ["", '{"schema": 1,', "[1]"])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULT_FILE).write_text(text)
    with pytest.raises(ResultError):
        read_result(tmp_path / RESULT_FILE)


@pytest.mark.parametrize("change", [{"score": float("nan")}, {"seed": np.int64(3)}, {"seconds": "long"}])
def test_a_bad_result_is_not_written(tmp_path: Path, change: dict) -> None:
    with pytest.raises(ResultError):
        write_result(tmp_path, replace(make_result(BEFORE, AFTER), **change))
    assert not list(tmp_path.iterdir())


def test_rows_come_back_by_phase(tmp_path: Path) -> None:
    before, after = panel_rows(BEFORE, "before"), panel_rows(AFTER, "after")
    write_rows(tmp_path / EPISODES_FILE, [*before, *after])
    assert read_rows(tmp_path / EPISODES_FILE) == [*before, *after]
    assert read_rows(tmp_path / EPISODES_FILE, "after") == after


@pytest.mark.parametrize("tail", ['{"phase": "aft', '{"phase": "after"}\n', "\n"])
def test_a_torn_or_foreign_line_is_named(tmp_path: Path, tail: str) -> None:
    path = tmp_path / EPISODES_FILE
    write_rows(path, panel_rows(BEFORE, "before"))
    path.write_text(path.read_text(encoding="utf-8") + tail, encoding="utf-8")
    with pytest.raises(ResultError, match=rf"{EPISODES_FILE}: line 7"):
        read_rows(path)


def test_scores_are_arranged_by_item_and_sample() -> None:
    panel = make_result(BEFORE, AFTER).panel
    np.testing.assert_array_equal(score_array(panel_rows(AFTER, "after")[::-1], panel), AFTER)


def test_a_broken_environment_gives_no_score() -> None:
    panel = make_result(BEFORE, AFTER).panel
    rows = panel_rows(np.array([[np.nan, 1.0], [1.0, 1.0], [0.0, 0.5]]), "after")
    rows[0] = replace(rows[0], item_id="")
    np.testing.assert_array_equal(score_array(rows, panel), [[np.nan, 1.0], [1.0, 1.0], [0.0, 0.5]])


def test_rows_that_do_not_fit_the_panel_are_refused() -> None:
    panel, rows = make_result(BEFORE, AFTER).panel, panel_rows(AFTER, "after")
    with pytest.raises(ResultError, match=r"1 of 6 .* missing, first: item 102 \(test-102\), sample 1"):
        score_array(rows[:-1], panel)
    with pytest.raises(ResultError, match=r"item 100 \(test-100\), sample 0: there twice"):
        score_array([*rows, rows[0]], panel)
    with pytest.raises(ResultError, match=r"item 7 .*not in the panel"):
        score_array([replace(rows[0], item=7), *rows[1:]], panel)
    with pytest.raises(ResultError, match="item_id: expected 'test-100', found 'other'"):
        score_array([replace(rows[0], item_id="other"), *rows[1:]], panel)
    with pytest.raises(ResultError, match=r"outcome: expected a number in \[0, 1\], found 10"):
        score_array([replace(rows[0], outcome=10.0), *rows[1:]], panel)


def test_a_study_keeps_what_can_be_read(write_cell: WriteCell) -> None:
    good = write_cell(BEFORE, AFTER, layer="15")
    torn = write_cell(BEFORE, AFTER, layer="16")
    with (torn / EPISODES_FILE).open("a") as file:
        file.write('{"phase"')
    stale = write_cell(BEFORE, AFTER, layer="17", score=0.9)
    (good.parent.parent / "layer=18" / "seed=0").mkdir(parents=True)
    study = read_study(good.parents[4])
    assert [cell.folder for cell in study.cells] == [good]
    np.testing.assert_array_equal(study.cells[0].after_IK, AFTER)
    reasons = {problem.path.parent.name: problem.reason for problem in study.problems}
    assert "line 13: torn" in reasons["layer=16"]
    assert "the rows' score is 0.58" in reasons["layer=17"] and "says 0.9" in reasons["layer=17"]
    assert reasons["layer=18"] == "unfinished: no result.json; no steps are logged"
    assert stale.is_dir()


def test_an_untrained_cell_may_be_evaluated_once(write_cell: WriteCell) -> None:
    folder = write_cell(BEFORE, BEFORE, layer="base")
    write_rows(folder / EPISODES_FILE, panel_rows(BEFORE, "before"))
    (cell,) = read_study(folder.parents[4]).cells
    np.testing.assert_array_equal(cell.after_IK, BEFORE)
