"""Comparisons with known true scores, as the report sees them, without any file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic_study import make_result

from evaluation.cells import Cell, StudyCells
from evaluation.comparison import Comparison, compare
from evaluation.planted import Noise, Planted


def comparison_of(
    trained: dict[str, float],
    *,
    base: float = 0.1,
    items: int = 64,
    samples: int = 4,
    seeds: int = 3,
    draw: int = 0,
    noise: Noise | None = None,
    **fields: str,
) -> Comparison:
    """The comparison of one simulated study: true score by layer label; ``fields`` are the results'."""
    study = Planted(base, list(trained.values()), noise)
    base_SIK, trained_LSIK = study.draw(np.random.default_rng(draw), items, samples, seeds)
    cells = [_cell(base_SIK[0], base_SIK[0], "base", 0, fields)]
    for label, arm_SIK in zip(trained, trained_LSIK, strict=True):
        cells += [_cell(base_SIK[0], after_IK, label, seed, fields) for seed, after_IK in enumerate(arm_SIK)]
    (comparison,), problems = compare(StudyCells(Path("runs/demo"), cells, []))
    assert not problems
    return comparison


def without(comparison: Comparison, layers: Sequence[str]) -> Comparison:
    """The same without some arms."""
    return replace(comparison, arms=[arm for arm in comparison.arms if arm.layer not in layers])


def _cell(before_IK: np.ndarray, after_IK: np.ndarray, layer: str, seed: int, fields: dict[str, str]) -> Cell:
    result = make_result(before_IK, after_IK, layer=layer, seed=seed, **fields)
    return Cell(Path(f"runs/demo/layer={layer}/seed={seed}"), result, before_IK, after_IK, 0.0)
