"""What every test shares: one torch thread, a tiny untrained model, its configuration, the switch of the golden run."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch; processes that tests start inherit it

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from agents.tiny import make_untrained
from conf import schema
from conf.schema import Config

torch.set_num_threads(1)

TinyConfig = Callable[..., Config]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest --regenerate-golden tests/algorithms/test_golden.py`` writes ``tests/golden`` anew."""
    parser.addoption("--regenerate-golden", action="store_true", help="write tests/golden anew in place of comparing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked ``slow`` run only when ``-m`` speaks of them."""
    if "slow" not in config.getoption("-m"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run it with -m slow"))


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of four blocks and its character tokenizer, in Hugging Face format."""
    return make_untrained(tmp_path_factory.mktemp("tiny"), n_blocks=4, hidden=64, seed=0)


@pytest.fixture(scope="session")
def tiny_words(tiny_path: Path) -> list[str]:
    """The words of a command line that runs the tiny model for two steps.

    It never answers a sum, but now and then writes a number: the ``format`` term is what it has to learn from.
    """
    return [
        "model=local",
        "model.name=tiny",
        f"model.path={tiny_path}",
        "model.learning_rate=0.001",
        "runner.device=cpu",
        "runner.dtype=float32",
        "++task.reward_weights.format=1",
        "task.max_response_tokens=6",
        "algorithm.groups_per_step=2",
        "algorithm.group_size=4",
        "evaluation.items=8",
        "evaluation.samples=2",
        "steps=2",
        "layer=1",
    ]


@pytest.fixture(scope="session")
def tiny_config_in(tiny_words: list[str]) -> TinyConfig:
    """``tiny_config_in(folder, "layer=2", algorithm="dr_grpo")``: the tiny model, its runs in ``folder``."""
    schema.register()
    composed = {}
    for algorithm in ("grpo", "dr_grpo"):
        with initialize_config_module("conf", version_base="1.3"):
            composed[algorithm] = compose("config", [*tiny_words, f"algorithm={algorithm}"])
            OmegaConf.set_struct(composed[algorithm], False)

    def of(folder: Path, *words: str, algorithm: str = "grpo") -> Config:
        changed = OmegaConf.from_dotlist([f"runs_dir={folder / 'runs'}", *words])
        return OmegaConf.to_object(OmegaConf.merge(composed[algorithm], changed))  # type: ignore[return-value]

    return of


@pytest.fixture
def tiny_config(tiny_config_in: TinyConfig, tmp_path: Path) -> TinyConfig:
    """``tiny_config("layer=2")``: the same, its runs in ``tmp_path``."""
    return partial(tiny_config_in, tmp_path)
