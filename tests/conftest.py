"""What every test shares: one torch thread, a tiny untrained model, its configuration, the switch of the golden run."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch; processes that tests start inherit it

from collections.abc import Callable
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
    """``pytest --regenerate-golden tests/algorithms/test_golden.py`` writes tests/golden/ anew, in place of comparing."""
    parser.addoption("--regenerate-golden", action="store_true", help="write tests/golden anew in place of comparing")


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
        "+task.reward_weights.format=1",
        "task.max_response_tokens=6",
        "algorithm.groups_per_step=2",
        "algorithm.group_size=4",
        "evaluation.items=8",
        "evaluation.samples=2",
        "steps=2",
        "layer=1",
    ]


@pytest.fixture(scope="session")
def tiny_base(tiny_words: list[str]) -> Callable[[str], object]:
    """Compose ``conf/config.yaml`` with the tiny words, once per algorithm."""
    schema.register()
    composed = {}
    for algorithm in ("grpo", "dr_grpo"):
        with initialize_config_module("conf", version_base="1.3"):
            composed[algorithm] = compose("config", [*tiny_words, f"algorithm={algorithm}"])
            OmegaConf.set_struct(composed[algorithm], False)
    return composed.__getitem__


@pytest.fixture
def tiny_config(tiny_base: Callable[[str], object], tmp_path: Path) -> TinyConfig:
    """``tiny_config("layer=2", "algorithm.kl_coef=0.1")``: a configuration of the tiny model, its runs in ``tmp_path``."""

    def of(*words: str, algorithm: str = "grpo") -> Config:
        changed = OmegaConf.from_dotlist([f"runs_dir={tmp_path / 'runs'}", *words])
        return OmegaConf.to_object(OmegaConf.merge(tiny_base(algorithm), changed))  # type: ignore[return-value]

    return of
