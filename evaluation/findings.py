"""What a profile of single blocks says, in sentences: the best block and how sure, how spread, where, how steady."""

from __future__ import annotations

import numpy as np

from evaluation.profiles import concentration, location, reliability
from evaluation.shape import Estimate, Profile

_FEWEST_BLOCKS = 5


def findings(profile: Profile | None) -> list[str]:
    """The paragraph on a comparison's single blocks; empty with fewer than two of them."""
    return words(profile) if profile else []


def words(profile: Profile) -> list[str]:
    """A profile in sentences; its shape only where there are blocks enough to have one."""
    sentences = [_best(profile), _gains(profile)]
    if len(profile.blocks_L) >= _FEWEST_BLOCKS:
        sentences += [_shape(profile), _repeatable(profile)]
    return [sentence for sentence in sentences if sentence]


def _best(profile: Profile) -> str:
    best = int(np.argmax(profile.gain_L))
    blocks, chance_L = profile.blocks_L, profile.p_best_L
    ties = np.flatnonzero(profile.gain_L >= profile.gain_L[best] - 1e-12)
    tied = ", ".join(str(blocks[at]) for at in ties)
    names = f"blocks {tied} tie exactly for the largest gain" if len(ties) > 1 else f"block {tied} gains most"
    text = f"Profile of {len(blocks)} single blocks, training seeds {', '.join(map(str, profile.seeds))}: {names}"
    if np.isfinite(profile.contribution_L[best]):
        text += f", C {_spread(profile.contribution_L[best], profile.low_L[best], profile.high_L[best])}"
        band = f"[{profile.simultaneous_low_L[best]:.2f}, {profile.simultaneous_high_L[best]:.2f}]"
        text += f", {band} as one of {len(blocks)} looked at; P(C >= 1) {profile.p_at_least_full_L[best]:.2f}"
    likely = np.argsort(-chance_L)
    enough = int(np.searchsorted(np.cumsum(chance_L[likely]), profile.confidence - 1e-9)) + 1
    text += f". P(it is the best) {chance_L[best]:.2f}"
    if enough > 1:
        listed = ", ".join(str(block) for block in sorted(blocks[at] for at in likely[:enough]))
        text += f"; the best is among {enough} blocks with P {profile.confidence:.2f}: {listed}"
    return text + "."


def _gains(profile: Profile) -> str:
    level = 1 - profile.confidence
    sure = profile.p_adjusted_L < level
    count = len(sure)
    up = [str(block) for block, yes in zip(profile.blocks_L, sure & (profile.gain_L > 0), strict=True) if yes]
    down = [str(block) for block, yes in zip(profile.blocks_L, sure & (profile.gain_L < 0), strict=True) if yes]
    text = f"Changed for sure, by Holm's p < {level:.2g} over {count} tests: {len(up)} of {count} blocks gain"
    if up and len(up) < count:
        text += f" ({', '.join(up)})"
    return text + (f", {len(down)} lose ({', '.join(down)})" if down else "") + "."


def _shape(profile: Profile) -> str:
    if not (profile.gain_L > 0).any():
        return ""
    held, place = concentration(profile), location(profile)
    blocks = f"{_shown(held.effective_blocks, '.1f')} equal blocks of {len(profile.blocks_L)}"
    text = f"Noise taken off, the gain is spread as over {blocks}"
    if 3 in held.top_share:
        text += f"; the top 3 hold {_shown(held.top_share[3], '.2f')} of it"
    text += f"; its centre lies at relative depth {_shown(place.centre, '.2f')}"
    if np.isfinite(place.middle_minus_ends.value):
        middle = place.middle_minus_ends
        text += f"; blocks at 40-60 % of depth gain {_shown(middle, '+.3f')} more than the rest"
        text += f", permutation p {middle.p:.2g}, and {place.shifted_p:.2g} by shifting the whole profile, which keeps "
        text += "neighbours together"
    return text + "."


def _repeatable(profile: Profile) -> str:
    found = reliability(profile)
    if found is None:
        return ""
    return f"Reliability of the profile over training seeds (split half, Spearman-Brown): {_shown(found, '.2f')}."


def _shown(estimate: Estimate, form: str) -> str:
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def _spread(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
