"""Where noise comes from: components planted and found again, and what many arms say about a few seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.stats import percentiles, resampled_means
from evaluation.variance import SeedSpread, moderated, pooled_spread, seed_variance, standard_error


def arm(rng: np.random.Generator, seeds: int, items: int, seed_sd: float, item_sd: float, rest_sd: float) -> np.ndarray:
    """``mean_SI`` with normal effects."""
    return (
        0.5
        + seed_sd * rng.standard_normal((seeds, 1))
        + item_sd * rng.standard_normal((1, items))
        + rest_sd * rng.standard_normal((seeds, items))
    )


def test_components_by_hand() -> None:
    # Two seeds that differ by 0.2 on every item: variance 0.02, nothing left over.
    total, rest = seed_variance(np.array([[0.1, 0.5, 0.3], [0.3, 0.7, 0.5]]))
    assert total == pytest.approx(0.02) and rest == pytest.approx(0.0)
    # Scores 0.4 each, all of it interaction: rest is the sum of squares 4 x 0.04 over 1 x 1, over 2 items.
    total, rest = seed_variance(np.array([[0.2, 0.6], [0.6, 0.2]]))
    assert total == pytest.approx(0.0) and rest == pytest.approx(0.16 / 2)


def test_standard_error_is_that_of_repeated_studies() -> None:
    rng = np.random.default_rng(0)
    studies = [arm(rng, 4, 50, 0.05, 0.3, 0.2) for _ in range(2000)]
    spread_of_means = np.var([study.mean() for study in studies])
    assert np.mean([standard_error(study)[0] ** 2 for study in studies]) == pytest.approx(spread_of_means, rel=0.1)


def test_one_seed_has_the_error_of_its_items() -> None:
    mean_SI = np.random.default_rng(0).random((1, 30))
    error, df = standard_error(mean_SI)
    assert (error, df) == (pytest.approx(stats.sem(mean_SI[0])), pytest.approx(29))


def test_seeds_alone_give_students_t() -> None:
    """No item varies: the draws' interval is the textbook's, with two degrees of freedom for three seeds."""
    mean_SI = np.array([0.4, 0.5, 0.7])[:, None] * np.ones((1, 20))
    (draw_R,) = resampled_means([mean_SI], n_resamples=100_000, seed=0)
    half = stats.t.ppf(0.975, 2) * stats.sem([0.4, 0.5, 0.7])
    assert percentiles(draw_R, 0.95) == pytest.approx((1.6 / 3 - half, 1.6 / 3 + half), abs=0.02)


def test_many_arms_pool_their_seeds() -> None:
    rng = np.random.default_rng(0)
    alike = pooled_spread([arm(rng, 3, 100, 0.06, 0.3, 0.0) for _ in range(400)])
    assert alike is not None and alike.at(0.5) == pytest.approx(0.06**2, rel=0.2) and alike.df > 8
    different = pooled_spread([arm(rng, 3, 100, sd, 0.3, 0.0) for sd in (0.002, 0.2) * 30])
    assert different is not None and different.df < 4


def test_what_arms_share_is_found() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        common = 0.05 * rng.standard_normal((3, 1))
        spread = pooled_spread([common + arm(rng, 3, 100, 0.05, 0.3, 0.1) for _ in range(20)])
        assert spread is not None
        found.append(spread.correlation)
    # Half of the variance is common; a ratio of variances of three seeds is 0.4 on average.
    assert 0.3 < np.mean(found) < 0.55


def test_few_arms_or_one_seed_pool_nothing() -> None:
    rng = np.random.default_rng(0)
    assert pooled_spread([arm(rng, 3, 20, 0.1, 0.1, 0.1) for _ in range(3)]) is None
    assert pooled_spread([arm(rng, 1, 20, 0.1, 0.1, 0.1) for _ in range(9)]) is None
    assert pooled_spread([np.full((3, 20), 0.5)] * 9) is None


def test_an_arm_is_weighed_against_the_others() -> None:
    assert moderated(0.04, 2, None, 0.5) == (0.04, 2)
    assert moderated(0.04, 2, SeedSpread(0.04, 4.0, 0.0), 0.5) == (pytest.approx(0.02), 6.0)
    assert moderated(0.04, 2, SeedSpread(0.04, np.inf, 0.0), 0.5) == (0.01, np.inf)


def test_near_0_and_1_there_is_less_luck() -> None:
    spread = SeedSpread(0.04, 4.0, 0.0)
    assert [spread.at(0.1), spread.at(0.9)] == pytest.approx([0.0036, 0.0036])
    assert spread.at(0.0) > 0
