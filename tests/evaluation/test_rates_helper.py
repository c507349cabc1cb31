"""Chosen blocks at other learning rates: what is owed, and whether they change places."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import rates
from evaluation.rates import main

RNG = np.random.default_rng(0)
HARD_I = RNG.random(80)


def after(share):
    """80 items, two answers each; the harder an item, the fewer models solve it."""
    return np.repeat((share > HARD_I).astype(float)[:, None], 2, axis=1)


@pytest.fixture
def blocks(write_cell, tmp_path):
    """``blocks("demo", {3: 0.8, 15: 0.4}, rate=1e-4)``: both blocks of a study, two seeds."""

    def write(study, shares, rate):
        for block, share in shares.items():
            for seed in (0, 1):
                folder = f"../{study}/math/smollm2_135m/grpo/layer={block}/seed={seed}"
                scores = after(share)
                overrides = ["experiment=laptop", f"algorithm.single_block_learning_rate={rate:g}"]
                changed = {"layer": str(block), "seed": seed, "learning_rate": rate, "overrides": overrides}
                (tmp_path / "runs" / "demo").mkdir(parents=True, exist_ok=True)
                write_cell(0 * scores, scores, folder=folder, **changed)
        return tmp_path / "runs" / study

    return write


def test_what_is_owed_is_printed_with_the_rate_and_the_studys_settings(blocks, capsys):
    study = blocks("demo", {3: 0.8, 15: 0.4}, 1e-4)
    assert main([str(study), "--blocks", "3,15", "--rates", "3e-5", "hydra/launcher=fused"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "python run.py" in line]
    for word in ("study=demo-rate-3e-05", "experiment=laptop", "'layer=3,15'", "seed=0,1", "hydra/launcher=fused"):
        assert word in line
    assert line.count("single_block_learning_rate=") == line.count("single_block_learning_rate=3e-05") == 1


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [({3: 0.7, 15: 0.3}, "stays"), ({3: 0.3, 15: 0.7}, "changes"), ({3: 0.5, 15: 0.5}, "not resolved")],
)
def test_whether_two_blocks_change_places(blocks, capsys, shares, verdict):
    study = blocks("demo", {3: 0.8, 15: 0.4}, 1e-4)
    blocks("demo-rate-3e-05", shares, 3e-5)
    assert main([str(study), "--blocks", "3,15", "--rates", "3e-5"]) == 0
    printed = capsys.readouterr().out
    assert "gain at 0.0001" in printed and "gain at 3e-05" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("blocks 3 and 15")]
    assert line.endswith(verdict)
    assert "python run.py" not in printed


def test_contributions_at_another_rate_are_against_the_studys_own_anchors(blocks, write_cell, capsys):
    study = blocks("demo", {3: 0.8, 15: 0.4}, 1e-4)
    blocks("demo-rate-3e-05", {3: 0.4, 15: 0.2}, 3e-5)
    for seed in (0, 1):
        write_cell(0 * after(0.8), 0 * after(0.8), layer="base", seed=seed, learning_rate=3e-5)
        write_cell(0 * after(0.8), after(0.8), layer="full", seed=seed, learning_rate=3e-5)
    assert main([str(study), "--blocks", "3,15", "--rates", "3e-5"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (three,) = [" ".join(row) for row in rows if row[:1] == ["3"]]
    share = after(0.4).mean() / after(0.8).mean()
    assert " tie 1.00 [" in three and f" {share:.2f} [" in three


def test_a_block_that_lacks_a_seed_is_owed(blocks, capsys, tmp_path):
    study = blocks("demo", {3: 0.8, 15: 0.4}, 1e-4)
    sibling = blocks("demo-rate-3e-05", {3: 0.8, 15: 0.4}, 3e-5)
    (sibling / "math/smollm2_135m/grpo/layer=15/seed=1/result.json").unlink()
    main([str(study), "--blocks", "3,15", "--rates", "3e-5"])
    printed = capsys.readouterr().out
    assert "not run" in printed
    assert "'layer=15' seed=0,1" in printed


def test_run_runs_what_is_owed_and_tells_of_failure(blocks, monkeypatch, capsys):
    study, ran = blocks("demo", {3: 0.8, 15: 0.4}, 1e-4), []

    def run(words, check):
        ran.append(words[1:4])
        return type("Done", (), {"returncode": 1})

    monkeypatch.setattr(rates.subprocess, "run", run)
    assert main([str(study), "--blocks", "3,15", "--rates", "3e-5,6e-5", "--run"]) == 1
    assert ran == [["-m", "run", "-m"]] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--blocks", "3", "--rates", "3e-5"], "at least two blocks"),
        (["--blocks", "3,7", "--rates", "3e-5"], "has no finished arm 7; there are: 3, 15"),
        (["--blocks", "3,x", "--rates", "3e-5"], "'3,x' is no list of numbers"),
        (["--blocks", "3,15", "--rates", "nan,3e-5"], "nan is no learning rate; give numbers in (0, 1]"),
        (["--blocks", "3,15", "--rates=-1"], "-1 is no learning rate"),
        (["--blocks", "3,15", "--rates", "1e-4"], "0.0001 is the study's own rate"),
    ],
)
def test_what_cannot_be_compared_is_named(blocks, capsys, words, message):
    study = blocks("demo", {3: 0.8, 15: 0.4}, 1e-4)
    assert main([str(study), *words]) == 2
    assert message in capsys.readouterr().err
