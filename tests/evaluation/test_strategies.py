"""Which blocks a finished study calls best, and what it says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.strategies import StrategyError, rank_blocks, read_choice, write_choice

N_BLOCKS = 3
BEFORE = np.zeros((4, 2))


def scores(share):
    """Eight outcomes, of which that share is 1."""
    return (np.arange(8) < 8 * share).astype(float).reshape(4, 2)


@pytest.fixture
def scan(write_cell, tmp_path):
    """``scan({0: [0.5, 0.25]})``: block 0 scored 0.5 after training seed 0 and 0.25 after seed 1; returns the arms."""

    def write(found):
        for block, shares in found.items():
            for seed, share in enumerate(shares):
                if share is not None:
                    write_cell(BEFORE, scores(share), layer=str(block), blocks=[block], seed=seed, n_blocks=N_BLOCKS)
        return tmp_path / "runs" / "demo" / "math" / "smollm2_135m" / "grpo"

    return write


def test_blocks_are_ranked_by_their_mean_over_training_seeds(scan):
    arms = scan({0: [0.5, 0.5], 1: [1.0, 0.25], 2: [0.25, 0.5]})
    ranking = rank_blocks(arms, N_BLOCKS, cut=1)
    assert ranking.blocks == [1, 0, 2]
    assert ranking.gains == [0.625, 0.5, 0.375]
    assert (ranking.study, ranking.task, ranking.algorithm, ranking.seeds) == (str(arms), "math", "grpo", [0, 1])


def test_anchors_and_groups_of_blocks_are_not_candidates(scan, write_cell):
    arms = scan({0: [0.5], 1: [0.75], 2: [0.25]})
    write_cell(BEFORE, scores(1), layer="full", n_blocks=N_BLOCKS)
    write_cell(BEFORE, scores(1), layer="mid:2", blocks=[0, 1], n_blocks=N_BLOCKS)
    assert rank_blocks(arms, N_BLOCKS, cut=2).blocks == [1, 0, 2]


def test_blocks_that_were_not_scanned_are_owed_with_the_command(scan):
    arms = scan({0: [0.5], 2: [0.25]})
    with pytest.raises(StrategyError, match="2 of 3 blocks have been trained alone") as caught:
        rank_blocks(arms, N_BLOCKS, cut=1)
    assert "python run.py -m study=demo task=math model=smollm2_135m algorithm=grpo 'layer=1' seed=0" in str(
        caught.value
    )


def test_a_seed_that_some_blocks_lack_is_owed_with_the_command(scan):
    arms = scan({0: [0.5, 0.5], 1: [0.75, None], 2: [0.25, None]})
    with pytest.raises(StrategyError, match="seeds are missing") as caught:
        rank_blocks(arms, N_BLOCKS, cut=1)
    assert "'layer=1,2' seed=1" in str(caught.value)


def test_a_tie_at_the_cut_is_refused_and_one_elsewhere_does_not_matter(scan):
    arms = scan({0: [0.5], 1: [0.75], 2: [0.5]})
    with pytest.raises(StrategyError, match=r"blocks 0, 2 of .* tie at 0.5000.* one more seed: .*seed=1"):
        rank_blocks(arms, N_BLOCKS, cut=2)
    assert rank_blocks(arms, N_BLOCKS, cut=1).blocks == [1, 0, 2]


def test_a_model_of_another_depth_is_refused(scan):
    arms = scan({0: [0.5], 1: [0.75], 2: [0.25]})
    with pytest.raises(StrategyError, match=r"a model with 3 blocks \(smollm2_135m\); this has 28"):
        rank_blocks(arms, 28, cut=1)


def test_a_folder_without_arms_says_what_to_run(tmp_path):
    with pytest.raises(StrategyError, match=r"holds no finished arm that trains one block.* run layer=all there first"):
        rank_blocks(tmp_path, N_BLOCKS, cut=1)


def test_the_first_choice_is_kept(scan, tmp_path):
    first = rank_blocks(scan({0: [0.5], 1: [0.75], 2: [0.25]}), N_BLOCKS, cut=1)
    assert write_choice(tmp_path / "layer=best:1", first) == first
    other = rank_blocks(scan({0: [None, 1.0], 1: [None, 0.0], 2: [None, 0.5]}), N_BLOCKS, cut=1)
    assert other.blocks == [0, 1, 2]
    assert write_choice(tmp_path / "layer=best:1", other) == first
    assert read_choice(tmp_path / "layer=best:1") == first
    assert read_choice(tmp_path / "layer=best:2") is None
    (tmp_path / "layer=best:1" / "choice.json").write_text("{}")
    with pytest.raises(StrategyError, match=r"choice\.json is no record of a choice"):
        read_choice(tmp_path / "layer=best:1")
