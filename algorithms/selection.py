"""What a cell's layer word selects. Guided words read a finished study, once for all seeds of an arm."""

from __future__ import annotations

from pathlib import Path

from agents.models import resolve
from algorithms.cell import Cell
from algorithms.layers import Guided, LayerSelection, guided, parse_layer
from conf.schema import Config
from evaluation.strategies import StrategyError, rank_blocks, read_choice, write_choice


def n_blocks_of(config: Config) -> int:
    """How many blocks the model has, without preparing it where its configuration says so.

    Raises:
        ValueError, ModelError: It has to be prepared, and cannot.
    """
    return config.model.n_blocks or resolve(config.model, config.task).n_blocks


def label_of(config: Config, n_blocks: int) -> str:
    """What the folder of the cell's layer is called; no study is read for it.

    Raises:
        LayerError: The word does not parse.
    """
    word = guided(config.layer, n_blocks)
    return word.label(_source(config)) if word else parse_layer(config.layer, n_blocks, seed=config.seed).label


def cell_of(config: Config) -> Cell:
    """The cell that a configuration names.

    Raises:
        LayerError, ValueError, ModelError: It names none.
    """
    return Cell(config, label_of(config, n_blocks_of(config)))


def select(config: Config, n_blocks: int) -> LayerSelection:
    """What the cell trains. A guided word's blocks are those that the arm's first cell took, in every seed.

    Raises:
        LayerError: The word does not parse.
        StrategyError: The study that a guided word reads is not finished, or cannot tell.
    """
    word = guided(config.layer, n_blocks)
    if not word:
        return parse_layer(config.layer, n_blocks, seed=config.seed)
    source = _source(config)
    folder = Cell(config, word.label(source)).folder.parent
    ranking = read_choice(folder)
    if not ranking:
        ranking = rank_blocks(_arms_of(config), n_blocks, _cut(word, n_blocks))
        ranking = write_choice(folder, ranking)
    if sorted(ranking.blocks) != list(range(n_blocks)):
        raise StrategyError(f"{folder} records a choice among other blocks than the 0 to {n_blocks - 1} of this model")
    return word.select(ranking.blocks, source)


def _cut(word: Guided, n_blocks: int) -> int:
    """How many blocks stand above the line that the choice draws through the ranking."""
    return n_blocks - word.k if word.kind == "worst" else word.k


def _arms_of(config: Config) -> Path:
    """The folder of the arms to rank: this task, model and algorithm in ``layer_study``, or the folder it names."""
    here = Cell(config, "").arms
    if config.layer_study is None:
        return here
    study = Path(config.layer_study).expanduser()
    if not study.is_dir() and len(study.parts) == 1:
        study = Path(config.runs_dir) / study
    if not study.is_dir():
        raise StrategyError(
            f"layer_study={config.layer_study} is no folder, nor the name of a study in {config.runs_dir}"
        )
    if any(study.glob("layer=*")):
        return study
    return study.joinpath(*here.parts[-3:])


def _source(config: Config) -> str:
    """How a label names the study that is read; nothing for the cell's own."""
    if config.layer_study is None:
        return ""
    folder = Path(config.layer_study).expanduser()
    named = folder if folder.is_dir() else Path(config.runs_dir) / folder
    if named.resolve() == (Path(config.runs_dir) / config.study).resolve():
        return ""
    parts = folder.parts[-4:] if any(named.glob("layer=*")) else folder.parts[-1:]
    return "-".join(part for part in parts if part not in ("/", ".", ".."))
