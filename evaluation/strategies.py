"""Which blocks a finished study found best: what ``layer=best:k``, ``worst:k`` and ``boost:k`` stand for.

Source: arXiv 2607.01232, section 4. Blocks are ranked by the mean score of the arms that train one block alone, over
their training seeds; all answered one panel and began as one model, so that is their order by gain and by contribution.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from conf.errors import UserError
from evaluation.captions import command
from evaluation.cells import Cell, StudyCells, read_study
from evaluation.comparison import Arm, Comparison, compare

CHOICE_FILE = "choice.json"


class StrategyError(UserError, ValueError):
    """A study that cannot say which blocks are best; the message names what is owed and the command that runs it."""


@dataclass(frozen=True)
class Ranking:
    """All blocks of a model, the best first, and what that was read from. ``choice.json`` holds one."""

    study: str
    """The folder of the arms that were compared."""
    task: str
    model: str
    algorithm: str
    seeds: list[int]
    """Training seeds that every block has."""
    blocks: list[int]
    gains: list[float]
    """Score after training block ``blocks[i]`` alone, minus before, mean over seeds."""


_RANKING = TypeAdapter(Ranking)


def rank_blocks(arms: Path, n_blocks: int, cut: int) -> Ranking:
    """Rank the blocks of one task, model and algorithm of a study.

    Args:
        arms: The folder that holds ``layer=0``, ``layer=1`` ...: ``<study>/<task>/<model>/<algorithm>``.
        n_blocks: How many blocks the model has; all of them must have been trained alone.
        cut: The choice takes the first ``cut`` of the ranking, or all but these: the two sides must not tie.

    Raises:
        StrategyError: Nothing there, another model, blocks or seeds are owed, or a tie at the cut.
    """
    read = read_study(arms)
    comparisons, _ = compare(StudyCells(arms, [c for c in read.cells if _alone(c)], read.problems))
    if not comparisons:
        raise StrategyError(
            f"{arms} holds no finished arm that trains one block, so it cannot say which blocks are best; "
            "run layer=all there first, or name a finished study: layer_study=<folder>"
        )
    comparison = comparisons[0]
    result = comparison.result
    if result.n_blocks != n_blocks:
        raise StrategyError(f"{arms} is of a model with {result.n_blocks} blocks ({result.model}); this has {n_blocks}")
    by_block = {arm.result.blocks[0]: arm for arm in comparison.arms}
    _require_scan(arms, comparison, by_block)
    score_L = np.array([_score(by_block[block]) for block in range(n_blocks)])
    order = sorted(range(n_blocks), key=lambda block: (-score_L[block], block))
    if cut < n_blocks and np.isclose(score_L[order[cut - 1]], score_L[order[cut]], rtol=0, atol=1e-12):
        tied = [
            block for block in range(n_blocks) if np.isclose(score_L[block], score_L[order[cut]], rtol=0, atol=1e-12)
        ]
        seed = max(by_block[0].seeds) + 1
        raise StrategyError(
            f"blocks {_listed(tied)} of {arms} tie at {score_L[tied[0]]:.4f}, so a choice of {cut} would be arbitrary; "
            f"take another k, or one more seed: {command(result, _study_of(arms), ['all'], [seed])}"
        )
    before = float(np.mean([cell.result.score_before for cell in by_block[0].cells]))
    return Ranking(
        str(arms),
        result.task,
        result.model,
        result.algorithm,
        by_block[0].seeds,
        order,
        [round(float(score_L[block]) - before, 12) for block in order],
    )


def _alone(cell: Cell) -> bool:
    return cell.result.layer.isdigit() and cell.result.steps > 0


def _score(arm: Arm) -> float:
    return float(np.nanmean(arm.after_SIK))


def _require_scan(arms: Path, comparison: Comparison, by_block: dict[int, Arm]) -> None:
    n_blocks, result = comparison.result.n_blocks, comparison.result
    seeds = sorted({seed for arm in by_block.values() for seed in arm.seeds})
    owed = {
        seed: [block for block in range(n_blocks) if block not in by_block or seed not in by_block[block].seeds]
        for seed in seeds
    }
    if not any(owed.values()):
        return
    n_missing = len([block for block in range(n_blocks) if block not in by_block])
    what = f"{n_blocks - n_missing} of {n_blocks} blocks have been trained alone" if n_missing else "seeds are missing"
    commands = [
        command(result, _study_of(arms), [str(block) for block in blocks], [seed])
        for seed, blocks in owed.items()
        if blocks
    ]
    raise StrategyError(
        f"{arms} is not finished: {what}, and all must be, with the same seeds, before some can be called best. Owed:\n"
        + "\n".join(f"  {line}" for line in commands)
    )


def _study_of(arms: Path) -> Path:
    return arms.parents[2]


def _listed(blocks: Iterable[int]) -> str:
    return ", ".join(map(str, blocks))


def write_choice(folder: Path, ranking: Ranking) -> Ranking:
    """Keep what was read beside the cells that follow it, unless a cell that came first has; return what is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{CHOICE_FILE}.{os.getpid()}"
    draft.write_bytes(_RANKING.dump_json(ranking, indent=1) + b"\n")
    try:
        os.link(draft, folder / CHOICE_FILE)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read_choice(folder) or ranking


def read_choice(folder: Path) -> Ranking | None:
    """What the cells in ``folder`` follow, or None.

    Raises:
        StrategyError: The file is there and cannot be read.
    """
    path = folder / CHOICE_FILE
    try:
        return _RANKING.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StrategyError(f"{path} is no record of a choice: {str(error).splitlines()[0]}") from error
