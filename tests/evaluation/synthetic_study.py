"""A study made of numbers alone: cells as a run leaves them, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.results import EPISODES_FILE, PanelRow, Result, write_result
from evaluation.stats import mean_interval

WriteCell = Callable[..., Path]


def panel_rows(scores_IK: np.ndarray, phase: str) -> list[PanelRow]:
    """One row per item and sample; nan becomes an episode whose environment broke."""
    return [
        PanelRow(
            phase=phase,
            item=100 + item,
            item_id=f"test-{100 + item}",
            sample=sample,
            outcome=0.0 if np.isnan(score) else float(score),
            success=bool(score == 1),
            status="env_error" if np.isnan(score) else "done",
            reward_terms={"outcome": 0.0 if np.isnan(score) else float(score)},
            turns=1,
            tokens=7,
            truncated=False,
            prompt="2 + 2 = \u2028?",
            answer="4",
            sampling_seed=item * 1000 + sample,
        )
        for (item, sample), score in np.ndenumerate(scores_IK)
    ]


def write_rows(path: Path, rows: Sequence[PanelRow]) -> None:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def make_result(
    before_IK: np.ndarray, after_IK: np.ndarray, layer: str = "15", seed: int = 0, **changed: Any
) -> Result:
    """A valid result of a model with 30 blocks; ``changed`` replaces fields."""
    before, after = mean_interval(before_IK, n_resamples=99), mean_interval(after_IK, n_resamples=99)
    items, samples = before_IK.shape
    blocks = {"base": [], "full": list(range(30)), "mid:5": [12, 13, 14, 15, 16]}.get(layer) if layer else None
    fields: dict[str, Any] = {
        "study": "demo",
        "task": "math",
        "model": "smollm2_135m",
        "algorithm": "grpo",
        "layer": layer,
        "blocks": blocks if blocks is not None else [int(layer)] if layer.isdigit() else [],
        "n_blocks": 30,
        "seed": seed,
        "panel": {
            "task": "math",
            "split": "test",
            "items": [100 + item for item in range(items)],
            "item_ids": [f"test-{100 + item}" for item in range(items)],
            "samples": samples,
            "seed": 0,
            "temperature": 1.0,
        },
        "source": "generated arithmetic",
        "split": "test",
        "score_before": before.value,
        "low_before": before.low,
        "high_before": before.high,
        "score": after.value,
        "low": after.low,
        "high": after.high,
        "steps": 0 if layer == "base" else 30,
        "seconds": 300.0,
        "seconds_per_phase": {"rollout": 120.0, "update": 90.0},
        "tokens_per_second": 1500.0,
        "peak_memory_bytes": 2_500_000_000,
        "learning_rate": 1e-5,
        "audit": {"ok": True, "relative_change": [0.0] * 30, "other": 0.0},
        "versions": {"torch": "2.11.0"},
        "model_source": "embedded weights",
        "overrides": [f"layer={layer}", f"evaluation.items={items}", f"evaluation.samples={samples}"],
        "counts": {"env_errors": 0},
        "finished_at": "2026-11-22T12:00:00+00:00",
    }
    return Result(**{**fields, **changed})


@pytest.fixture
def write_cell(tmp_path: Path) -> WriteCell:
    """``write_cell(before_IK, after_IK, layer=, seed=, folder=, **fields)`` writes a cell and returns its folder."""

    def write(before_IK: np.ndarray, after_IK: np.ndarray, folder: str = "", **changed: Any) -> Path:
        result = make_result(before_IK, after_IK, **changed)
        place = f"{result.task.replace('/', '-')}/{result.model}/{result.algorithm}"
        cell = tmp_path / "runs" / "demo" / (folder or f"{place}/layer={result.layer}/seed={result.seed}")
        cell.mkdir(parents=True)
        write_rows(cell / EPISODES_FILE, [*panel_rows(before_IK, "before"), *panel_rows(after_IK, "after")])
        write_result(cell, result)
        return cell

    return write
