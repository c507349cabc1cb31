"""A comparison as rows of text, as Markdown and as JSON: the same numbers and the same words in each."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.captions import caveats, missing_anchors
from evaluation.comparison import ANCHORS, Arm, Comparison
from evaluation.findings import findings
from evaluation.stats import Interval
from evaluation.view import StudyView

HEADERS = {
    "layer": "left",
    "blocks": "left",
    "depth": "right",
    "seeds": "left",
    "before": "right",
    "after": "right",
    "gain": "right",
    "contribution C": "right",
    "minutes": "right",
    "update s": "right",
    "peak GB": "right",
}


def title(comparison: Comparison) -> str:
    """Task, model and algorithm in one line."""
    result = comparison.result
    return f"{result.task} · {result.model} · {result.algorithm}"


def cells(arm: Arm) -> list[str]:
    """One table row, in the order of ``HEADERS``; times are means over training seeds, memory the largest peak."""
    results = [cell.result for cell in arm.cells]
    trains = arm.layer != "base"
    update = [result.seconds_per_phase["update"] for result in results if "update" in result.seconds_per_phase]
    return [
        arm.layer,
        _blocks(arm),
        "" if arm.depth is None else f"{arm.depth:.2f}",
        ",".join(map(str, arm.seeds)) if trains else "-",
        f"{arm.score_before:.3f}",
        spread(arm.score),
        spread(arm.gain, "+") if arm.gain else "-",
        _contribution(arm),
        f"{np.mean([result.seconds for result in results]) / 60:.1f}",
        f"{np.mean(update):.1f}" if update and trains else "-",
        f"{max(result.peak_memory_bytes for result in results) / 1e9:.2f}",
    ]


def spread(interval: Interval, sign: str = "") -> str:
    """A number with its interval, e.g. ``0.450 [0.391, 0.512]``."""
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


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


def inside(folder: Path, path: Path) -> str:
    """``path`` as seen from the study's folder, so that a page names no one's home."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


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


def _contribution(arm: Arm) -> str:
    if arm.layer in ANCHORS:
        return str(ANCHORS.index(arm.layer))
    found = arm.contribution
    if found is None or not found.resolved:
        return "n/a"
    return f"{'tie ' if found.tie else ''}{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _blocks(arm: Arm) -> str:
    blocks, n_blocks = sorted(arm.result.blocks), arm.result.n_blocks
    if arm.blocks_differ:
        return "by seed"
    if not blocks:
        return "none"
    if len(blocks) == n_blocks:
        return "all"
    if len(blocks) > 1 and blocks == list(range(blocks[0], blocks[-1] + 1)):
        return f"{blocks[0]}-{blocks[-1]}"
    return ",".join(map(str, blocks))
