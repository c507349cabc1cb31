"""Memory of a rank by hand, ranks of the 8B model, and the bytes that torch really keeps for a gradient."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from algorithms.budget.arithmetic import Trained
from algorithms.budget.memory import Server, activation_bytes, fit, memory_of
from algorithms.budget.sizes import Sizes, measure

MODEL = Sizes(10, 100, 50, 8, 16, 8, 4, 20, "here")  # 1050 parameters, 80 numbers a token in the cache
FULL, LOW, TOP = Trained(tuple(range(10)), everything=True), Trained((0,)), Trained((9,))
SMALL = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 64}


def eight_billion():
    shape = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32}
    rest = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": False}
    return measure(AutoConfig.for_model("qwen3", **shape, **rest), "here")


def parts(arms, ranks=1, half=False, reference=False):
    return memory_of(MODEL, arms, ranks=ranks, half=half, reference=reference).fixed


def test_full_in_float32_is_sixteen_bytes_a_parameter():
    assert parts([FULL]) == {"weights": 4200, "gradients": 4200, "optimizer": 8400}
    assert parts([FULL], reference=True)["weights"] == 2 * 4200  # the base beside it


def test_a_block_keeps_the_frozen_model_once_and_sixteen_bytes_of_its_own():
    assert parts([TOP]) == {"weights": 4 * 1150, "gradients": 400, "optimizer": 800}
    half = parts([TOP], half=True)
    assert half["sampling"] == 2 * 1150
    assert half["casts"] == 2 * (100 + 50)  # what lies above the lowest block that trains, itself among it
    assert parts([LOW], half=True)["casts"] == 2 * 1050


def test_a_bank_keeps_the_frozen_model_once_for_all():
    bank = parts([Trained((block,)) for block in range(10)])
    assert bank == {"weights": 4 * (1050 + 1000), "gradients": 4000, "optimizer": 8000}


def test_ranks_share_what_trains_but_each_samples_from_a_whole_copy():
    shared = parts([FULL], ranks=2, half=True, reference=True)
    assert shared == {
        "weights": 2100,
        "gathered": 2 * (50 + 200),
        "sampling": 2 * 1050,
        "gradients": 2100,
        "optimizer": 4200,
        "reference": 2100,
    }


def test_the_untrained_model_is_only_sampled_from():
    memory = memory_of(MODEL, [Trained(())], ranks=1, half=True, reference=True)
    assert (memory.fixed, memory.pass_token, memory.cached_token) == ({"sampling": 2100}, 0, 160)


def test_checkpointing_keeps_what_enters_each_block_and_one_block_whole():
    def per_token(**more):
        return memory_of(MODEL, [LOW], ranks=1, half=True, reference=False, **more).pass_token

    whole, entered = activation_bytes(MODEL, True), 2 * MODEL.hidden
    assert per_token() - per_token(checkpointing=True) == 10 * whole - (10 * entered + whole)


def test_a_pass_and_the_cache_are_not_there_at_once():
    memory = memory_of(MODEL, [TOP], ranks=1, half=False, reference=False)
    assert memory.pass_token == activation_bytes(MODEL, False) + 8 * 20
    assert memory.total(2, 3) == sum(memory.fixed.values()) + max(2 * memory.pass_token, 3 * 320)


def test_eight_billion_parameters_with_adam_need_three_ranks_of_80_gb_and_a_block_one():
    model, usable = eight_billion(), 0.9 * 80e9
    full = Trained(tuple(range(36)), everything=True)
    found = fit(model, [full], 74, usable, half=True, reference=False)
    assert found.ranks == 3
    per_rank = 16 * 8_190_735_360 / 3 + 2 * 8_190_735_360  # float32 weights, gradient, two moments; the copy
    assert sum(found.memory.fixed.values()) - found.memory.fixed["gathered"] == pytest.approx(per_rank)
    assert fit(model, [LOW], 74, usable, half=True, reference=False).ranks == 1
    assert (
        fit(model, [Trained((block,)) for block in range(36)], 74, usable, half=True, reference=False, most=1) is None
    )


def test_fewer_ranks_do_not_hold_it_and_the_room_is_what_is_left():
    usable, row = 25000.0, 2
    found = fit(MODEL, [FULL], row, usable, half=False, reference=False)
    fewer = memory_of(MODEL, [FULL], ranks=found.ranks - 1, half=False, reference=False)
    assert found.ranks > 1
    assert fewer.total(row, row) > usable
    assert found.memory.total(found.pass_tokens, found.episodes * row) <= usable
    assert found.memory.total(found.pass_tokens + 1, 0) > usable


def test_a_server_takes_its_share_of_the_device_whatever_is_in_it():
    server = Server(3000.0, 2)
    memory = memory_of(MODEL, [TOP], ranks=2, half=True, reference=False, server=server)
    assert memory.fixed["sampling"] == 3000
    assert memory.cached_token == 0
    found = fit(MODEL, [TOP], 2, 20000.0, half=True, reference=False, server=server)
    assert found.ranks % 2 == 0
    assert found.episodes == (3000 - 2 * 1050 / 2) // (2 * 80 * 2 / 2)  # beside its half of the weights
    small = Server(1100.0, 2)  # room for the weights, none for an answer
    assert fit(MODEL, [TOP], 2, 20000.0, half=True, reference=False, server=small) is None


def test_what_every_rank_holds_whole_no_number_of_ranks_makes_small():
    assert fit(MODEL, [FULL], 1, 2000.0, half=False, reference=False) is None


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("hidden", "intermediate"), [(64, 192), (128, 192), (64, 384)])
def test_activations_are_what_torch_keeps(half, hidden, intermediate):
    """Of two models that differ in two blocks, the bytes that autograd saves and that are no weights."""
    kept, n_tokens = [], 128
    for n_blocks in (1, 3):
        shape = SMALL | {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": n_blocks}
        config = AutoConfig.for_model("qwen3", **shape, tie_word_embeddings=True)
        with torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        kept.append(_kept_bytes(model, torch.zeros(2, n_tokens // 2, dtype=torch.long), half))
    sizes = measure(config, "here")
    casts = 2 * sizes.block if half else 0
    assert (kept[1] - kept[0]) / 2 - casts == pytest.approx(n_tokens * activation_bytes(sizes, half), rel=0.05)


def _kept_bytes(model, ids, half):
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages, tensors = {}, []

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        tensors.append(tensor)  # or its memory would be given to another
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        model(ids)
    return sum(storages.values())
