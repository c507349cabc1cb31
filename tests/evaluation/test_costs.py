"""What an arm cost, with the arithmetic done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_study import WriteCell
from synthetic_training import write_training, write_weights

from evaluation.cells import read_study
from evaluation.comparison import compare
from evaluation.learning import read_curves
from evaluation.report.costs import block_of, costs, flops, parameter_counts

SCORES = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
SIZES = {None: 10, 0: 100, 1: 100, 2: 100}


def test_full_training_costs_twice_the_forward_pass_again() -> None:
    assert flops(SIZES, [0, 1, 2], True, tokens=7, used=7) == 2 * 310 * 7 + 3 * 2 * 310 * 7


def test_a_high_block_needs_little_of_the_backward_pass() -> None:
    generate, forward = 2 * 310 * 8, 2 * 310 * 4
    assert flops(SIZES, [2], False, tokens=8, used=4) == generate + forward + 2 * (100 + 10) * 4 + 2 * 100 * 4
    assert flops(SIZES, [0], False, tokens=8, used=4) == generate + forward + 2 * 310 * 4 + 2 * 100 * 4


def test_without_a_signal_only_generation_costs() -> None:
    assert flops(SIZES, [2], False, tokens=8, used=0) == 2 * 310 * 8


@pytest.mark.parametrize(
    ("name", "block"),
    [("model.layers.12.mlp.up_proj.weight", 12), ("transformer.h.3.attn.bias", 3), ("model.embed_tokens.weight", None)],
)
def test_the_block_is_read_from_a_parameters_name(name: str, block: int | None) -> None:
    assert block_of(name) == block


def test_a_study_by_hand(write_cell: WriteCell) -> None:
    write_cell(SCORES, SCORES, layer="base")
    full = write_training(write_cell(SCORES, SCORES, layer="full"), arms=3)
    write_training(write_cell(SCORES, SCORES, layer="29"))
    weights = {f"model.layers.{block}.weight": np.ones(100) for block in range(30)} | {"model.norm.weight": np.ones(10)}
    write_weights(full / "checkpoint" / "step=000030" / "trained.safetensors", weights)
    study = full.parents[4]
    (comparison,), _ = compare(read_study(study))
    base, whole, last = costs(comparison, read_curves(study)[0])
    tokens = 4 * 8 * 4 * 5.0
    assert (whole.layer, whole.tokens, whole.step_s, whole.update_s, whole.side_by_side) == ("full", tokens, 2, 1, 3)
    assert whole.flops == (2 + 6 * 0.5) * 3010 * tokens
    assert last.flops == (2 * 3010 + (3010 + 110 + 100)) * tokens
    assert (last.block, last.minutes, last.peak_gb) == (29, 5.0, 2.5)
    assert np.isnan(base.flops) and np.isnan(base.tokens) and base.minutes == 5.0


def test_without_the_weights_of_full_flops_are_not_known(tmp_path: Path) -> None:
    assert parameter_counts([tmp_path]) is None
    (tmp_path / "checkpoint" / "step=1").mkdir(parents=True)
    (tmp_path / "checkpoint" / "step=1" / "trained.safetensors").write_bytes(b"torn")
    assert parameter_counts([tmp_path]) is None
