"""The report as JSON types: the numbers that its tables print."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from evaluation.captions import caveats, missing_anchors
from evaluation.comparison import Arm
from evaluation.findings import findings
from evaluation.formats import inside
from evaluation.report.view import StudyView


def as_data(view: StudyView) -> dict[str, Any]:
    """The report as JSON types; a number that does not exist is null."""
    return {
        "study": view.name,
        "confidence": view.confidence,
        "comparisons": [
            {
                "task": comparison.result.task,
                "model": comparison.result.model,
                "algorithm": comparison.result.algorithm,
                "source": comparison.result.source,
                "model_source": comparison.result.model_source,
                "n_blocks": comparison.result.n_blocks,
                "split": comparison.result.split,
                "n_items": len(comparison.result.panel["items"]),
                "n_samples": comparison.result.panel["samples"],
                "temperature": comparison.result.panel["temperature"],
                "panel_seed": comparison.result.panel["seed"],
                "base_from": comparison.base_from,
                "findings": findings(profile),
                "arms": [_arm_data(arm) for arm in comparison.arms],
                "caveats": caveats(comparison),
                "missing_anchors": missing_anchors(comparison, view.folder),
            }
            for comparison, profile in zip(view.comparisons, view.profiles, strict=True)
        ],
        "problems": [
            {"path": inside(view.folder, problem.path), "reason": problem.reason} for problem in view.problems
        ],
    }


def _arm_data(arm: Arm) -> dict[str, Any]:
    results = [cell.result for cell in arm.cells]
    return {
        "layer": arm.layer,
        "blocks": [cell.result.blocks for cell in arm.cells] if arm.blocks_differ else arm.result.blocks,
        "depth": arm.depth,
        "seeds": arm.seeds,
        "score_before": arm.score_before,
        "score": asdict(arm.score),
        "gain": asdict(arm.gain) if arm.gain else None,
        "contribution": _finite(asdict(arm.contribution)) if arm.contribution else None,
        "steps": [result.steps for result in results],
        "learning_rate": [result.learning_rate for result in results],
        "seconds": [result.seconds for result in results],
        "seconds_per_phase": [result.seconds_per_phase for result in results],
        "peak_memory_bytes": [result.peak_memory_bytes for result in results],
        "audit_ok": [result.audit["ok"] for result in results],
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
