"""The cosine between two tasks' updates, where weights are kept, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_study import WriteCell
from synthetic_training import write_weights

from agents.models import ModelFiles
from evaluation.cells import read_study
from evaluation.comparison import compare
from evaluation.report import updates
from evaluation.report.updates import cosines, update_cosines

SCORES = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
START = {"model.layers.0.w": [1.0, 1.0], "model.layers.1.w": [1.0, 1.0], "model.norm.weight": [1.0]}
TASKS = {"math": [[2.0, 1.0], [1.0, 3.0]], "code": [[1.0, 3.0], [1.0, 2.0]]}


def test_cosines_by_hand(tmp_path: Path) -> None:
    write_weights(tmp_path / "untrained" / "model.safetensors", START)
    a = write_weights(tmp_path / "a.safetensors", {**START, "model.layers.0.w": [2.0, 1.0], "model.layers.1.w": [1, 3]})
    b = write_weights(tmp_path / "b.safetensors", {**START, "model.layers.0.w": [2.0, 2.0]})
    block_L, cosine_L = cosines(a, b, tmp_path / "untrained")
    assert block_L.tolist() == [0, 1]
    assert cosine_L[0] == pytest.approx(1 / np.sqrt(2)) and np.isnan(cosine_L[1])


@pytest.fixture
def two_tasks(write_cell: WriteCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both trained everything from the same weights and kept the result."""
    write_weights(tmp_path / "untrained" / "model.safetensors", START)
    model = ModelFiles(tmp_path / "untrained", "a folder", 2)
    monkeypatch.setattr(updates, "resolve", lambda _: model)
    for task, (first, second) in TASKS.items():
        cell = write_cell(SCORES, SCORES, layer="full", task=task, n_blocks=2, blocks=[0, 1])
        weights = {"model.layers.0.w": first, "model.layers.1.w": second}
        write_weights(cell / "checkpoint" / "step=000030" / "trained.safetensors", weights)
        (cell / "config.yaml").write_text("model: {name: smollm2_135m}\n")
        (cell.parents[1] / "settings.yaml").write_text(f"identity: {{model_weights: '{model.fingerprint()}'}}\n")
    return cell.parents[4]


def test_tasks_of_one_start_are_compared(two_tasks: Path) -> None:
    (found,), missing = update_cosines(compare(read_study(two_tasks))[0])
    assert (found.task_a, found.task_b, found.layer, missing) == ("code", "math", "full", [])
    assert found.cosine_L == pytest.approx([0.0, 1.0])


def test_other_starts_and_lost_weights_are_said(two_tasks: Path) -> None:
    settings = two_tasks / "math" / "smollm2_135m" / "grpo" / "settings.yaml"
    settings.write_text("identity: {model_weights: other}\n")
    comparisons, _ = compare(read_study(two_tasks))
    assert "did not start from the same weights" in update_cosines(comparisons)[1][0]
    next(two_tasks.glob("code/**/trained.safetensors")).unlink()
    assert "are not kept for both" in update_cosines(comparisons)[1][0]


def test_an_untrained_model_that_changed_is_not_taken(two_tasks: Path, tmp_path: Path) -> None:
    write_weights(tmp_path / "untrained" / "model.safetensors", {**START, "model.norm.weight": [2.0]})
    found, missing = update_cosines(compare(read_study(two_tasks))[0])
    assert not found and "not those they started from" in missing[0]
