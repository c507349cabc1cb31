"""How large models are: the published counts, a model of ours parameter by parameter, and what is not known."""

from __future__ import annotations

import shutil

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, GPT2Config

from agents import tiny
from algorithms.budget import sizes
from algorithms.budget.sizes import UnknownSizeError, measure, sizes_of
from algorithms.layers import find_blocks
from conf import schema
from conf.schema import ModelConfig, TaskConfig

PUBLISHED = {  # parameters that the hub names for the weights, tied matrices once
    "qwen3_8b_base": 8_190_735_360,
    "qwen3_4b_base": 4_022_468_096,
    "qwen3_1_7b_base": 1_720_574_976,
    "qwen2_5_1_5b_instruct": 1_543_714_304,
    "qwen2_5_math_1_5b": 1_543_714_304,
    "qwen2_5_3b_instruct": 3_085_938_688,
    "deepseek_r1_distill_qwen_7b": 7_615_616_512,
    "smollm2_135m": 134_515_008,
}


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    """No model has been fetched or made."""
    monkeypatch.setattr(sizes, "cache_root", lambda: tmp_path)
    monkeypatch.setattr(sizes, "try_to_load_from_cache", lambda *_, **__: None)


def config_of(model):
    schema.register()
    with initialize_config_module("conf", version_base="1.3"):
        return OmegaConf.to_object(compose("config", [f"model={model}"]))


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_shapes_in_conf_give_the_published_counts(model):
    found = sizes_of(config_of(model).model, TaskConfig(name="math"))
    assert found.total == PUBLISHED[model]
    assert found.source == f"model.shape of {model} (conf/model)"


def test_a_config_json_gives_what_the_model_has_without_its_weights(tiny_path, tmp_path):
    folder = tmp_path / "no weights"
    folder.mkdir()
    shutil.copy(tiny_path / "config.json", folder)
    found = sizes_of(ModelConfig(name="mine", path=str(folder)), TaskConfig(name="math"))
    model = AutoModelForCausalLM.from_pretrained(tiny_path)
    blocks = [sum(p.numel() for p in block.parameters()) for block in find_blocks(model)]
    assert (found.n_blocks, found.block) == (4, blocks[0])
    assert found.total == sum(p.numel() for p in model.parameters())
    assert (found.hidden, found.intermediate, found.queries, found.keys) == (64, 192, 64, 32)
    assert found.cached == 2 * 4 * 32
    assert str(folder) in found.source


def test_a_model_with_other_names_for_the_same_is_read_too():
    config = GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=50, n_positions=16)
    found = measure(config, "here")
    assert (found.n_blocks, found.hidden, found.intermediate, found.keys, found.vocabulary) == (3, 32, 128, 32, 50)


def test_the_tiny_model_is_known_once_it_has_been_made(tiny_path, tmp_path):
    config = config_of("tiny")
    with pytest.raises(UnknownSizeError, match="the size of model tiny is not known before its files are here; give"):
        sizes_of(config.model, config.task)
    shutil.copytree(tiny_path, tmp_path / tiny.folder_name(config.task))
    assert sizes_of(config.model, config.task).n_blocks == 4


@pytest.mark.parametrize("changed", [{"path": "/nowhere"}, {"n_blocks": 2, "shape": {"model_type": "no_such"}}])
def test_what_cannot_be_read_is_told(changed):
    with pytest.raises(UnknownSizeError, match=r"holds no config\.json|cannot be read"):
        sizes_of(ModelConfig(name="mine", **changed), TaskConfig(name="math"))
