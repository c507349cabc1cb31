"""A vote of several single-block models against as many answers of full training, from the answers that a study stored.

    python -m evaluation.voting runs/laptop --layers best:5 [--votes 5] [--json]

Nothing is run. Source: arXiv 2607.01232, section 5.1. Shapes: ``_S`` training seeds, ``_L`` models, ``_I`` panel items,
``_K`` answers to an item.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conf.errors import UserError
from evaluation.cells import read_study
from evaluation.comparison import Arm, Comparison, compare
from evaluation.elections import jaccard, majority, same_answer
from evaluation.formats import spread, title
from evaluation.results import EPISODES_FILE, read_rows
from evaluation.stats import Interval, mean_interval, paired_difference
from evaluation.strategies import rank_blocks

N_ELECTIONS = 200


class VotingError(UserError, ValueError):
    """No vote can be held; the message says what is missing."""


@dataclass(frozen=True)
class Vote:
    """What the vote of some models gives beside what they give alone, on one panel; intervals as in every report."""

    title: str
    layers: list[str]
    votes: int
    seeds: list[int]
    pooled: bool
    """The answers of all training seeds are one model's: a seed alone has too few answers for a vote."""
    best: str
    best_score: Interval
    full_score: Interval
    vote: Interval
    full_vote: Interval
    difference: Interval
    """Vote of the layers minus vote of full, paired."""
    overlap: Interval
    """Mean pairwise Jaccard index of the items that the models solve, over items and pairs."""
    overlap_LL: list[list[float | None]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what voting gives; return 0, or 2 where no vote can be held."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.voting", description="Votes of single-block models.")
    parser.add_argument("study", type=Path, help="the study's folder, e.g. runs/laptop")
    parser.add_argument("--layers", default="best:5", help="best:k, worst:k, all, or blocks: 3,5,7 (best:5)")
    parser.add_argument("--votes", type=int, help="votes in an election (one per layer)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage of every interval (0.95)")
    options = parser.parse_args(arguments)
    found, reasons = [], []
    comparisons, problems = compare(read_study(options.study), options.confidence)
    for comparison in comparisons:
        try:
            found.append(hold(comparison, options.layers, options.votes, options.confidence))
        except UserError as error:
            reasons.append(f"{title(comparison)}: {error}")
    for line in [*reasons, *(f"left out: {problem.path}: {problem.reason}" for problem in problems)]:
        print(line, file=sys.stderr)
    if not found:
        print(f"error: no vote in {options.study}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([asdict(vote) for vote in found], indent=1, allow_nan=False))
        return 0
    console = Console()
    if not console.is_terminal:
        console = Console(width=200, color_system=None)
    for vote in found:
        console.print(as_table(vote, options.confidence))
    return 0


def hold(comparison: Comparison, layers: str, n_votes: int | None = None, confidence: float = 0.95) -> Vote:
    """Let single-block models of one task, model and algorithm vote.

    Args:
        comparison: Its arms answered one panel.
        layers: ``best:k``, ``worst:k``, ``all``, or block numbers with commas.
        n_votes: Votes in an election; None: one of each model.
        confidence: Coverage of the intervals.

    Raises:
        VotingError: ``full``, a layer or a seed is missing, or the answers are not of one turn.
        StrategyError: ``best:k`` of a scan that is not complete, or ties.
    """
    full = comparison.arm("full")
    if full is None:
        raise VotingError("there is no full arm to compare with")
    arms = _arms(comparison, layers)
    if len(arms) < 2:
        raise VotingError(f"--layers {layers} names {len(arms)} models; a vote needs at least 2")
    seeds = sorted(set.intersection(*(set(arm.seeds) for arm in [full, *arms])))
    if not seeds:
        raise VotingError(f"full and the layers {', '.join(arm.layer for arm in arms)} share no training seed")
    answers = [_answers(arm, seeds) for arm in [full, *arms]]
    key_LSIK, outcome_LSIK = (np.stack(parts) for parts in zip(*answers, strict=True))
    _, n_seeds, n_items, n_samples = key_LSIK.shape
    wanted = n_votes or len(arms)
    pooled = n_samples < wanted and n_seeds > 1
    if pooled:  # one model with the answers of all seeds
        key_LSIK, outcome_LSIK = (
            np.moveaxis(a, 1, 2).reshape(len(a), 1, n_items, -1) for a in (key_LSIK, outcome_LSIK)
        )
    votes = min(wanted, key_LSIK.shape[3])
    if votes < 2:
        raise VotingError("the panel has one answer per item (evaluation.samples=1): full has nothing to vote with")
    rng = np.random.default_rng(0)
    vote_SI, full_SI = (
        np.array(
            [
                [majority(keys[:, s, i], outcomes[:, s, i], votes, rng, N_ELECTIONS) for i in range(n_items)]
                for s in range(keys.shape[1])
            ]
        )
        for keys, outcomes in ((key_LSIK[1:], outcome_LSIK[1:]), (key_LSIK[:1], outcome_LSIK[:1]))
    )
    solved_LI = np.nan_to_num(outcome_LSIK[1:]).mean(axis=(1, 3)) > 0.5
    overlap_LL, overlap = jaccard(solved_LI, confidence)
    best = max(arms, key=lambda arm: arm.score.value)
    return Vote(
        title=title(comparison),
        layers=[arm.layer for arm in arms],
        votes=votes,
        seeds=seeds,
        pooled=pooled,
        best=best.layer,
        best_score=best.score,
        full_score=full.score,
        vote=mean_interval(vote_SI[..., None], confidence),
        full_vote=mean_interval(full_SI[..., None], confidence),
        difference=paired_difference(vote_SI[..., None], full_SI[..., None], confidence),
        overlap=overlap,
        overlap_LL=[[None if np.isnan(value) else round(float(value), 6) for value in row] for row in overlap_LL],
    )


def _arms(comparison: Comparison, layers: str) -> list[Arm]:
    single = {arm.layer: arm for arm in comparison.arms if arm.layer.isdigit()}
    if match := re.fullmatch(r"(best|worst):([1-9]\d*)", layers):
        k, n_blocks = int(match[2]), comparison.result.n_blocks
        if k > n_blocks:
            raise VotingError(f"--layers {layers}: the model has {n_blocks} blocks")
        folder = comparison.arms[0].cells[0].folder.parents[1]
        ranked = rank_blocks(folder, n_blocks, k if match[1] == "best" else n_blocks - k).blocks
        return [single[str(block)] for block in (ranked[:k] if match[1] == "best" else ranked[-k:])]
    words = list(single) if layers == "all" else [word.strip() for word in layers.split(",")]
    if missing := [word for word in words if word not in single]:
        have = ", ".join(single) or "none"
        raise VotingError(f"--layers: no finished single-block arm {', '.join(missing)}; there are: {have}")
    return [single[word] for word in dict.fromkeys(words)]


def _answers(arm: Arm, seeds: Sequence[int]) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """What an arm answered after training: ``key_SIK`` and ``outcome_SIK``, nan where an environment broke."""
    keys, outcomes = [], []
    for cell in (cell for cell in arm.cells if cell.result.seed in seeds):
        place = {item: number for number, item in enumerate(cell.result.panel["items"])}
        key_IK = np.full(cell.after_IK.shape, "", dtype=object)
        for row in read_rows(cell.folder / EPISODES_FILE, "after"):
            if row.turns > 1:
                raise VotingError(f"{cell.folder}: an episode of {row.turns} turns has no single answer to vote on")
            key_IK[place[row.item], row.sample] = same_answer(row.answer, row.outcome) if row.turns else ""
        keys.append(key_IK.astype(str))
        outcomes.append(cell.after_IK)
    return np.stack(keys), np.stack(outcomes)


def as_table(vote: Vote, confidence: float) -> RenderableType:
    """For a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("who answers")
    table.add_column(f"score [{confidence:.0%} interval]", justify="right")
    n = len(vote.layers)
    table.add_row("full, one answer", spread(vote.full_score))
    table.add_row(f"block {vote.best}, the best here, one answer", spread(vote.best_score))
    table.add_row(f"full, {vote.votes} votes", spread(vote.full_vote))
    table.add_row(f"{n} single-block models, {vote.votes} votes", spread(vote.vote))
    table.add_row("difference of the two votes, paired", spread(vote.difference, "+"))
    table.add_row("overlap of what two of the models solve (Jaccard)", spread(vote.overlap))
    notes = [
        f"Blocks {', '.join(vote.layers)}; training seeds {', '.join(map(str, vote.seeds))}. A tie is split; who says "
        "nothing abstains.",
        "Blocks chosen by their score on this panel are flattered by it; a vote of blocks named beforehand is not.",
    ]
    if vote.pooled:
        notes.append(f"A seed has too few answers: those of {len(vote.seeds)} seeds are pooled, for full as well.")
    if vote.votes < n:
        notes.append(f"{vote.votes} of the {n} models vote in each election, as many as full has answers.")
    return Group(Text(vote.title, style="bold"), table, *(Text(f"* {note}") for note in notes))


if __name__ == "__main__":
    sys.exit(main())
