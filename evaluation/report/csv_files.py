"""A study's numbers as CSV files, for other programs: one row per arm, block, pair of profiles or training step."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from evaluation.agreement import Agreement
from evaluation.comparison import ANCHORS, Comparison
from evaluation.report.view import StudyView
from evaluation.stats import mean_interval

FOLDER = "csv"
Row = Mapping[str, Any]


def write_csv(view: StudyView) -> list[Path]:
    """Write every table that has rows into ``<study>/csv``, and delete those of an earlier report that have none.

    A number that does not exist is an empty field. Returns the files written.
    """
    folder, written = view.folder / FOLDER, []
    folder.mkdir(exist_ok=True)
    for name, rows in tables(view).items():
        path, kept = folder / f"{name}.csv", list(rows)
        if not kept:
            path.unlink(missing_ok=True)
            continue
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in kept for key in row)), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: _field(value) for key, value in row.items()} for row in kept)
        written.append(path)
    return written


def tables(view: StudyView) -> dict[str, Iterable[Row]]:
    """The rows of each file, by its name without the suffix."""
    return {
        "scores": _scores(view),
        "contributions": _contributions(view),
        "profiles": _profiles(view),
        "agreement": (_agreement(found) for found in view.agreements),
        "costs": _costs(view),
        "learning": _learning(view),
        "updates": _updates(view),
        "types": (row for comparison in view.comparisons for row in type_scores(comparison, view.confidence)),
    }


def type_scores(comparison: Comparison, confidence: float) -> Iterator[dict[str, Any]]:
    """Success by task type, for tasks that name types: one row per arm and type, intervals as for the whole panel."""
    types = comparison.arms[0].cells[0].type_I
    for kind in sorted({name for name in types if name}):
        chosen = [place for place, name in enumerate(types) if name == kind]
        for arm in comparison.arms:
            try:
                score = mean_interval(arm.after_SIK[:, chosen], confidence)
            except ValueError:  # none of its episodes was played
                continue
            row = {"layer": arm.layer, "type": kind, "items": score.n_items, "score": score.value}
            yield {**_names(comparison), **row, "low": score.low, "high": score.high}


def _names(comparison: Comparison) -> dict[str, Any]:
    result = comparison.result
    return {"task": result.task, "model": result.model, "algorithm": result.algorithm}


def _scores(view: StudyView) -> Iterator[Row]:
    for comparison in view.comparisons:
        for arm in comparison.arms:
            for cell in arm.cells:
                result = cell.result
                yield {
                    **_names(comparison),
                    "layer": arm.layer,
                    "blocks": " ".join(map(str, result.blocks)),
                    "seed": result.seed,
                    "split": result.split,
                    "source": result.source,
                    "items": len(result.panel["items"]),
                    "samples": result.panel["samples"],
                    "steps": result.steps,
                    "learning_rate": result.learning_rate,
                    "score_before": result.score_before,
                    "score": result.score,
                    "low": result.low,
                    "high": result.high,
                    "truncated": cell.truncated,
                    "audit_ok": result.audit["ok"],
                }


def _contributions(view: StudyView) -> Iterator[Row]:
    for comparison in view.comparisons:
        for arm in comparison.arms:
            if arm.layer in ANCHORS or arm.gain is None:
                continue
            found = arm.contribution
            yield {
                **_names(comparison),
                "layer": arm.layer,
                "depth": arm.depth,
                "seeds": " ".join(map(str, arm.seeds)),
                "score": arm.score.value,
                "gain": arm.gain.value,
                "gain_low": arm.gain.low,
                "gain_high": arm.gain.high,
                "contribution": found.value if found else None,
                "low": found.low if found else None,
                "high": found.high if found else None,
                "p_at_least_full": found.p_at_least_full if found else None,
                "fieller_low": found.fieller_low if found else None,
                "fieller_high": found.fieller_high if found else None,
                "tie_with_full": found.tie if found else None,
            }


def _profiles(view: StudyView) -> Iterator[Row]:
    for comparison, profile in zip(view.comparisons, view.profiles, strict=True):
        if profile is None:
            continue
        columns = {
            "depth": profile.depth_L,
            "gain": profile.gain_L,
            "contribution": profile.contribution_L,
            "low": profile.low_L,
            "high": profile.high_L,
            "simultaneous_low": profile.simultaneous_low_L,
            "simultaneous_high": profile.simultaneous_high_L,
            "p_gain": profile.p_gain_L,
            "p_holm": profile.p_adjusted_L,
            "p_best": profile.p_best_L,
            "p_at_least_full": profile.p_at_least_full_L,
        }
        for place, block in enumerate(profile.blocks_L):
            yield {**_names(comparison), "block": block, **{name: of_L[place] for name, of_L in columns.items()}}


def _agreement(found: Agreement) -> Row:
    row: dict[str, Any] = {"a": found.a, "b": found.b, "differ_in": found.kind, "blocks": found.n_blocks}
    for name in ("spearman", "kendall"):
        estimate = getattr(found, name)
        row |= {
            name: estimate.value,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
            f"{name}_p": estimate.p,
        }
    return row | {"note": found.note}


def _costs(view: StudyView) -> Iterator[Row]:
    for comparison, found in zip(view.comparisons, view.costs, strict=True):
        for cost in found:
            yield {
                **_names(comparison),
                "layer": cost.layer,
                "minutes": cost.minutes,
                "seconds_per_step": cost.step_s,
                "seconds_per_update": cost.update_s,
                "peak_memory_gb": cost.peak_gb,
                "arms_side_by_side": cost.side_by_side,
                "training_answer_tokens": cost.tokens,
                "training_flops_estimate": cost.flops,
            }


def _learning(view: StudyView) -> Iterator[Row]:
    for curve in view.curves:
        names = dict(zip(("task", "model", "algorithm"), curve.group, strict=True))
        for place, step in enumerate(curve.step_T.tolist()):
            values = {name: float(of_T[place]) for name, of_T in curve.metrics.items()}
            yield {
                **names,
                "layer": curve.layer,
                "seed": curve.seed,
                "finished": curve.finished,
                "step": step,
                **values,
            }


def _updates(view: StudyView) -> Iterator[Row]:
    for found in view.cosines:
        names = {name: getattr(found, name) for name in ("task_a", "task_b", "model", "algorithm", "layer", "seed")}
        for block, cosine in zip(found.block_L.tolist(), found.cosine_L.tolist(), strict=True):
            yield {**names, "block": block, "cosine": cosine}


def _field(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if isfinite(value) else ""
    return value
