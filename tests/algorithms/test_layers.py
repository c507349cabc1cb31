"""The layer grammar, and finding and freezing decoder blocks in models of many families."""

from math import floor

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

from algorithms.layers import (
    LayerError,
    LayerSelection,
    block_of_parameters,
    expand_layer,
    find_blocks,
    freeze,
    parse_layer,
)

SMALL = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
FAMILIES = {
    "llama": transformers.LlamaConfig(**SMALL),
    "qwen2": transformers.Qwen2Config(**SMALL),
    "qwen3": transformers.Qwen3Config(**SMALL),
    "gemma2": transformers.Gemma2Config(**SMALL),
    "mixtral": transformers.MixtralConfig(**SMALL, num_local_experts=3, num_experts_per_tok=2),
    "qwen3_moe": transformers.Qwen3MoeConfig(**SMALL, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=8),
    "gpt2": transformers.GPT2Config(vocab_size=32, n_embd=16, n_layer=3, n_head=2),
    "gpt_neox": transformers.GPTNeoXConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2
    ),
}


def model_of(family):
    return transformers.AutoModelForCausalLM.from_config(FAMILIES[family])


@pytest.mark.parametrize(
    ("word", "n_blocks", "label", "blocks"),
    [
        ("base", 4, "base", ()),
        ("full", 4, "full", (0, 1, 2, 3)),
        (0, 4, "0", (0,)),
        ("3", 4, "3", (3,)),
        (" 3 ", 4, "3", (3,)),
        (-1, 4, "3", (3,)),
        ("-4", 4, "0", (0,)),
        (7, 28, "7", (7,)),
        ([7, 8], 28, "[7,8]", (7, 8)),
        ("[7,8]", 28, "[7,8]", (7, 8)),
        ("[ 8, 7 ]", 28, "[7,8]", (7, 8)),
        ([8, 7, 8, -21], 28, "[7,8]", (7, 8)),
        (["0", "-1"], 30, "[0,29]", (0, 29)),
        ([5], 30, "[5]", (5,)),
        ("mid:1", 30, "mid:1", (14,)),
        ("mid:2", 30, "mid:2", (14, 15)),
        ("mid:5", 28, "mid:5", (11, 12, 13, 14, 15)),
        ("mid:5", 36, "mid:5", (15, 16, 17, 18, 19)),
        ("mid:4", 4, "mid:4", (0, 1, 2, 3)),
        ("mid:1", 1, "mid:1", (0,)),
    ],
)
def test_a_word_names_blocks(word, n_blocks, label, blocks):
    selection = parse_layer(word, n_blocks)
    assert (selection.label, selection.blocks) == (label, blocks)
    assert selection.trains_everything == (word == "full")
    assert selection.trains_nothing == (word == "base")
    assert selection.is_partial == (word not in ("base", "full"))


@pytest.mark.parametrize("n_blocks", [1, 4, 5, 28, 30, 36])
def test_mid_is_the_papers_interval(n_blocks):
    for k in range(1, n_blocks + 1):
        low, high = floor(n_blocks / 2 - k / 2), floor(n_blocks / 2 + k / 2)
        assert parse_layer(f"mid:{k}", n_blocks).blocks == tuple(range(low, high))


def test_random_blocks_follow_from_the_seed():
    drawn = [parse_layer("random:5", 28, seed=seed).blocks for seed in range(20)]
    assert drawn == [parse_layer("random:5", 28, seed=seed).blocks for seed in range(20)]
    assert all(len(set(blocks)) == 5 and sorted(blocks) == list(blocks) for blocks in drawn)
    assert len(set(drawn)) > 10
    assert set().union(*drawn) == set(range(28))


@pytest.mark.parametrize("word", [28, "99", -29, [3, 28], "[0,-40]"])
def test_a_block_out_of_range_is_refused_with_the_range(word):
    with pytest.raises(LayerError, match=r"layer=-?\d+ is out of range; this model has 28 blocks, 0 to 27"):
        parse_layer(word, 28)


@pytest.mark.parametrize("word", ["mid:0", "mid:29", "random:0", "random:99"])
def test_a_count_out_of_range_is_refused_with_the_range(word):
    with pytest.raises(LayerError, match=rf"layer={word} is out of range; this model has 28 blocks, so k is 1\.\.28"):
        parse_layer(word, 28)


@pytest.mark.parametrize(
    "word",
    ["foo", "", "Full", "all", "mid", "mid:", "mid:-1", "7,8", "[]", "[a]", "1.5", 1.5, None, True, [], [1.5], [True]],
)
def test_a_word_that_does_not_parse_is_refused_with_the_grammar(word):
    with pytest.raises(LayerError, match=r"base, full, a block number.*\[7,8\], mid:k, random:k, best:k, .*, or all"):
        parse_layer(word, 28)


def test_all_is_both_anchors_and_every_block():
    assert expand_layer("all", 3) == ["base", "full", 0, 1, 2]
    assert [parse_layer(word, 3).label for word in expand_layer("all", 3)] == ["base", "full", "0", "1", "2"]


@pytest.mark.parametrize("word", ["base", 7, [7, 8], "mid:5", "foo"])
def test_any_other_word_stands_for_itself(word):
    assert expand_layer(word, 3) == [word]


@pytest.mark.parametrize("word", ["base", "full", -1, [0, 2], "mid:2"])
def test_a_selection_survives_json(word):
    selection = parse_layer(word, 4)
    assert LayerSelection.from_json(selection.to_json()) == selection


def test_rates_survive_json():
    selection = LayerSelection("boost", (0, 1), rates={1: 2.0})
    assert LayerSelection.from_json(selection.to_json()) == selection


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_found_in(family):
    blocks = find_blocks(model_of(family))
    assert len(blocks) == 3
    assert all("Layer" in type(block).__name__ or "Block" in type(block).__name__ for block in blocks)


def test_blocks_are_found_under_peft():
    model = model_of("qwen3")
    assert find_blocks(get_peft_model(model, LoraConfig(target_modules="all-linear", r=2))) is find_blocks(model)


def test_a_model_without_a_list_of_blocks_is_refused():
    model = nn.Linear(2, 2)
    model.config = transformers.LlamaConfig(**SMALL)
    with pytest.raises(LayerError, match="the 3 decoder blocks of Linear apart; found: none"):
        find_blocks(model)


def test_a_model_with_two_candidates_is_refused_by_name():
    model = nn.Module()
    model.config = transformers.LlamaConfig(**SMALL)
    model.left, model.right = (nn.ModuleList([nn.Linear(2, 2) for _ in range(3)]) for _ in range(2))
    with pytest.raises(LayerError, match="found: left, right"):
        find_blocks(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_freezing_leaves_exactly_the_block_trainable(family):
    model = model_of(family)
    trained = freeze(model, parse_layer(1, 3))
    inside = {id(parameter) for parameter in find_blocks(model)[1].parameters()}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in inside), name
        assert (name in trained) == parameter.requires_grad, name


def test_full_trains_embeddings_norm_and_head_too():
    model = model_of("llama")
    assert freeze(model, parse_layer("full", 3)) == [name for name, _ in model.named_parameters()]
    outside = [name for name, block in block_of_parameters(model).items() if block is None]
    assert outside == ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]


def test_freezing_under_peft_leaves_the_blocks_adapters():
    model = get_peft_model(model_of("qwen3"), LoraConfig(target_modules="all-linear", r=2))
    trained = freeze(model, parse_layer(2, 3))
    assert trained
    assert all("lora_" in name and ".layers.2." in name for name in trained)


def test_freezing_everything_is_an_error():
    with pytest.raises(LayerError, match="layer=base leaves nothing to train"):
        freeze(model_of("llama"), parse_layer("base", 3))


def test_gradients_reach_the_chosen_block_only():
    model = model_of("gpt2")
    freeze(model, parse_layer(0, 3))
    model(torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, block in block_of_parameters(model).items() if block == 0}
