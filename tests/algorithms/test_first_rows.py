"""The untrained model answers the panel once in a study: its rows are lent to every layer and training seed."""

from __future__ import annotations

import pytest

from algorithms import panel as panel_module
from algorithms.cell import CellError
from algorithms.study import run_cell


@pytest.fixture
def played(monkeypatch):
    """The phases that were played."""
    phases, play = [], panel_module.play_panel

    def noting(*arguments):
        phases.append(arguments[6])
        return play(*arguments)

    monkeypatch.setattr(panel_module, "play_panel", noting)
    return phases


def test_the_untrained_model_plays_once_in_a_study(tiny_config, played):
    first = run_cell(tiny_config("layer=base", "seed=0"))
    assert played == ["greedy_before", "before"]
    again = run_cell(tiny_config("layer=base", "seed=1"))
    trained = run_cell(tiny_config("layer=2", "seed=1"))
    assert played[2:] == ["greedy_after", "after"]
    assert again.score == trained.score_before == first.score
    assert again.greedy == first.greedy
    run_cell(tiny_config("layer=base", "seed=2", "study=another"))
    assert played[4:] == ["greedy_before", "before"]


def test_a_trained_model_does_not_play_for_the_untrained_one(tiny_config, tmp_path, monkeypatch):
    play = panel_module.play_panel

    def until_trained(*arguments):
        if arguments[6].endswith("after"):
            raise KeyboardInterrupt
        return play(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(panel_module, "play_panel", until_trained)
        run_cell(tiny_config("layer=2"))
    (file,) = tmp_path.rglob("episodes.jsonl")
    file.unlink()
    with pytest.raises(CellError, match=r"has lost the rows of phase greedy_before, .* run layer=base in the same"):
        run_cell(tiny_config("layer=2"))
    run_cell(tiny_config("layer=base"))
    assert run_cell(tiny_config("layer=2")).score_before == run_cell(tiny_config("layer=base")).score


def test_rows_that_somebody_edited_are_not_lent(tiny_config, tmp_path, played):
    run_cell(tiny_config("layer=base", "seed=0"))
    (file,) = tmp_path.rglob("episodes.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    played.clear()
    run_cell(tiny_config("layer=base", "seed=1"))
    assert played == ["before"]  # the greedy ones are whole
