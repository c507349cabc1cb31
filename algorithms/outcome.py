"""The result of one cell, from what is on disk and what was measured."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from math import isfinite

from algorithms.arm import Arm
from algorithms.audit import Audit
from algorithms.setting import Setting
from algorithms.trackers import seconds_per_phase
from evaluation.evaluate import GREEDY
from evaluation.results import METRICS_FILE, Panel, PanelRow, Result, score_array
from evaluation.stats import mean_interval
from evaluation.task_types import by_task_type, mean_outcome

VERSIONS = ("onelayer", "torch", "transformers", "verl", "numpy", "gymnasium")


def result_of(arm: Arm, setting: Setting, audit: Audit, learning_rate: float, peak_bytes: int) -> Result:
    """Everything a report needs.

    Args:
        arm: Its rows before and after training are on disk.
        setting: Of its cell and those beside it.
        audit: The final one.
        learning_rate: At which it trained, or would have.
        peak_bytes: Peak memory.

    Raises:
        CellError, ResultError: Rows are missing or bad.
    """
    config, selection, cell = setting.config, arm.selection, arm.cell
    before = cell.rows("before")
    after = cell.rows("after") or before  # the base arm is evaluated once
    evaluating_s = arm.spent_s.get("evaluate", 0.0)
    # The steps' own lines know what earlier processes spent, if this cell was resumed.
    steps_s = seconds_per_phase(cell.folder / METRICS_FILE)
    seconds_s = {p: arm.spent_s.get(p, 0.0) + steps_s.get(p, 0.0) for p in (arm.spent_s | steps_s)}
    panel: Panel = {
        "task": config.task.name,
        "split": config.task.eval_split,
        "items": setting.items,
        "item_ids": list(dict(sorted((row.item, row.item_id) for row in after)).values()),
        "samples": config.evaluation.samples,
        "seed": config.evaluation.seed,
        "temperature": float(config.evaluation.temperature),
    }
    start, end = (mean_interval(score_array(rows, panel)) for rows in (before, after))
    return Result(
        study=config.study,
        task=config.task.name,
        model=config.model.name,
        algorithm=config.algorithm.name,
        layer=selection.label,
        blocks=list(selection.blocks),
        n_blocks=setting.model.n_blocks,
        seed=config.seed,
        panel=panel,
        source=setting.env.source(config.task.eval_split),
        split=config.task.eval_split,
        score_before=start.value,
        low_before=start.low,
        high_before=start.high,
        score=end.value,
        low=end.low,
        high=end.high,
        steps=0 if selection.trains_nothing else config.steps,
        seconds=sum(seconds_s.values()),
        seconds_per_phase=seconds_s,
        tokens_per_second=arm.tokens / evaluating_s if evaluating_s else 0.0,
        peak_memory_bytes=peak_bytes,
        learning_rate=learning_rate,
        audit={"ok": audit.ok, "relative_change": audit.relative_change_L, "other": audit.other},
        versions={name: importlib.metadata.version(name) for name in VERSIONS} | {"python": platform.python_version()},
        model_source=setting.model.source,
        overrides=arm.overrides,
        counts=_counts(after),
        finished_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        by_task_type=by_task_type(before, after, panel),
        greedy={
            phase: score for phase in ("before", "after") if isfinite(score := mean_outcome(cell.rows(GREEDY + phase)))
        },
    )


def _counts(rows: Sequence[PanelRow]) -> dict[str, int]:
    return {
        "episodes": len(rows),
        "env_errors": sum(row.status == "env_error" for row in rows),
        "truncated": sum(row.truncated for row in rows),
        "malformed_turns": sum(row.malformed for row in rows),
        "inadmissible_turns": sum(row.inadmissible for row in rows),
        "turns": sum(row.turns for row in rows),
    }
