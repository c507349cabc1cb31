"""How large must a study be? ``python -m evaluation.power [STUDY] [--difference 0.1] [--in C|score]``.

How many panel items, samples per item and training seeds tell two trained arms apart whose true scores differ by d.
The noise is estimated from a finished study, or planted: ``--base 0.08 --full 0.65``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from evaluation.cells import read_study
from evaluation.comparison import compare
from evaluation.noise import DifferenceNoise, noise_of_study, planted_noise

SEEDS, SAMPLES = (1, 2, 3, 5, 8, 12), (1, 2, 4, 8, 16)
_MOST_ITEMS = 100_000


def power(
    noise: DifferenceNoise,
    difference: float,
    *,
    items: int,
    samples: int,
    seeds: int,
    arms: int = 1,
    confidence: float = 0.95,
) -> float:
    """Chance that the interval of a true ``difference`` leaves out 0, by the noncentral t distribution."""
    error, df = noise.error(items, samples, seeds, arms)
    if error == 0:
        return 1.0 if difference else 0.0
    df = min(df, 1e6)
    critical, centre = stats.t.ppf((1 + confidence) / 2, df), abs(difference) / error
    return float(stats.nct.sf(critical, df, centre) + stats.nct.cdf(-critical, df, centre))


def items_needed(
    noise: DifferenceNoise,
    difference: float,
    *,
    samples: int,
    seeds: int,
    arms: int = 1,
    wanted: float = 0.8,
    confidence: float = 0.95,
) -> int | None:
    """The fewest panel items that give the ``wanted`` power; None where no number of items does."""

    def enough(items: int) -> bool:
        options = {"items": items, "samples": samples, "seeds": seeds, "arms": arms}
        return power(noise, difference, confidence=confidence, **options) >= wanted  # type: ignore[arg-type]

    low, high = 1, 2
    while not enough(high):
        if high >= _MOST_ITEMS:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 0, or 2 where the study has nothing to estimate the noise from."""
    options = _parsed(arguments)
    try:
        found = _sources(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console()
    for name, noise, gain, arms in found:
        difference = options.difference * (abs(gain) if options.unit == "C" else 1.0)
        console.print(f"[bold]{name}[/bold]", highlight=False)
        console.print(_words(noise, options, difference, gain), highlight=False)
        console.print(_table(noise, options, difference, arms))
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation.power", description="How large must a study be?")
    parser.add_argument("study", type=Path, nargs="?", help="a study to estimate the noise from, e.g. runs/laptop")
    parser.add_argument("--base", type=float, default=0.08, help="without a study: true score of base (0.08)")
    parser.add_argument("--full", type=float, default=0.65, help="without a study: true score of full (0.65)")
    parser.add_argument("--blocks", type=int, default=30, help="without a study: trained arms (30)")
    parser.add_argument("--difference", type=float, default=0.2, help="what two arms truly differ by (0.2)")
    parser.add_argument("--in", dest="unit", choices=("C", "score"), default="C", help="unit of the difference (C)")
    parser.add_argument("--items", type=int, default=64, help="show the power of this panel: items (64)")
    parser.add_argument("--samples", type=int, default=4, help="... samples per item (4)")
    parser.add_argument("--seeds", type=int, default=3, help="... training seeds (3)")
    parser.add_argument("--power", type=float, default=0.8, help="chance to see the difference (0.8)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the interval (0.95)")
    options = parser.parse_args(arguments)
    for name in ("power", "confidence"):
        if not 0 < getattr(options, name) < 1:
            parser.error(f"--{name} must lie between 0 and 1, found {getattr(options, name)}")
    if options.difference <= 0 or min(options.items, options.samples, options.seeds, options.blocks) < 1:
        parser.error("--difference must be above 0, and --items, --samples, --seeds and --blocks at least 1")
    return options


def _sources(options: argparse.Namespace) -> list[tuple[str, DifferenceNoise, float, int]]:
    """Name, noise, full gain and number of arms of every comparison of the study, or of the planted one."""
    if not options.difference > 0:
        raise ValueError(f"error: --difference {options.difference:g}: give a number above 0")
    if options.study is None:
        gain = options.full - options.base
        if options.unit == "C" and not abs(gain) > 0:
            raise ValueError("error: C needs a gain: --full and --base are equal; --in score asks about scores")
        apart = options.difference * (abs(gain) if options.unit == "C" else 1.0)
        noise = planted_noise(options.base, options.full, apart)
        return [(f"Planted: base {options.base:g}, full {options.full:g}", noise, gain, options.blocks)]
    comparisons, _ = compare(read_study(options.study))
    found = []
    for comparison in comparisons:
        full, measured = comparison.arm("full"), noise_of_study(comparison)
        if measured and (full is not None or options.unit == "score"):
            gain = full.gain.value if full is not None and full.gain is not None else float("nan")
            result, (noise, arms) = comparison.result, measured
            if options.unit == "C" and full is not None and full.gain and full.gain.low <= 0 <= full.gain.high:
                print(f"left out: {result.task} · {result.model} · {result.algorithm}: C is n/a there, full gains "
                      f"{gain:+.3f} [{full.gain.low:+.3f}, {full.gain.high:+.3f}]; --in score asks about scores",
                      file=sys.stderr)  # fmt: skip
                continue
            name = f"{result.task} · {result.model} · {result.algorithm}"
            if all(len(arm.seeds) == 1 for arm in comparison.arms):
                # One seed shows nothing of luck in training; 0 would promise too much.
                assumed = planted_noise(options.base, options.full, 0.1)
                noise = replace(noise, seed=assumed.seed, seed_item=assumed.seed_item)
                name += f"; luck in training ASSUMED as of base {options.base:g}, full {options.full:g}: "
                name += "one seed shows none"
            found.append((name, noise, gain, arms))
    if not found:
        raise ValueError(
            f"error: {options.study}: nothing to estimate the noise from. It takes two finished trained arms with the "
            "same training seeds, and a resolved gain of full for --in C. Without a study: --base 0.08 --full 0.65."
        )
    return found


def _words(noise: DifferenceNoise, options: argparse.Namespace, difference: float, gain: float) -> str:
    unit = f"{options.difference:g} in C, {difference:.3f} in score" if options.unit == "C" else f"{difference:g}"
    deviations = ", ".join(
        f"{word} {np.sqrt(value):.3f}"
        for word, value in (
            ("items", noise.item),
            ("training seeds", noise.seed),
            ("seeds by item", noise.seed_item),
            ("one answer", noise.sampling),
        )
    )
    return (
        f"Two arms that differ by {unit} (full gains {gain:+.3f}).\n"
        f"Standard deviations of their difference: {deviations}."
    )


def _table(noise: DifferenceNoise, options: argparse.Namespace, difference: float, arms: int) -> Table:
    """Items needed by seeds and samples; below, the power of the panel asked about."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"Panel items for power {options.power:g} at {options.confidence:.0%} confidence",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("training seeds", justify="right")
    for samples in SAMPLES:
        table.add_column(f"{samples} sample{'s' if samples > 1 else ''}", justify="right")
    for seeds in SEEDS:
        needed = [
            items_needed(
                noise,
                difference,
                samples=samples,
                seeds=seeds,
                arms=arms,
                wanted=options.power,
                confidence=options.confidence,
            )
            for samples in SAMPLES
        ]
        table.add_row(f"{seeds}{'*' if seeds == 1 else ''}", *("never" if n is None else f"{n:,}" for n in needed))
    size = {"items": options.items, "samples": options.samples, "seeds": options.seeds, "arms": arms}
    chance = power(noise, difference, confidence=options.confidence, **size)
    table.caption = (
        f"{options.items} items x {options.samples} samples, {options.seeds} seeds: power {chance:.2f}. "
        "* With one seed: tells these trained models apart, not what training does. "
        f"With more, the luck of training is learnt from {arms} arms. One difference named beforehand; for the best of "
        "many, expect to need more."
    )
    return table


if __name__ == "__main__":
    raise SystemExit(main())
