"""From the cells of a study to numbers that may be compared: arms on one panel, paired, with intervals.

Shapes: ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from evaluation.cells import Cell, Problem, StudyCells
from evaluation.contribution import Contribution, contribution
from evaluation.results import Result
from evaluation.stats import Interval, complete_items, mean_interval, paired_difference
from evaluation.variance import SeedSpread, pooled_spread

ANCHORS = ("base", "full")


@dataclass(frozen=True)
class Arm:
    """All training seeds of one layer label. ``contribution`` is None for the anchors and where one is missing."""

    layer: str
    cells: list[Cell]
    score_before: float
    score: Interval
    gain: Interval | None
    """After minus before of the arm's own cells; None for ``base``, which does not train."""
    contribution: Contribution | None = None

    @property
    def result(self) -> Result:
        """The first cell's result, for what all cells of the arm share."""
        return self.cells[0].result

    @property
    def seeds(self) -> list[int]:
        """Training seeds, ascending."""
        return [cell.result.seed for cell in self.cells]

    @property
    def after_SIK(self) -> np.ndarray:
        """Outcomes after training."""
        return np.stack([cell.after_IK for cell in self.cells])

    @property
    def blocks_differ(self) -> bool:
        """True where every seed drew blocks of its own (``random:k``)."""
        return len({tuple(cell.result.blocks) for cell in self.cells}) > 1

    @property
    def depth(self) -> float | None:
        """Centre of the trained blocks, 0 the first block and 1 the last; None where none or all of them train."""
        blocks, n_blocks = self.result.blocks, self.result.n_blocks
        if self.blocks_differ or not 0 < len(blocks) < n_blocks:
            return None
        return float(np.mean(blocks)) / (n_blocks - 1)


@dataclass(frozen=True)
class Comparison:
    """The arms of one (task, model, algorithm): base and full first, then by block. All answered the same panel."""

    arms: list[Arm]
    base_from: str
    """Where S_base comes from: ``base cell``, ``before identical``, ``before differs`` or nothing."""
    spread: SeedSpread | None = None
    """What all trained arms together say about training seeds."""

    @property
    def base_SIK(self) -> np.ndarray:
        """Scores of the untrained model, one seed: the base cell's, else those before the others trained."""
        return _base_scores({arm.layer: arm.cells for arm in self.arms})[0]

    @property
    def result(self) -> Result:
        """The first arm's result, for what all arms share: task, model, algorithm, panel, source."""
        return self.arms[0].result

    def arm(self, layer: str) -> Arm | None:
        """The arm of that label, if there is one."""
        return next((arm for arm in self.arms if arm.layer == layer), None)


def singles(comparison: Comparison) -> list[Arm]:
    """The arms that train one block, in order of depth; of two labels for a block (``15``, ``mid:1``) the number."""
    by_block: dict[int, Arm] = {}
    for arm in sorted(comparison.arms, key=lambda arm: not arm.layer.isdigit()):
        if len(arm.result.blocks) == 1 and not arm.blocks_differ:
            by_block.setdefault(arm.result.blocks[0], arm)
    return [by_block[block] for block in sorted(by_block)]


def compare(study: StudyCells, confidence: float = 0.95) -> tuple[list[Comparison], list[Problem]]:
    """Group a study's cells into comparisons; cells that cannot be paired with the others become problems."""
    cells, problems = _without_duplicates(study.cells)
    comparisons = []
    for _, group in groupby(
        sorted(cells, key=lambda cell: _group_of(cell.result)), lambda cell: _group_of(cell.result)
    ):
        paired, refused = _on_one_panel(list(group))
        comparison, unscored = _comparison(paired, confidence)
        problems += [*refused, *unscored]
        if comparison.arms:
            comparisons.append(comparison)
    return comparisons, [*study.problems, *problems]


def _group_of(result: Result) -> tuple[str, str, str]:
    return result.task, result.model, result.algorithm


def _without_duplicates(cells: Iterable[Cell]) -> tuple[list[Cell], list[Problem]]:
    kept: dict[tuple, Cell] = {}
    problems = []
    for cell in sorted(cells, key=lambda cell: not _is_at_home(cell)):
        key = (*_group_of(cell.result), cell.result.layer, cell.result.seed)
        if key in kept:
            used = "/".join(kept[key].folder.parts[-5:])
            problems.append(Problem(cell.folder, f"duplicate: the same cell as {used}, which is used"))
        else:
            kept[key] = cell
    return list(kept.values()), problems


def _is_at_home(cell: Cell) -> bool:
    """Whether a cell lies where a run would put it; a copy lies elsewhere."""
    result = cell.result
    names = result.task.replace("/", "-"), result.model, result.algorithm
    return cell.folder.parts[-5:] == (*names, f"layer={result.layer}", f"seed={result.seed}")


def _on_one_panel(cells: list[Cell]) -> tuple[list[Cell], list[Problem]]:
    """Keep the cells that answered the panel most cells answered; name those that answered another."""

    def asked(cell: Cell) -> dict:
        return {**cell.result.panel, "source": cell.result.source, "n_blocks": cell.result.n_blocks}

    (common, _), *_ = Counter(repr(asked(cell)) for cell in cells).most_common()
    kept = [cell for cell in cells if repr(asked(cell)) == common]
    reference, problems = asked(kept[0]), []
    for cell in cells:
        if different := [name for name, value in asked(cell).items() if value != reference[name]]:
            words = "; ".join(f"{name} {_short(asked(cell)[name])} here, {_short(reference[name])} in the others"
                              for name in different)  # fmt: skip
            problems.append(Problem(cell.folder, f"another panel than the study's other cells, not paired: {words}"))
    return kept, problems


def _short(value: object) -> str:
    text = f"{len(value)} of {value}" if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _comparison(cells: list[Cell], confidence: float) -> tuple[Comparison, list[Problem]]:
    by_layer: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=_order):
        by_layer.setdefault(cell.result.layer, []).append(cell)
    base_SIK, base_from = _base_scores(by_layer)
    spread = _spread(by_layer)
    arms, problems = [], []
    for layer, members in by_layer.items():
        try:
            arms.append(_arm(layer, members, base_SIK, by_layer.get("full", []), confidence, spread))
        except ValueError as error:
            # Environments broke so often that nothing is left to pair; the other arms still count.
            problems.append(Problem(members[0].folder.parent, str(error)))
    return Comparison(arms, base_from, spread), problems


def _order(cell: Cell) -> tuple:
    """Base, full, single blocks by depth, then groups of blocks by depth; training seeds ascending."""
    result = cell.result
    anchor = ANCHORS.index(result.layer) if result.layer in ANCHORS else len(ANCHORS)
    centre = float(np.mean(result.blocks)) if result.blocks else 0.0
    return anchor, len(result.blocks) > 1, centre, result.layer, result.seed


def _base_scores(by_layer: dict[str, list[Cell]]) -> tuple[np.ndarray, str]:
    """Scores of the untrained model: the base cell's, else those of the other arms before they trained."""
    if "base" in by_layer:
        # Untrained weights on fixed sampling seeds: every base cell is the same measurement, so one is enough.
        return by_layer["base"][0].after_IK[None], "base cell"
    first, *others = sorted((cell for cells in by_layer.values() for cell in cells), key=lambda c: c.result.finished_at)
    same = all(np.array_equal(first.before_IK, cell.before_IK, equal_nan=True) for cell in others)
    return first.before_IK[None], "before identical" if same else "before differs"


def _spread(by_layer: dict[str, list[Cell]]) -> SeedSpread | None:
    """What the trained arms say about seeds: those arms that have the training seeds which most arms have."""
    trained = [cells for layer, cells in by_layer.items() if layer != "base"]
    if not trained:
        return None
    (common, _), *_ = Counter(_seeds(cells) for cells in trained).most_common()
    arms_SIK = [np.stack([cell.after_IK for cell in cells]) for cells in trained if _seeds(cells) == common]
    try:
        return pooled_spread(complete_items(*arms_SIK))
    except ValueError:
        # No item has a score in all arms: every arm goes by its own seeds.
        return None


def _seeds(cells: Sequence[Cell]) -> tuple[int, ...]:
    return tuple(cell.result.seed for cell in cells)


def _arm(
    layer: str,
    cells: list[Cell],
    base_SIK: np.ndarray,
    full: Sequence[Cell],
    confidence: float,
    spread: SeedSpread | None,
) -> Arm:
    after_SIK = np.stack([cell.after_IK for cell in cells])
    before_SIK = np.stack([cell.before_IK for cell in cells])
    if all(np.array_equal(cell.before_IK, cells[0].before_IK, equal_nan=True) for cell in cells):
        # The untrained model is one measurement, however many seeds trained after it.
        before_SIK = before_SIK[:1]
    found = None
    if layer not in ANCHORS and full:
        found = contribution(
            base_SIK,
            np.stack([cell.after_IK for cell in full]),
            after_SIK,
            confidence=confidence,
            seeds_match=_seeds(cells) == _seeds(full),
            spread=spread,
        )
    return Arm(
        layer=layer,
        cells=cells,
        score_before=float(np.mean([cell.result.score_before for cell in cells])),
        score=mean_interval(after_SIK, confidence, spread=None if layer == "base" else spread),
        gain=None if layer == "base" else paired_difference(after_SIK, before_SIK, confidence, spread=spread),
        contribution=found,
    )
