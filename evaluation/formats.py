"""A comparison as rows of text: the same words wherever they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluation.comparison import ANCHORS, Arm, Comparison
from evaluation.stats import Interval

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
        contribution_text(arm),
        f"{np.mean([result.seconds for result in results]) / 60:.1f}",
        f"{np.mean(update):.1f}" if update and trains else "-",
        f"{max(result.peak_memory_bytes for result in results) / 1e9:.2f}",
    ]


def spread(interval: Interval, sign: str = "") -> str:
    """A number with its interval, e.g. ``0.450 [0.391, 0.512]``."""
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def inside(folder: Path, path: Path) -> str:
    """``path`` as seen from the study's folder, so that a page names no one's home."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def contribution_text(arm: Arm) -> str:
    """``0.87 [0.71, 1.10]``; ``n/a`` where the full gain is not resolved, 0 and 1 for the anchors."""
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
