"""What a study holds on to: the identity of its weights, and of the memory of its cells nothing."""

import gc

import pytest
from transformers import PreTrainedModel

from agents.tiny import make_untrained
from algorithms.cell import CellError
from algorithms.study import run_cell


def test_other_weights_under_the_same_path_are_refused(tiny_config, tmp_path):
    folder = make_untrained(tmp_path / "model", n_blocks=4, hidden=64, seed=0)
    run_cell(tiny_config("layer=base", f"model.path={folder}"))
    make_untrained(folder, n_blocks=4, hidden=64, seed=1)
    with pytest.raises(CellError, match=r"Differs: identity.model_weights: \w+ there, \w+ here"):
        run_cell(tiny_config("layer=1", f"model.path={folder}"))


def test_another_compute_dtype_is_refused(tiny_config):
    run_cell(tiny_config("layer=base"))
    with pytest.raises(CellError, match=r"Differs: identity\.compute_dtype: float32 there, bfloat16 here"):
        run_cell(tiny_config("layer=1", "runner.dtype=bfloat16"))


def test_a_cell_gives_its_memory_back(tiny_config):
    def models():
        gc.collect()
        return sum(isinstance(thing, PreTrainedModel) for thing in gc.get_objects())

    before = models()
    run_cell(tiny_config("study=memory"))
    assert models() == before
