"""What an arm cost: time, memory, answer tokens, and an estimate of the arithmetic.

The estimate counts multiply-adds of the weights, 2 FLOPs each (Kaplan et al. 2020, arXiv 2001.08361, sec. 2.1). With N
the parameters of the model, N_up those from the lowest block that trains to the head, N_train those that train, T the
answer tokens and s the share of them in groups that give a signal:

    generate  2 N T
    update    2 N s T (forward) + 2 N_up s T (gradients of activations) + 2 N_train s T (gradients of weights)

For full training that is the usual backward pass of twice the forward one. Attention's own products, prompt tokens (no
file records how many there were), the evaluations and what caches save are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from evaluation.comparison import Arm, Comparison
from evaluation.learning import Curve

WEIGHTS = "checkpoint/step=*/trained.safetensors"
NO_SIZES = "FLOPs are not known: they need the sizes of the weights, which the checkpoint of layer=full holds."


@dataclass(frozen=True)
class Cost:
    """One arm's cost: means over training seeds, memory the largest peak; nan is not known."""

    layer: str
    block: int | None
    """The block, where the arm trains one."""
    minutes: float
    step_s: float
    """Seconds per training step."""
    update_s: float
    """Of these, in the update."""
    peak_gb: float
    side_by_side: int
    """Arms that shared the process, whose memory is counted once for all of them."""
    tokens: float
    """Answer tokens written in training."""
    flops: float


def costs(comparison: Comparison, curves: Sequence[Curve]) -> list[Cost]:
    """The cost of every arm of a comparison, in its order; ``base`` costs its evaluation alone."""
    sizes = parameter_counts(cell.folder for arm in comparison.arms if arm.layer == "full" for cell in arm.cells)
    by_folder = {curve.folder: curve for curve in curves}
    return [_cost(arm, [by_folder[c.folder] for c in arm.cells if c.folder in by_folder], sizes)
            for arm in comparison.arms]  # fmt: skip


def parameter_counts(full_cells: Iterable[Path]) -> dict[int | None, int] | None:
    """Parameters of each block, and of the rest (key None), from the first checkpoint that holds them all."""
    for folder in full_cells:
        for file in sorted(folder.glob(WEIGHTS)):
            counts: dict[int | None, int] = {}
            try:
                with safe_open(file, framework="np") as weights:
                    for name in weights.keys():  # noqa: SIM118  # not a mapping
                        block = block_of(name)
                        counts[block] = counts.get(block, 0) + prod(weights.get_slice(name).get_shape())
            except (OSError, SafetensorError):
                continue
            return counts
    return None


def block_of(name: str) -> int | None:
    """The decoder block of a parameter: the first number among the parts of its name; None where there is none."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found.group(1)) if found else None


def flops(sizes: dict[int | None, int], blocks: Sequence[int], everything: bool, tokens: float, used: float) -> float:
    """The module's formula.

    Args:
        sizes: parameters of each block, and of the rest under None.
        blocks: the blocks that train.
        everything: embeddings, final norm and head train too.
        tokens: answer tokens, T.
        used: those of them in groups that give a signal, s T.
    """
    total = sum(sizes.values())
    lowest = 0 if everything else min(blocks)
    # The rest is the head and the final norm; with the embedding tied to the head it is their one matrix.
    above = sum(size for block, size in sizes.items() if block is None or block >= lowest)
    trained = total if everything else sum(sizes.get(block, 0) for block in blocks)
    return 2 * total * tokens + 2 * (total + above + trained) * used


def _cost(arm: Arm, curves: Sequence[Curve], sizes: dict[int | None, int] | None) -> Cost:
    results = [cell.result for cell in arm.cells]
    blocks = arm.result.blocks
    trains = arm.layer != "base" and bool(curves)
    tokens = [_tokens(curve) for curve in curves] if trains else []
    known = bool(tokens) and all(np.isfinite(tokens)) and sizes is not None and bool(blocks)
    estimate = float("nan")
    if known and sizes is not None:
        estimate = float(np.mean([
            flops(sizes, blocks, arm.layer == "full", count, count * (1 - _silent(curve)))
            for curve, count in zip(curves, tokens, strict=True)
        ]))  # fmt: skip
    return Cost(
        layer=arm.layer,
        block=blocks[0] if len(blocks) == 1 else None,
        minutes=float(np.mean([result.seconds for result in results])) / 60,
        step_s=_mean(curve.mean("seconds") for curve in curves) if trains else float("nan"),
        update_s=_mean(curve.mean("seconds/update") for curve in curves) if trains else float("nan"),
        peak_gb=max(result.peak_memory_bytes for result in results) / 1e9,
        side_by_side=int(max((np.nanmax(c.metrics["arms"]) for c in curves if "arms" in c.metrics), default=1)),
        tokens=_mean(tokens),
        flops=estimate,
    )


def _tokens(curve: Curve) -> float:
    """Answer tokens of all steps: mean per turn x turns per episode x episodes."""
    per_turn_T = curve.metrics.get("response_tokens")
    if per_turn_T is None or curve.episodes_per_step is None:
        return float("nan")
    turns_T = curve.metrics.get("turns", np.ones_like(per_turn_T))
    lost_T = curve.metrics.get("env_errors", np.zeros_like(per_turn_T))
    return float(np.nansum(per_turn_T * turns_T * (curve.episodes_per_step - lost_T)))


def _silent(curve: Curve) -> float:
    share = curve.mean("zero_variance_groups")
    return share if np.isfinite(share) else 0.0


def _mean(values: Iterable[float]) -> float:
    found = [value for value in values if np.isfinite(value)]
    return float(np.mean(found)) if found else float("nan")
