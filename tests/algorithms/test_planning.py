"""What a command asks for, cell by cell: every task and model with the blocks it has."""

from __future__ import annotations

from collections import Counter

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict

from algorithms.planning import PlanCallback
from conf import schema
from evaluation.progress import read_plan


@pytest.fixture
def planned(tmp_path):
    """``planned("layer=all", "seed=0,1")``: the plan of such a multirun."""
    schema.register()

    def of(*words, experiment=()):
        words = [*words, f"runs_dir={tmp_path}"]
        with initialize_config_module("conf", version_base="1.3"):
            config = compose("config", [*experiment, f"runs_dir={tmp_path}"], return_hydra_config=True)
            OmegaConf.set_readonly(config.hydra, False)
            with open_dict(config):
                config.hydra.overrides.task = [*experiment, *words]
            PlanCallback().on_multirun_start(config)
        (study,) = tmp_path.iterdir()
        asked, bad = read_plan(study)
        assert bad == 0
        return asked

    return of


def test_all_is_every_block_of_each_model_for_every_task(planned):
    asked = planned("task=math,code", "model=smollm2_135m,qwen3_1_7b_base", "layer=all", "seed=0,1")
    families = Counter(line.cell.rsplit("/", 2)[0] for line in asked)
    assert families == {
        f"{task}/{model}/grpo": 2 * (blocks + 2)
        for task in ("math", "code")
        for model, blocks in (("smollm2_135m", 30), ("qwen3_1_7b_base", 28))
    }
    assert len({line.cell for line in asked}) == len(asked)


def test_the_laptop_preset_is_96_cells(planned):
    asked = planned(experiment=["experiment=laptop"])
    assert len({line.cell for line in asked}) == 96
    assert {line.steps for line in asked if "layer=base" not in line.cell} == {30}


def test_a_job_that_names_no_cell_says_why(planned):
    asked = planned("layer=base,foo,31,best:2,-1", "model=smollm2_135m")
    assert [line.cell.split("layer=")[-1] for line in asked if line.cell] == [
        "base/seed=0",
        "best:2/seed=0",
        "29/seed=0",
    ]
    refused = [line.refused for line in asked if not line.cell]
    assert "layer='foo' does not parse" in refused[0]
    assert "layer=31 is out of range; this model has 30 blocks, 0 to 29" in refused[1]


def test_a_wrong_configuration_is_refused_too(planned):
    asked = planned("steps=0,2", "layer=base")
    assert [bool(line.refused) for line in asked] == [True, False]
    assert "steps=0 is not valid" in asked[0].refused
