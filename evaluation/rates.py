"""Does the learning rate decide which block is better? Chosen blocks run again at other rates, beside the study.

    python -m evaluation.rates runs/laptop --blocks 3,15 --rates 3e-5,6e-5            # the commands, and what is there
    python -m evaluation.rates runs/laptop --blocks 3,15 --rates 3e-5,6e-5 --run hydra/launcher=fused

A rate has a study of its own, ``laptop-rate-3e-05``. The panel, the seeds and every other setting are the study's. Two
blocks change places where one is above the other at one rate and below it at another, both resolved.
Source: arXiv 2607.01232, appendix A.7, which finds that ranks stay.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conf.errors import UserError
from evaluation.captions import command
from evaluation.cells import StudyCells, read_study
from evaluation.comparison import ANCHORS, Arm, Comparison, compare
from evaluation.formats import contribution_text, spread, title
from evaluation.results import Result
from evaluation.stats import Interval, paired_difference

RATE_KEY = "algorithm.single_block_learning_rate"


class RatesError(UserError, ValueError):
    """Blocks or rates that cannot be compared; the message names the valid ones."""


@dataclass(frozen=True)
class AtRate:
    """The chosen blocks at one learning rate."""

    rate: float
    study: Path
    arms: dict[int, Arm]
    """By block; those that are finished in every seed."""
    owed: str
    """The command that runs the rest; empty where there is none."""


@dataclass(frozen=True)
class Order:
    """Two blocks at two rates: the gain of ``a`` minus that of ``b``, paired over panel and seeds."""

    a: int
    b: int
    rates: tuple[float, float]
    difference: tuple[Interval, Interval]

    @property
    def verdict(self) -> str:
        """``changes``, ``stays``, or ``not resolved`` where an interval contains 0."""
        signs = [_sign(interval) for interval in self.difference]
        if 0 in signs:
            return "not resolved"
        return "stays" if signs[0] == signs[1] else "changes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or run what is owed, then what is known; 0, 1 where a run failed, 2 where the study cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.rates", description="Blocks again at other rates.")
    parser.add_argument("study", type=Path, help="the finished study's folder, e.g. runs/laptop")
    parser.add_argument("--blocks", required=True, help="at least two block numbers: 3,15")
    parser.add_argument("--rates", required=True, help="learning rates: 3e-5,6e-5")
    parser.add_argument("--run", action="store_true", help="run what is owed, in this terminal")
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage of every interval (0.95)")
    parser.add_argument("words", nargs="*", help="further words for the runs, e.g. hydra/launcher=fused")
    options = parser.parse_intermixed_args(arguments)
    try:
        blocks, rates = _numbers(options.blocks, int), _numbers(options.rates, float)
        if wrong := [rate for rate in rates if not 0 < rate <= 1]:
            raise RatesError(f"--rates {options.rates}: {wrong[0]:g} is no learning rate; give numbers in (0, 1]")
        if len(blocks) < 2:
            raise RatesError(f"--blocks {options.blocks}: an order needs at least two blocks")
        comparisons = compare(read_study(options.study), options.confidence)[0]
        if not comparisons:
            raise RatesError(f"{options.study} holds no finished cell")
        code = 0
        for comparison in comparisons:
            own = as_scanned(comparison, options.study, blocks)
            if own.rate in rates:
                raise RatesError(f"--rates: {own.rate:g} is the study's own rate; give others")
            found = [at_rate(comparison, options.study, blocks, rate, options.words) for rate in rates]
            if options.run:
                failed = [_ran(at.owed) for at in found if at.owed]
                code = int(code or any(failed))
                found = [at_rate(comparison, options.study, blocks, rate, options.words) for rate in rates]
            console = Console() if Console().is_terminal else Console(width=2000, color_system=None)
            console.print(as_table(title(comparison), blocks, [own, *found], options.confidence))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code


def as_scanned(comparison: Comparison, study: Path, blocks: Sequence[int]) -> AtRate:
    """The blocks in the study itself.

    Raises:
        RatesError: One of them is not there.
    """
    arms = {block: arm for block in blocks if (arm := comparison.arm(str(block)))}
    if missing := [block for block in blocks if block not in arms]:
        have = ", ".join(arm.layer for arm in comparison.arms if arm.layer.isdigit()) or "none"
        raise RatesError(f"--blocks: {study} has no finished arm {', '.join(map(str, missing))}; there are: {have}")
    return AtRate(arms[blocks[0]].result.learning_rate, study, arms, "")


def at_rate(comparison: Comparison, study: Path, blocks: Sequence[int], rate: float, words: Sequence[str]) -> AtRate:
    """What the study beside ``study`` holds at ``rate``, and what it is owed."""
    own = as_scanned(comparison, study, blocks)
    sibling = study.resolve().parent / f"{study.resolve().name}-rate-{rate:g}"
    twin = _beside_anchors(comparison, sibling) if sibling.is_dir() else None
    seeds = own.arms[blocks[0]].seeds
    arms = {block: arm for block in blocks if twin and (arm := twin.arm(str(block))) and arm.seeds == seeds}
    owed = [str(block) for block in blocks if block not in arms]
    trained = own.arms[blocks[0]].result
    kept = [word for word in trained.overrides if not word.lstrip("+").startswith(f"{RATE_KEY}=")]
    line = command(replace(trained, overrides=[*kept, f"{RATE_KEY}={rate:g}"]), sibling, owed, seeds)
    return AtRate(rate, sibling, arms, " ".join([line, *map(shlex.quote, words)]) if owed else "")


def _beside_anchors(comparison: Comparison, sibling: Path) -> Comparison | None:
    """What the sibling holds, with the study's base and full as anchors; None where it has no cell of this family."""
    read = read_study(sibling)
    cells = [cell for cell in read.cells if _family(cell.result) == _family(comparison.result)]
    if any(cell.result.panel != comparison.result.panel for cell in cells):
        raise RatesError(f"{sibling} answered another panel than this study; remove it, and it is run again")
    own = [cell for layer in ANCHORS if (arm := comparison.arm(layer)) for cell in arm.cells]
    others = [cell for cell in cells if cell.result.layer not in ANCHORS]
    return compare(StudyCells(sibling, [*own, *others], []))[0][0] if others else None


def orders(found: Sequence[AtRate], confidence: float) -> list[Order]:
    """Every pair of blocks at the study's own rate and at each other one, where both are finished."""
    own, *others = found
    listed = []
    for at in others:
        for a, b in combinations(at.arms, 2):
            differences = [_difference(these.arms[a], these.arms[b], confidence) for these in (own, at)]
            listed.append(Order(a, b, (own.rate, at.rate), (differences[0], differences[1])))
    return listed


def as_table(name: str, blocks: Sequence[int], found: Sequence[AtRate], confidence: float) -> RenderableType:
    """Gain and C by block and rate, then which pairs change places, then what is owed."""
    gains = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    gains.add_column("block", justify="right")
    for at in found:
        gains.add_column(f"gain at {at.rate:g}", justify="right")
        gains.add_column(f"C at {at.rate:g}", justify="right")
    for block in blocks:
        gains.add_row(str(block), *(text for at in found for text in _gain_and_c(at.arms.get(block))))
    parts: list[RenderableType] = [Text(name, style="bold"), gains, Text("C: against the study's own full training.")]
    for order in orders(found, confidence):
        parts.append(
            Text(
                f"blocks {order.a} and {order.b}: {spread(order.difference[0], '+')} at {order.rates[0]:g}, "
                f"{spread(order.difference[1], '+')} at {order.rates[1]:g}: {order.verdict}"
            )
        )
    if owed := [at.owed for at in found if at.owed]:
        parts += [Text("Run what is owed (or --run):"), *(Text(f"  {line}") for line in owed)]
    return Group(*parts)


def _gain_and_c(arm: Arm | None) -> tuple[str, str]:
    if arm is None or arm.gain is None:
        return "not run", ""
    return spread(arm.gain, "+"), contribution_text(arm)


def _difference(a: Arm, b: Arm, confidence: float) -> Interval:
    """All arms began as one model, so the difference of gains is that of scores."""
    return paired_difference(a.after_SIK, b.after_SIK, confidence)


def _sign(interval: Interval) -> int:
    return (interval.low > 0) - (interval.high < 0)


def _family(result: Result) -> tuple[str, str, str]:
    return result.task, result.model, result.algorithm


def _numbers(text: str, kind: type) -> list:
    try:
        return list(dict.fromkeys(kind(word) for word in text.split(",")))
    except ValueError:
        raise RatesError(f"{text!r} is no list of numbers with commas") from None


def _ran(line: str) -> bool:
    """Run one command; true where it failed."""
    words = shlex.split(line.removeprefix("python run.py "))
    return subprocess.run([sys.executable, "-m", "run", *words], check=False).returncode != 0


if __name__ == "__main__":
    sys.exit(main())
