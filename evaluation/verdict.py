"""A comparison in words: what it answers, the numbers behind the answer, and what the training runs say against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.comparison import Comparison
from evaluation.landmarks import best_single, singles
from evaluation.learning import Curve
from evaluation.profiles import Estimate, Profile, concentration, location, reliability
from evaluation.view import StudyView


@dataclass(frozen=True)
class Finding:
    """What a reader takes away from one comparison."""

    headline: str
    numbers: list[tuple[str, str]]
    """A label and a value, for reading at a glance."""
    sentences: list[str]
    warnings: list[str]
    """What the training curves and the other cells say; ``evaluation.captions.caveats`` has the rest."""


def findings(view: StudyView) -> list[Finding]:
    """One finding per comparison, in their order."""
    return [
        Finding(
            headline=headline(comparison, profile),
            numbers=_numbers(comparison, profile, view.confidence),
            sentences=_sentences(comparison, profile, view.confidence),
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
        return "No single block has been trained, so the question is open."
    if profile is None or not np.isfinite(profile.contribution_L).any():
        found = best.contribution
        if found is None or not found.resolved:
            return "Not answered: the contribution of a single block is not resolved."
        return _verdict(best.layer, found.value, found.low, found.high, "")
    place = int(np.argmax(profile.gain_L))
    return _verdict(
        str(profile.blocks_L[place]),
        profile.contribution_L[place],
        profile.simultaneous_low_L[place],
        profile.simultaneous_high_L[place],
        f", the best of {len(profile.blocks_L)},",
    )


def _verdict(layer: str, value: float, low: float, high: float, rank: str) -> str:
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


def _sentences(comparison: Comparison, profile: Profile | None, confidence: float) -> list[str]:
    full, said = comparison.arm("full"), []
    if full is not None and full.gain is not None:
        gain, low, high = _full_gain(comparison)
        ends = f"from {full.score.value - gain:.3f} to {full.score.value:.3f}"
        said.append(f"Full training gains {gain:+.3f} [{low:+.3f}, {high:+.3f}], {ends}.")
    if profile is not None:
        said += _shape(profile, confidence)
        if full is not None and full.gain is not None and len(profile.blocks_L) > 2:
            mean = float(np.mean(profile.gain_L))
            said.append(f"A block picked without looking gains {mean:+.3f} on average.")
    groups = [arm for arm in comparison.arms if arm not in singles(comparison) and arm.contribution]
    said += [f"Layer {arm.layer}: C = {c.value:.2f} [{c.low:.2f}, {c.high:.2f}]."
             for arm in groups if (c := arm.contribution) and c.resolved]  # fmt: skip
    return said


def _shape(profile: Profile, confidence: float) -> list[str]:
    gain, blocks = _gaining(profile, confidence), len(profile.blocks_L)
    verb = "gains" if gain == 1 else "gain"
    lose = int(((profile.p_adjusted_L < 1 - confidence) & (profile.gain_L < 0)).sum())
    level = f"{1 - confidence:.0%}"
    losing = f" and {lose} lose" if lose else ""
    said = [
        f"{gain} of {blocks} blocks {verb}{losing} when trained alone, told from no change "
        f"with Holm's correction for {blocks} tests (any false one in {level} of studies)."
    ]
    order = np.argsort(-profile.p_best_L)[:3]
    ranks = ", ".join(f"{profile.blocks_L[place]} ({_chance(profile.p_best_L[place])})" for place in order)
    said.append(f"Most probably the best blocks, with the chance of each: {ranks}.")
    if not gain:
        return said
    held, where, steady = concentration(profile), location(profile), reliability(profile)
    if np.isfinite(held.effective_blocks.value):
        top = "".join(f"; the top {k} hold {_share(held.top_share[k])}" for k in (3,) if k in held.top_share)
        said.append(
            f"The gain is spread as over {_estimate(held.effective_blocks, '.1f')} equal blocks of {blocks}{top}."
        )
    if np.isfinite(where.centre.value):
        said.append(f"Its centre lies at relative depth {_estimate(where.centre)} (0 is the first block, 1 the last).")
    middle = where.middle_minus_ends
    if np.isfinite(middle.value):
        p = "" if middle.p is None else f"; p = {middle.p:.2g} by permuting blocks"
        said.append(f"The middle fifth gains {_estimate(middle, '+.3f')} against the other blocks{p}.")
    if steady is not None:
        said.append(
            f"Reliability over training seeds: {_estimate(steady)}; 1 is a profile that new seeds would repeat."
        )
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


def _estimate(found: Estimate, form: str = ".2f") -> str:
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _share(found: Estimate) -> str:
    return f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


def _chance(p: float) -> str:
    return f"{p:.0%}" if p >= 0.01 or p == 0 else "<1%"
