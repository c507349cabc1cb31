"""The few arms a reader looks for first: the anchors, the best, the middle and a random block, groups of blocks.

Shapes: ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.comparison import ANCHORS, Arm, Comparison, singles
from evaluation.stats import Interval, complete_items, mean_interval


@dataclass(frozen=True)
class Landmark:
    """A score with a name; ``chosen`` marks one picked because its score was high, which makes it too high."""

    label: str
    score: Interval
    kind: str
    """``anchor``, ``single`` or ``several``."""
    chosen: bool = False


def best_single(comparison: Comparison) -> Arm | None:
    """The single block with the highest score; of equals, the first."""
    return max(singles(comparison), key=lambda arm: arm.score.value, default=None)


def landmarks(comparison: Comparison, confidence: float) -> list[Landmark]:
    """Base, full, then single blocks, then groups of blocks.

    ``a random block`` is the mean of all single blocks: what one would score that is picked without looking.
    """
    found = [Landmark(name, arm.score, "anchor") for name in ANCHORS if (arm := comparison.arm(name))]
    alone, best = singles(comparison), best_single(comparison)
    middle = (comparison.result.n_blocks - 1) // 2  # the block of layer=mid:1
    if best is not None and len(alone) > 1:
        found.append(Landmark(f"best of {len(alone)} blocks ({best.layer})", best.score, "single", chosen=True))
    found += [Landmark(f"middle block ({arm.layer})", arm.score, "single")
              for arm in alone if arm.result.blocks == [middle]]  # fmt: skip
    if len(alone) > 2 and (mean := _mean_of(alone, confidence)):
        found.append(Landmark(f"a random block (mean of {len(alone)})", mean, "single"))
    rest = [arm for arm in comparison.arms if arm.layer not in ANCHORS and arm not in alone]
    if len(alone) <= 2:
        rest = [*(arm for arm in alone if arm.result.blocks != [middle]), *rest]
    return [*found, *(Landmark(arm.layer, arm.score, "several" if len(arm.result.blocks) > 1 else "single")
                      for arm in rest)]  # fmt: skip


def _mean_of(arms: list[Arm], confidence: float) -> Interval | None:
    """Mean score over arms, from the training seeds all of them have."""
    shared = sorted(set.intersection(*(set(arm.seeds) for arm in arms)))
    if not shared:
        return None
    kept = [np.stack([cell.after_IK for cell in arm.cells if cell.result.seed in shared]) for arm in arms]
    try:
        item_SI = np.mean(complete_items(*kept), axis=0)
    except ValueError:  # environments broke until no item is left that all arms have
        return None
    return mean_interval(item_SI[..., None], confidence)
