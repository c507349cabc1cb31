"""Do intervals of 95 % hold the truth in 95 % of studies? Simulated studies with planted contributions.

``python benchmarks/coverage.py [--draws 1000] [--only '64 x 4']`` prints the table of docs/calibration.md.

The model of a study is in ``evaluation/planted.py``. Columns, in per cent: in how many studies the interval holds the
truth: full's mean, its gain, the difference of two blocks, C of all blocks, of one that hurts, of one that ties full,
Fieller's, the band over all blocks, the rank correlation of two profiles without ties and with. "own seeds": the arm
alone, without what the other arms say about seeds. Then how often the full gain is resolved, a block without gain has
p < 0.05, and any such block has it after Holm. An interval that is n/a says nothing and is not counted.

Shapes: ``_L`` blocks, ``_S`` training seeds, ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.agreement import agreement
from evaluation.contribution import contribution
from evaluation.fieller import fieller_interval
from evaluation.planted import Noise, Planted
from evaluation.profiles import Profile, profile_of_scores
from evaluation.stats import complete_items, mean_interval, paired_difference
from evaluation.variance import pooled_spread

# Ties with full, blocks without any gain, one that hurts, one that beats full.
CONTRIBUTIONS = (-0.1, 0.0, 0.0, 0.2, 0.45, 0.7, 0.9, 1.0, 1.15, 1.0, 0.6, 0.0)
OTHER = (0.0, 0.3, -0.1, 0.0, 0.6, 0.9, 0.5, 1.0, 1.0, 0.8, 0.7, 0.2)
"""Contributions on a second task, for rank correlations."""
FULL, TIE, NEGATIVE, NOTHING = "full", 7, 0, 1
_RESAMPLES = 600


@dataclass(frozen=True)
class Setting:
    """One row of the table: size of the panel, training seeds, and true scores of the untrained and full model."""

    items: int
    samples: int
    seeds: int
    base: float
    full: float

    @property
    def words(self) -> str:
        """Its first columns."""
        return f"{self.items} x {self.samples} | {self.seeds} | {self.base:.2f} to {self.full:.2f}"


def settings() -> list[Setting]:
    """Both sizes of panel with 1, 3 and 5 seeds: a large gain and a small one; then no gain at all."""
    gains = ((0.08, 0.65), (0.30, 0.42), (0.30, 0.30))
    sizes = ((64, 4), (200, 2))
    return [Setting(*size, seeds, *gain) for gain in gains for size in sizes for seeds in (1, 3, 5)]


def planted(setting: Setting, contributions: Sequence[float]) -> Planted:
    """Blocks with these contributions, then full. With one seed its effect is 0: no interval claims to cover it."""
    gain = setting.full - setting.base
    noise = Noise() if setting.seeds > 1 else Noise(seed=0.0)
    return Planted(setting.base, [setting.base + gain * c for c in (*contributions, 1.0)], noise)


def profile(setting: Setting, base_SIK: NDArray, trained_LSIK: NDArray, task: str, seed: int) -> Profile:
    """What the report makes of a study, learning about seeds from all of its arms."""
    *blocks_SIK, full_SIK = trained_LSIK
    return profile_of_scores(
        base_SIK,
        full_SIK,
        blocks_SIK,
        task=task,
        model="simulated",
        algorithm="grpo",
        n_blocks=len(blocks_SIK),
        blocks=range(len(blocks_SIK)),
        seeds=list(range(setting.seeds)),
        full_has_seeds=True,
        spread=pooled_spread(complete_items(*trained_LSIK)),
        confidence=0.95,
        n_resamples=_RESAMPLES,
        seed=seed,
    )


def measure(setting: Setting, draws: int, seed: int = 0) -> dict[str, list[bool]]:
    """What held in each of ``draws`` studies; a quantity that was n/a in a study is left out of its list."""
    rng = np.random.default_rng([seed, setting.items, setting.seeds, int(100 * setting.full)])
    study, other = planted(setting, CONTRIBUTIONS), planted(setting, OTHER)
    size = setting.items, setting.samples, setting.seeds
    true_rank = stats.spearmanr(CONTRIBUTIONS, OTHER).statistic
    held: dict[str, list[bool]] = defaultdict(list)
    for number in range(draws):
        base_SIK, trained_LSIK = study.draw(rng, *size)
        full_SIK = trained_LSIK[-1]
        spread = pooled_spread(complete_items(*trained_LSIK))
        options = {"n_resamples": _RESAMPLES, "seed": number}
        mean = mean_interval(full_SIK, spread=spread, **options)
        held["mean"].append(mean.low <= setting.full <= mean.high)
        if setting.seeds > 1:
            lone = mean_interval(full_SIK, **options)
            held["mean, own seeds"].append(lone.low <= setting.full <= lone.high)
        gain = paired_difference(full_SIK, base_SIK, spread=spread, **options)
        held["gain"].append(gain.low <= setting.full - setting.base <= gain.high)
        pair = paired_difference(trained_LSIK[4], trained_LSIK[5], **options)
        held["two arms"].append(pair.low <= study.trained_L[4] - study.trained_L[5] <= pair.high)
        found = profile(setting, base_SIK, trained_LSIK, "one", 2 * number)
        resolved = bool(np.isfinite(found.contribution_L).all())
        held["resolved"].append(resolved)
        nothing_L = study.trained_L[:-1] == setting.base
        held["false block"] += list(found.p_gain_L[nothing_L] < 0.05)
        held["Holm"].append(bool((found.p_adjusted_L[nothing_L] < 0.05).any()))
        if setting.full == setting.base:
            continue
        if resolved:
            _contributions(held, found, base_SIK, trained_LSIK, options)
        second = profile(setting, *other.draw(rng, *size), "two", 2 * number + 1)
        rank = agreement(found, second, n_permutations=1).spearman
        held["Spearman, ties"].append(rank.low <= true_rank <= rank.high)
        held["Spearman"].append(_random_profiles_correlate(setting, rng, number))
    return held


def _random_profiles_correlate(setting: Setting, rng: np.random.Generator, number: int) -> bool:
    """Whether the rank correlation of two profiles without ties, drawn anew and more or less alike, is covered."""
    alike_L = rng.random(len(CONTRIBUTIONS)) < rng.choice([0.0, 0.5, 0.9])
    one_L, fresh_L = rng.uniform(-0.1, 1.15, (2, len(alike_L)))
    two_L = np.where(alike_L, one_L, fresh_L)
    size = setting.items, setting.samples, setting.seeds
    found = [
        profile(setting, *planted(setting, list(true_L)).draw(rng, *size), task, 2 * number + second)
        for second, (task, true_L) in enumerate((("one", one_L), ("two", two_L)))
    ]
    rank = agreement(*found, n_permutations=1).spearman
    return bool(rank.low <= stats.spearmanr(one_L, two_L).statistic <= rank.high)


def _contributions(
    held: dict[str, list[bool]], found: Profile, base_SIK: NDArray, trained_LSIK: NDArray, options: dict
) -> None:
    true_L = np.array(CONTRIBUTIONS)
    inside_L = (found.low_L <= true_L) & (true_L <= found.high_L)
    held["C"] += list(inside_L)
    held["C < 0"].append(bool(inside_L[NEGATIVE]))
    held["C = 1"].append(bool(inside_L[TIE]))
    held["band"].append(bool(((found.simultaneous_low_L <= true_L) & (true_L <= found.simultaneous_high_L)).all()))
    base_SI, *trained_SI = complete_items(base_SIK, *trained_LSIK)
    spread = pooled_spread(trained_SI)
    for block in (NEGATIVE, 5, TIE):
        low, high = fieller_interval(
            base_SI, trained_SI[-1], trained_SI[block], confidence=0.95, seeds_match=True, spread=spread
        )
        held["Fieller"].append(bool(low <= true_L[block] <= high))
    if len(trained_LSIK[0]) > 1:
        alone = contribution(base_SIK, trained_LSIK[-1], trained_LSIK[5], seeds_match=True, **options)
        if alone.resolved:
            held["C, own seeds"].append(bool(alone.low <= true_L[5] <= alone.high))


COLUMNS = ("mean", "mean, own seeds", "gain", "two arms", "C", "C < 0", "C = 1", "C, own seeds", "Fieller", "band",
           "Spearman", "Spearman, ties", "resolved", "false block", "Holm")  # fmt: skip
RATES = ("resolved", "false block", "Holm")


def row(setting: Setting, held: dict[str, list[bool]]) -> str:
    """One line of the table, in per cent; bold where an interval covers less than 93 or more than 97 per cent."""
    shares = []
    for name in COLUMNS:
        text = f"{100 * np.mean(held[name]):.1f}" if held.get(name) else "-"
        off = name not in RATES and text != "-" and not 93 <= float(text) <= 97
        shares.append(f"**{text}**" if off else text)
    return f"| {setting.words} | {' | '.join(shares)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it into a page in place of the one that is there."""
    parser = argparse.ArgumentParser(description="Coverage of the intervals, by simulated studies.")
    parser.add_argument("--draws", type=int, default=1000, help="studies per row (1000)")
    parser.add_argument("--processes", type=int, default=2, help="rows at a time (2); a row takes minutes on a core")
    parser.add_argument("--only", default="", help="rows whose first columns hold this text, e.g. '64 x 4 | 3'")
    parser.add_argument("--into", type=Path, help="a Markdown page, e.g. docs/calibration.md")
    options = parser.parse_args(arguments)
    lines = [f"| panel | seeds | base to full | {' | '.join(COLUMNS)} |", f"|{' --- |' * (len(COLUMNS) + 3)}"]
    print("\n".join(lines), flush=True)
    chosen = [setting for setting in settings() if options.only in setting.words]
    if not chosen:
        parser.error(f"--only {options.only}: no such row; there are: {'; '.join(s.words for s in settings())}")
    with ProcessPoolExecutor(options.processes) as pool:
        for setting, held in zip(chosen, pool.map(measure, chosen, repeat(options.draws)), strict=True):
            lines.append(row(setting, held))
            print(lines[-1], flush=True)
    if options.into:
        options.into.write_text(with_table(options.into.read_text(), lines))


def with_table(page: str, lines: Sequence[str]) -> str:
    """The page with these lines in place of its table of coverage."""
    return re.sub(r"^\| panel .*\n(?:\|.*\n)*", lambda _: "\n".join(lines) + "\n", page, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
