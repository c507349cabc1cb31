"""Curves of training, read from files that may be torn or still be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_training import write_training

from evaluation.learning import progress, read_curves, read_metrics
from evaluation.report.figures.learning import smoothed


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    return write_training(tmp_path / "demo" / "math" / "tiny" / "grpo" / "layer=2" / "seed=1")


def test_a_curve_knows_its_cell_and_its_steps(cell: Path, tmp_path: Path) -> None:
    (curve,), faults = read_curves(tmp_path / "demo")
    assert (curve.group, curve.layer, curve.seed) == (("math", "tiny", "grpo"), "2", 1)
    assert (curve.planned, curve.episodes_per_step, curve.finished, faults) == (30, 32, False, [])
    assert curve.step_T.tolist() == [1, 2, 3, 4]
    assert curve.mean("zero_variance_groups") == 0.5 and np.isnan(curve.mean("nothing of that name"))


def test_a_torn_line_is_named_and_the_rest_is_read(cell: Path, tmp_path: Path) -> None:
    with (cell / "metrics.jsonl").open("a") as file:
        file.write('[1]\n{"step": 5, "succ')
    (curve,), faults = read_curves(tmp_path / "demo")
    assert curve.step_T.tolist() == [1, 2, 3, 4]
    assert [path for path, _ in faults] == [cell / "metrics.jsonl"] * 2
    assert faults[1][1].startswith("line 6 is torn") and "line 5" in faults[0][1]


def test_what_is_no_number_is_named(cell: Path) -> None:
    path = cell / "metrics.jsonl"
    path.write_text(path.read_text().replace('"entropy": 1.5', '"entropy": NaN', 1))
    rows, wrong = read_metrics(path)
    assert len(rows) == 4 and wrong == ["not a number in some steps: entropy"]


def test_progress_is_said_in_words(cell: Path) -> None:
    assert progress(cell).startswith("4 of 30 steps are logged, last written 20")
    (cell / "metrics.jsonl").unlink()
    assert progress(cell) == "none of 30 steps are logged"
    (cell / "config.yaml").write_text("steps: [")
    assert progress(cell) == "no steps are logged"


def test_a_moving_average_by_hand() -> None:
    assert smoothed(np.array([0.0, 1.0, 2.0, 3.0, np.nan, 5.0])).tolist() == [1.0, 1.5, 1.5, 2.75, 10 / 3, 4.0]
