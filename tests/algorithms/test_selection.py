"""Layer words that read a finished study: what they select, what they are called, and that they stay what they were."""

from __future__ import annotations

import json
import shutil

import pytest

from algorithms.layers import LayerError, guided
from algorithms.selection import cell_of, label_of, select
from algorithms.study import run_cell
from algorithms.sweep import run_arms
from evaluation.progress import read_failure
from evaluation.strategies import Ranking, StrategyError, write_choice


@pytest.fixture
def ranked(tiny_config):
    """``ranked("layer=best:2", [3, 1, 0, 2])``: a cell whose study says so, the best first."""

    def of(word, blocks, *words):
        config = tiny_config(word, *words)
        ranking = Ranking("runs/x", "math", "tiny", "grpo", [0], blocks, [0.4, 0.3, 0.2, 0.1])
        write_choice(cell_of(config).folder.parent, ranking)
        return config

    return of


@pytest.mark.parametrize(
    ("word", "blocks"), [("best:1", (3,)), ("best:2", (1, 3)), ("worst:2", (0, 2)), ("worst:4", (0, 1, 2, 3))]
)
def test_best_and_worst_are_the_ends_of_the_ranking(ranked, word, blocks):
    selection = select(ranked(f"layer={word}", [3, 1, 0, 2]), 4)
    assert (selection.label, selection.blocks, selection.rates) == (word, blocks, {})
    assert selection.is_partial


def test_boost_trains_everything_and_the_best_twice_as_fast(ranked):
    selection = select(ranked("layer=boost:2", [3, 1, 0, 2]), 4)
    assert selection.trains_everything
    assert (selection.blocks, selection.rates) == ((0, 1, 2, 3), {1: 2.0, 3: 2.0})


@pytest.mark.parametrize("word", ["best:0", "worst:5", "boost:99"])
def test_a_count_out_of_range_is_refused(tiny_config, word):
    with pytest.raises(LayerError, match=rf"layer={word} is out of range; this model has 4 blocks, so k is 1\.\.4"):
        select(tiny_config(f"layer={word}"), 4)


@pytest.mark.parametrize("word", ["mid:2", "full", 3, "best", [0, 1]])
def test_any_other_word_is_not_guided(word):
    assert guided(word, 4) is None


def test_the_label_names_another_study(tiny_config, tmp_path):
    assert label_of(tiny_config("layer=best:2"), 4) == "best:2"
    assert label_of(tiny_config("layer=best:2", "layer_study=default"), 4) == "best:2"
    assert label_of(tiny_config("layer=best:2", "layer_study=other"), 4) == "best:2@other"
    (tmp_path / "runs" / "other" / "math" / "tiny" / "dr_grpo" / "layer=0").mkdir(parents=True)
    folder = tmp_path / "runs" / "other" / "math" / "tiny" / "dr_grpo"
    label = label_of(tiny_config("layer=best:2", f"layer_study={folder}"), 4)
    assert label == "best:2@other-math-tiny-dr_grpo"


def test_a_study_that_is_not_there_is_refused(tiny_config):
    with pytest.raises(StrategyError, match="layer_study=nowhere is no folder, nor the name of a study in"):
        select(tiny_config("layer=best:1", "layer_study=nowhere"), 4)


def test_a_choice_among_blocks_of_another_model_is_refused(ranked):
    with pytest.raises(StrategyError, match="a choice among other blocks than the 0 to 3 of this model"):
        select(ranked("layer=best:1", [1, 0, 2]), 4)


@pytest.fixture(scope="module")
def scanned(tiny_config_in, tmp_path_factory):
    """Every block of the tiny model, trained for one step."""
    folder = tmp_path_factory.mktemp("scan")
    run_arms(tiny_config_in(folder, "layer=all", "steps=1"))
    return folder


def test_a_cell_follows_the_finished_study_and_keeps_to_it(scanned, tiny_config, tmp_path):
    """Where the best two tie it is refused; where one is best it is read, run and kept."""
    shutil.copytree(scanned / "runs", tmp_path / "runs")
    config = tiny_config("layer=best:1", "steps=1")
    let_score(tmp_path, {0: 0.1, 1: 0.9, 2: 0.9, 3: 0.3})
    with pytest.raises(StrategyError, match=r"blocks 1, 2 of .* tie at"):
        run_cell(config)
    assert "tie at" in read_failure(cell_of(config).folder).error
    let_score(tmp_path, {1: 0.2})
    best = 2
    result = run_cell(config)
    assert (result.layer, result.blocks) == ("best:1", [best])
    assert [change > 0 for change in result.audit["relative_change"]] == [block == best for block in range(4)]
    assert read_failure(cell_of(config).folder) is None
    # Another seed of the arm takes the same block, though the study is gone.
    for block in range(4):
        shutil.rmtree(cell_of(config).folder.parents[1] / f"layer={block}")
    assert select(tiny_config("layer=best:1", "steps=1", "seed=1"), 4).blocks == (best,)


def let_score(folder, share_of):
    """Rewrite the outcomes after training, so that blocks differ."""
    for block, share in share_of.items():
        (cell,) = folder.rglob(f"layer={block}/seed=0")
        rows = [json.loads(line) for line in (cell / "episodes.jsonl").read_text().splitlines()]
        after = [row for row in rows if row["phase"] == "after"]
        for place, row in enumerate(after):
            row["outcome"] = float(place < share * len(after))
        (cell / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = json.loads((cell / "result.json").read_text())
        result["score"] = sum(row["outcome"] for row in after) / len(after)
        (cell / "result.json").write_text(json.dumps(result))
