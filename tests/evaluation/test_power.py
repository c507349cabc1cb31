"""How large a study must be: by textbook numbers, and from a study's own noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted_comparison import comparison_of
from scipy import stats
from synthetic_study import WriteCell

from evaluation.noise import DifferenceNoise, noise_of, noise_of_study
from evaluation.planted import Planted
from evaluation.power import items_needed, main, power


def test_power_of_a_paired_t_test() -> None:
    """Cohen 1988: d = 0.5, 34 pairs, two-sided 5 % has power 0.80."""
    noise = DifferenceNoise(item=1.0, seed=0.0, seed_item=0.0, sampling=0.0)
    assert power(noise, 0.5, items=34, samples=1, seeds=1) == pytest.approx(0.808, abs=0.005)
    assert items_needed(noise, 0.5, samples=1, seeds=1) == 34


def test_no_difference_is_found_five_times_in_a_hundred() -> None:
    noise = DifferenceNoise(0.1, 0.001, 0.02, 0.2)
    assert power(noise, 0.0, items=64, samples=4, seeds=3, arms=30) == pytest.approx(0.05, abs=0.005)


def test_more_of_anything_helps() -> None:
    noise = DifferenceNoise(0.05, 0.001, 0.05, 0.3)
    small = power(noise, 0.1, items=64, samples=2, seeds=2, arms=10)
    assert small < power(noise, 0.1, items=128, samples=2, seeds=2, arms=10)
    assert small < power(noise, 0.1, items=64, samples=4, seeds=2, arms=10)
    assert small < power(noise, 0.1, items=64, samples=2, seeds=4, arms=10)


def test_items_do_not_replace_seeds() -> None:
    noise = DifferenceNoise(0.05, 0.01, 0.05, 0.3)
    assert items_needed(noise, 0.05, samples=4, seeds=3, arms=30) is None
    assert items_needed(noise, 0.05, samples=4, seeds=80, arms=30) is not None


def test_the_noise_that_was_planted_is_found() -> None:
    rng = np.random.default_rng(0)
    a_SIK = 0.2 * rng.standard_normal((1, 400, 1)) + 0.05 * rng.standard_normal((40, 1, 1))
    a_SIK = a_SIK + 0.1 * rng.standard_normal((40, 400, 1)) + 0.3 * rng.standard_normal((40, 400, 3))
    found = noise_of(a_SIK, np.zeros_like(a_SIK))
    assert found.item == pytest.approx(0.04, rel=0.15) and found.seed == pytest.approx(0.0025, rel=0.6)
    assert found.seed_item == pytest.approx(0.01, rel=0.2) and found.sampling == pytest.approx(0.09, rel=0.05)


def test_the_error_is_that_of_repeated_studies() -> None:
    study, rng = Planted(0.1, [0.6, 0.5]), np.random.default_rng(0)
    drawn = [study.draw(rng, 64, 4, 3)[1] for _ in range(600)]
    a_SIK, b_SIK = study.draw(rng, 1000, 4, 60)[1]
    error, _ = noise_of(a_SIK, b_SIK).error(64, 4, 3, arms=1)
    assert error == pytest.approx(np.std([a.mean() - b.mean() for a, b in drawn]), rel=0.12)


def test_a_study_tells_its_own_noise() -> None:
    found = noise_of_study(comparison_of({"full": 0.6, "3": 0.5, "7": 0.4}))
    assert found is not None and found[1] == 3
    assert found[0].sampling == pytest.approx(0.3, abs=0.1)
    assert noise_of_study(comparison_of({"full": 0.6})) is None


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--base", "0.1", "--full", "0.6", "--difference", "0.2"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "differ by 0.2 in C, 0.100 in score" in text and "64 items x 4 samples, 3 seeds: power 0." in text
    with pytest.raises(SystemExit):
        main(["--power", "80"])
    assert main(["--base", "0", "--full", "0.6"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
    assert main(["--base", "0.3", "--full", "0.3"]) == 2
    assert "C needs a gain" in capsys.readouterr().err
    assert main(["--difference", "nan"]) == 2
    assert "give a number above 0" in capsys.readouterr().err


def test_the_command_on_a_study(write_cell: WriteCell, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    base, trained = Planted(0.1, [0.6, 0.5]).draw(rng, 40, 2, 2)
    folder = write_cell(base[0], base[0], layer="base")
    study: Path = folder.parents[4]
    assert main([str(study)]) == 2
    assert "two finished trained arms" in capsys.readouterr().err
    for layer, arm_SIK in zip(("full", "15"), trained, strict=True):
        for seed, after_IK in enumerate(arm_SIK):
            write_cell(base[0], after_IK, layer=layer, seed=seed)
    assert main([str(study), "--in", "score", "--difference", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "math · smollm2_135m · grpo" in printed and "ASSUMED" not in printed


def test_a_study_whose_gain_is_not_resolved_has_no_c_to_resolve(
    write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    base, trained = Planted(0.3, [0.3, 0.3]).draw(np.random.default_rng(0), 40, 2, 1)
    for layer, arm_SIK in zip(("base", "full", "15"), (base, *trained), strict=True):
        study: Path = write_cell(base[0], arm_SIK[0], layer=layer).parents[4]
    assert main([str(study), "--difference", "0.2"]) == 2
    told = capsys.readouterr().err
    assert "C is n/a there, full gains" in told and "--in score asks about scores" in told


def test_one_seed_shows_no_luck_in_training_so_it_is_assumed(
    write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    base, trained = Planted(0.1, [0.6, 0.5]).draw(np.random.default_rng(0), 40, 2, 1)
    for layer, arm_SIK in zip(("base", "full", "15"), (base, *trained), strict=True):
        study: Path = write_cell(base[0], arm_SIK[0], layer=layer).parents[4]
    assert main([str(study), "--in", "score", "--difference", "0.1"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "luck in training ASSUMED as of base 0.08, full 0.65" in printed
    assert "training seeds 0.000" not in printed


def test_scipy_agrees_on_the_noncentral_t() -> None:
    noise = DifferenceNoise(item=1.0, seed=0.0, seed_item=0.0, sampling=0.0)
    centre, critical = 0.3 * np.sqrt(50), stats.t.ppf(0.975, 49)
    draws = stats.nct.rvs(49, centre, size=20_000, random_state=0)
    found = power(noise, 0.3, items=50, samples=1, seeds=1)
    assert found == pytest.approx(np.mean(np.abs(draws) > critical), abs=0.01)
