"""Profiles over depth: what planted blocks look like, and how shape and repeatability are measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_comparison import comparison_of, without

from evaluation.comparison import Comparison
from evaluation.findings import findings, words
from evaluation.profiles import (
    Profile,
    block_profile,
    chance_of_best,
    concentration,
    holm,
    location,
    reliability,
    simultaneous_band,
)

HILL = {str(block): 0.1 + 0.5 * np.exp(-(((block - 15) / 6) ** 2)) for block in range(0, 30, 3)}


@pytest.fixture(scope="module")
def hill() -> Comparison:
    """Ten of thirty blocks; block 15 gains as much as full, the ends next to nothing."""
    return comparison_of({"full": 0.6, **HILL, "mid:5": 0.6})


@pytest.fixture(scope="module")
def profile(hill: Comparison) -> Profile:
    found = block_profile(hill)
    assert found is not None
    return found


def flat(profile: Profile, gain_L: list[float], noise: float = 0.0, seed_gain_SL: list | None = None) -> Profile:
    """The profile with other gains, known but for ``noise``."""
    gains = np.array(gain_L)
    draws_RL = gains + noise * np.random.default_rng(0).standard_normal((2000, len(gains)))
    seeds_SL = np.array(seed_gain_SL if seed_gain_SL is not None else [gain_L])
    blocks = tuple(range(len(gains)))
    return replace(
        profile,
        n_blocks=len(gains),
        blocks_L=blocks,
        depth_L=np.array(blocks) / (len(gains) - 1),
        gain_L=gains,
        draws_RL=draws_RL,
        seed_gain_SL=seeds_SL,
    )


def test_single_blocks_in_order_of_depth(profile: Profile, hill: Comparison) -> None:
    assert profile.blocks_L == tuple(range(0, 30, 3))
    assert profile.depth_L[5] == pytest.approx(15 / 29)
    assert profile.seeds == [0, 1, 2] and profile.seed_gain_SL.shape == (3, 10)
    np.testing.assert_allclose(profile.seed_gain_SL.mean(axis=0), profile.gain_L)
    for block, value in zip(profile.blocks_L, profile.contribution_L, strict=True):
        arm = hill.arm(str(block))
        assert arm is not None and arm.contribution is not None
        assert arm.contribution.value == pytest.approx(value)


def test_table_and_profile_agree_on_intervals(profile: Profile, hill: Comparison) -> None:
    arm = hill.arm("15")
    assert arm is not None and arm.contribution is not None
    assert (profile.low_L[5], profile.high_L[5]) == (arm.contribution.low, arm.contribution.high)
    assert profile.p_at_least_full_L[5] == arm.contribution.p_at_least_full


def test_the_band_is_wider_and_the_adjusted_p_larger(profile: Profile) -> None:
    assert (profile.simultaneous_low_L < profile.low_L).all() and (profile.simultaneous_high_L > profile.high_L).all()
    assert (profile.p_adjusted_L >= profile.p_gain_L).all()
    assert profile.p_adjusted_L[5] < 0.001 < 0.05 < profile.p_gain_L[0]


def test_the_chance_to_be_best_adds_up(profile: Profile) -> None:
    assert profile.p_best_L.sum() == pytest.approx(1.0)
    assert profile.p_best_L[4:7].sum() > 0.9


def test_ties_split_the_chance_to_be_best() -> None:
    draws_RL = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.2, 0.2, 0.2]])
    np.testing.assert_allclose(chance_of_best(draws_RL), [(1 / 2 + 1 / 3) / 3, (1 / 2 + 1 + 1 / 3) / 3, 1 / 9])


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])


def test_a_band_of_independent_normals_is_that_of_sidak() -> None:
    draws_RL = np.random.default_rng(0).standard_normal((50_000, 20))
    value_L, half_L = np.zeros(20), np.full(20, 1.96)
    low_L, high_L = simultaneous_band(value_L, -half_L, half_L, draws_RL, 0.95)
    assert high_L == pytest.approx(np.full(20, 3.02), abs=0.05) and low_L == pytest.approx(-high_L)


def test_no_full_or_no_gain_leaves_contributions_out(hill: Comparison) -> None:
    for comparison in (without(hill, ["full"]), comparison_of({"full": 0.1, "3": 0.4, "9": 0.4})):
        found = block_profile(comparison)
        assert found is not None
        assert np.isnan([found.contribution_L, found.low_L, found.simultaneous_high_L, found.p_at_least_full_L]).all()
        assert np.isfinite(found.gain_L).all() and found.p_best_L.sum() == pytest.approx(1.0)


def test_one_block_is_no_profile() -> None:
    assert block_profile(comparison_of({"full": 0.6, "7": 0.5, "mid:5": 0.5})) is None


def test_only_shared_seeds_are_compared(hill: Comparison) -> None:
    arms = [replace(arm, cells=arm.cells[:2]) if arm.layer == "3" else arm for arm in hill.arms]
    found = block_profile(replace(hill, arms=arms))
    assert found is not None and found.seeds == [0, 1]


def test_effective_number_of_blocks_by_hand(profile: Profile) -> None:
    equal = concentration(flat(profile, [0.1] * 4 + [0.0] * 4))
    assert equal.effective_blocks.value == pytest.approx(4.0)
    assert equal.top_share[3].value == pytest.approx(0.75) and equal.top_share[1].value == pytest.approx(0.25)
    assert concentration(flat(profile, [0.4] + [0.0] * 9)).effective_blocks.value == pytest.approx(1.0)


def test_noise_does_not_pass_for_concentration(profile: Profile) -> None:
    """Forty blocks that all gain 0.2: noise of 0.1 makes some look better, the interval knows."""
    found = flat(profile, (0.2 + 0.1 * np.random.default_rng(1).standard_normal(40)).tolist(), noise=0.1)
    assert concentration(found).effective_blocks.high > 38


def test_where_the_gain_lies(profile: Profile) -> None:
    found = location(profile)
    assert found.centre.low < found.centre.value < found.centre.high
    assert found.centre.value == pytest.approx(15 / 29, abs=0.03)
    assert found.middle_minus_ends.low > 0.1 and found.middle_minus_ends.p is not None
    assert found.middle_minus_ends.p < 0.2
    top = location(flat(profile, [0.0] * 9 + [0.3] * 2))
    plateau = location(flat(profile, [0.5] * 7 + [0.0] * 4))
    # Of 11 shifts the 3 middle blocks lie wholly on the plateau in 5, wholly off it in 2.
    assert plateau.shifted_p == pytest.approx(7 / 11) and found.shifted_p >= 1 / 11
    assert top.centre.value == pytest.approx(0.95) and top.centre.p is not None and top.centre.p < 0.05


def test_reliability_by_hand(profile: Profile) -> None:
    gains = [0.0, 0.1, 0.2, 0.3]
    same = reliability(flat(profile, gains, seed_gain_SL=[gains, gains]))
    assert same is not None and same.value == pytest.approx(1.0)
    # Two seeds that correlate at 0.8: 2 x 0.8 / (1 + 0.8).
    other = reliability(flat(profile, gains, seed_gain_SL=[gains, [0.0, 0.2, 0.1, 0.3]]))
    assert other is not None and other.value == pytest.approx(1.6 / 1.8)
    assert other.low < other.value < other.high
    assert reliability(flat(profile, gains)) is None


def test_the_words_say_what_matters(hill: Comparison, profile: Profile) -> None:
    text = " ".join(findings(block_profile(hill)))
    best = profile.blocks_L[int(np.argmax(profile.gain_L))]
    assert text.startswith(f"Profile of 10 single blocks, training seeds 0, 1, 2: block {best} gains most, C ")
    for part in ("P(it is the best)", "Holm", "equal blocks of 10", "relative depth", "permutation p", "Reliability"):
        assert part in text
    assert findings(block_profile(without(hill, [*HILL, "mid:5"]))) == []


def test_words_name_exact_ties(profile: Profile) -> None:
    gains = profile.gain_L.copy()
    gains[[2, 7]] = gains.max()
    best = int(np.argmax(profile.gain_L))
    gains[best] = gains.max()
    assert "tie exactly for the largest gain" in words(replace(profile, gain_L=gains))[0]
