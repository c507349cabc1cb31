"""A comparison in words: what it answers, the numbers behind the answer, and what the training runs say against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.comparison import Comparison, singles
from evaluation.findings import words
from evaluation.learning import Curve
from evaluation.profiles import Profile
from evaluation.report.landmarks import best_single
from evaluation.report.view import StudyView


@dataclass(frozen=True)
class Verdict:
    """What a reader takes away from one comparison."""

    headline: str
    numbers: list[tuple[str, str]]
    """A label and a value, for reading at a glance."""
    sentences: list[str]
    warnings: list[str]
    """What the training curves and the other cells say; ``evaluation.captions.caveats`` has the rest."""


def verdicts(view: StudyView) -> list[Verdict]:
    """One verdict per comparison, in their order."""
    return [
        Verdict(
            headline=headline(comparison, profile),
            numbers=_numbers(comparison, profile, view.confidence),
            sentences=_sentences(comparison, profile),
            warnings=_warnings(view.curves_of(comparison)),
        )
        for comparison, profile in zip(view.comparisons, view.profiles, strict=True)
    ]


def headline(comparison: Comparison, profile: Profile | None) -> str:
    """The answer to "is one block enough?", as far as these numbers give one."""
    full, best = comparison.arm("full"), best_single(comparison)
    if all(arm.layer == "base" for arm in comparison.arms):
        return "Only the untrained model has been scored so far."
    if full is None or full.gain is None:
        return "There is no result of full training yet, so no contribution can be computed."
    gain, low, high = _full_gain(comparison)
    if low <= 0 <= high:
        return "Not answered: full training's own gain cannot be told from 0."
    if gain < 0:
        return f"Full training lowered the score, by {-gain:.3f}: there is no gain to recover."
    if best is None:
        return "No single block has a result yet, so the question is open."
    if profile is None or not np.isfinite(profile.contribution_L).any():
        found = best.contribution
        if found is None or not found.resolved:
            return "Not answered: the contribution of a single block is not resolved."
        return _sentence(best.layer, found.value, found.low, found.high, "")
    place = int(np.argmax(profile.gain_L))
    return _sentence(
        str(profile.blocks_L[place]),
        profile.contribution_L[place],
        profile.simultaneous_low_L[place],
        profile.simultaneous_high_L[place],
        f", the best of {len(profile.blocks_L)},",
    )


def _sentence(layer: str, value: float, low: float, high: float, rank: str) -> str:
    amount = f"C = {value:.2f} [{low:.2f}, {high:.2f}]"
    if low > 1:
        return f"Block {layer} alone{rank} gains more than full training: {amount}."
    if high >= 1 - 1e-9:
        return f"Block {layer} alone{rank} cannot be told from full training: {amount}."
    if low > 0:
        return f"Block {layer} alone{rank} recovers a part of full training's gain: {amount}."
    return f"No single block's contribution is told from 0; the largest is that of block {layer}: {amount}."


def _full_gain(comparison: Comparison) -> tuple[float, float, float]:
    """Full training's gain over the untrained model with its interval: the one that decides whether C is resolved."""
    found = next((arm.contribution for arm in comparison.arms if arm.contribution), None)
    if found is not None:
        return found.gain, found.gain_low, found.gain_high
    full = comparison.arm("full")
    assert full is not None and full.gain is not None
    return full.gain.value, full.gain.low, full.gain.high


def _numbers(comparison: Comparison, profile: Profile | None, confidence: float) -> list[tuple[str, str]]:
    panel, full = comparison.result.panel, comparison.arm("full")
    base = float(np.nanmean(comparison.base_SIK))
    seeds = sorted({len(arm.seeds) for arm in comparison.arms if arm.layer != "base"})
    found = [("untrained", f"{base:.3f}")]
    if full is not None:
        found.append(("full training", f"{full.score.value:.3f}"))
    if best := best_single(comparison):
        found.append((f"block {best.layer} alone", f"{best.score.value:.3f}"))
    if profile is not None:
        found.append(("blocks that gain", f"{_gaining(profile, confidence)} of {len(profile.blocks_L)}"))
    found.append(("panel", f"{len(panel['items'])} × {panel['samples']}"))
    if seeds:
        found.append(("training seeds", " to ".join(map(str, sorted({seeds[0], seeds[-1]})))))
    return found


def _sentences(comparison: Comparison, profile: Profile | None) -> list[str]:
    full, said = comparison.arm("full"), []
    if full is not None and full.gain is not None:
        gain, low, high = _full_gain(comparison)
        ends = f"from {full.score.value - gain:.3f} to {full.score.value:.3f}"
        said.append(f"Full training gains {gain:+.3f} [{low:+.3f}, {high:+.3f}], {ends}.")
    if profile is not None:
        said += words(profile)
        if full is not None and full.gain is not None and len(profile.blocks_L) > 2:
            mean = float(np.mean(profile.gain_L))
            said.append(f"A block picked without looking gains {mean:+.3f} on average.")
    groups = [arm for arm in comparison.arms if arm not in singles(comparison) and arm.contribution]
    said += [f"Layer {arm.layer}: C = {c.value:.2f} [{c.low:.2f}, {c.high:.2f}]."
             for arm in groups if (c := arm.contribution) and c.resolved]  # fmt: skip
    return said


def _warnings(curves: Sequence[Curve]) -> list[str]:
    said = []
    shares = {curve.layer: _mean_of(curves, curve.layer, "zero_variance_groups") for curve in curves}
    silent = {layer: share for layer, share in shares.items() if np.isfinite(share)}
    if silent:
        least, most = min(silent, key=silent.__getitem__), max(silent, key=silent.__getitem__)
        said.append(
            f"Degenerate groups: {np.mean(list(silent.values())):.0%} of the training groups gave no signal, all their "
            f"answers earned the same (from {silent[least]:.0%}, layer {least}, to {silent[most]:.0%}, layer {most})."
        )
    if running := [curve for curve in curves if not curve.finished]:
        counted = "1 cell is" if len(running) == 1 else f"{len(running)} cells are"
        said.append(f"{counted} unfinished: learning curves are drawn, scores are not in.")
    return said


def _mean_of(curves: Sequence[Curve], layer: str, name: str) -> float:
    values = [curve.mean(name) for curve in curves if curve.layer == layer]
    return float(np.mean(values))


def _gaining(profile: Profile, confidence: float) -> int:
    return int(((profile.p_adjusted_L < 1 - confidence) & (profile.gain_L > 0)).sum())
