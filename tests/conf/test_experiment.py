"""Every preset of ``conf/experiment`` composes, and means what its first lines say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.types import RunMode
from omegaconf import OmegaConf

import envs.registry
from conf import schema

FOLDER = Path(schema.__file__).parent / "experiment"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
# Table 1: model, blocks, task, algorithm, and the layers of the scan.
SOME_OF_28, SOME_OF_36 = "base,full,0,4,8,12,14,16,20,24", "base,full,0,4,8,12,16,18,20,24,28,32,35"
TABLE_1 = {
    "paper_qwen3_1_7b": ("qwen3_1_7b_base", 28, "math/numina", "grpo", "all"),
    "paper_qwen3_4b": ("qwen3_4b_base", 36, "math/numina", "grpo", "all"),
    "paper_qwen3_8b": ("qwen3_8b_base", 36, "math/numina", "grpo", "all"),
    "paper_qwen2_5_math_1_5b": ("qwen2_5_math_1_5b", 28, "math/math", "dr_grpo", "all"),
    "paper_qwen2_5_1_5b_alfworld": ("qwen2_5_1_5b_instruct", 28, "alfworld/verl_agent", "gigpo", SOME_OF_28),
    "paper_qwen2_5_3b_alfworld": ("qwen2_5_3b_instruct", 36, "alfworld/verl_agent", "gigpo", SOME_OF_36),
    "paper_deepseek_7b": ("deepseek_r1_distill_qwen_7b", 28, "math/skywork", "grpo", SOME_OF_28),
    # Not in table 1, but in the text.
    "paper_qwen3_1_7b_deepscaler": ("qwen3_1_7b_base", 28, "math/deepscaler", "grpo", "all"),
    "paper_qwen3_1_7b_deepcoder": ("qwen3_1_7b_base", 28, "code/deepcoder", "grpo", "all"),
}
TABLE_8 = [name for name, row in TABLE_1.items() if row[0].startswith(("qwen3", "deepseek"))]


@pytest.fixture(scope="module")
def preset():
    """``preset("laptop")``: the configuration, and Hydra's part of it."""
    schema.register()

    def of(name):
        with initialize_config_module("conf", version_base="1.3"):
            composed = compose("config", [f"experiment={name}"], return_hydra_config=True)
        hydra = composed.hydra
        OmegaConf.set_struct(composed, False)
        del composed["hydra"]
        return OmegaConf.to_object(composed), hydra

    return of


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_composes_and_is_a_study_of_its_name(preset, name):
    config, _ = preset(name)
    assert isinstance(config, schema.Config)
    assert config.study == {"table8": "default", "paper_guided": "paper_qwen3_1_7b"}.get(name, name)


def test_every_row_of_table_1_has_a_preset():
    assert set(TABLE_1) | {"paper_guided", "table8", "laptop", "smoke"} == set(NAMES)


@pytest.mark.parametrize("name", TABLE_1)
def test_a_row_of_table_1_is_what_the_paper_ran(preset, name):
    config, hydra = preset(name)
    model, n_blocks, task, algorithm, layers = TABLE_1[name]
    assert (config.model.name, config.model.n_blocks) == (model, n_blocks)
    assert (config.task.name, config.algorithm.name) == (task, algorithm)
    if layers == "all":
        assert config.layer == "all"
    else:
        assert (hydra.mode, hydra.sweeper.params.layer) == (RunMode.MULTIRUN, layers)
        assert all(word in ("base", "full") or int(word) < n_blocks for word in layers.split(","))


@pytest.mark.parametrize("name", [*TABLE_8, "table8"])
def test_table_8(preset, name):
    config, _ = preset(name)
    algorithm = config.algorithm
    assert algorithm.groups_per_step == 512
    assert algorithm.groups_per_step // algorithm.updates_per_step == 128
    assert (algorithm.group_size, algorithm.kl_coef, algorithm.clip_ratio) == (4, 0.001, 0.2)
    assert algorithm.single_block_learning_rate is None
    assert config.steps == 391
    if name.startswith("paper_qwen3"):
        assert algorithm.learning_rate == 5e-6
    if name != "table8":
        assert config.task.max_response_tokens == 3072


def test_gigpo_is_the_public_recipe(preset):
    for name in ("paper_qwen2_5_1_5b_alfworld", "paper_qwen2_5_3b_alfworld"):
        config, _ = preset(name)
        algorithm, evaluation = config.algorithm, config.evaluation
        assert (algorithm.groups_per_step, algorithm.group_size, config.steps) == (16, 8, 150)
        assert (algorithm.learning_rate, algorithm.kl_coef, algorithm.gamma) == (1e-6, 0.01, 0.95)
        assert algorithm.episode_statistics == "rows"
        assert (evaluation.items, evaluation.temperature, config.task.eval_split) == (128, 0.4, "valid_seen")


def test_the_guided_strategies_go_into_the_study_of_the_scan(preset):
    (config, hydra), (scan, _) = preset("paper_guided"), preset("paper_qwen3_1_7b")
    assert hydra.sweeper.params.layer == "boost:5,boost:10,best:5,best:10,worst:5,worst:10,mid:5,random:5"
    assert config == scan


def test_the_laptop_is_base_full_and_every_block_of_smollm2_three_times(preset):
    config, hydra = preset("laptop")
    assert (config.model.name, config.task.name, config.layer) == ("smollm2_135m", "math", "all")
    assert (hydra.sweeper.params.seed, hydra.runtime.choices["hydra/launcher"]) == ("0,1,2", "fused")


def test_smoke_is_small(preset):
    config, hydra = preset("smoke")
    assert (config.model.name, config.layer, config.steps) == ("tiny", "all", 5)
    assert config.evaluation.items * config.evaluation.samples <= 64
    assert hydra.sweeper.params.seed == "0,1"


def test_skywork_has_to_be_given(preset):
    kwargs = preset("paper_deepseek_7b")[0].task.kwargs
    assert kwargs == {"dataset": "deepscaler", "path": "Skywork-OR1"}
    with pytest.raises(FileNotFoundError, match="Skywork-OR1"):
        envs.registry.make("onelayer/math-v0", **kwargs).size("train")
