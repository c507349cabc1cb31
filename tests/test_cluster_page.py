"""The commands of ``docs/cluster.md``: each composes, launcher and all, and gives as many jobs as the page says."""

from __future__ import annotations

import importlib.util
import re
import shlex

import pytest
from command_line import ROOT
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict

from algorithms.flags import hydra_words
from algorithms.planning import config_of, jobs_of
from conf import schema

PAGE = (ROOT / "docs" / "cluster.md").read_text()
LINES = [
    line
    for block in re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
    for line in block.replace("\\\n", "").split("\n")
]
SWEEPS = [shlex.split(line)[2:] for line in LINES if line.startswith("python run.py")]
JOBS = [6, 108, 108, 3, 108, 84, 3, 3, 3, 3]
"""Of the page's sweeps, in their order."""


def for_hydra(words):
    """Words of the run itself, and those that choose and set its launcher."""
    words = [word for word in hydra_words(words) if word != "-m"]
    launching = [word for word in words if word.lstrip("+").startswith("hydra")]
    return [word for word in words if word not in launching], launching


@pytest.fixture(params=range(len(SWEEPS)))
def sweep(request):
    """The number of a sweep, its configuration, its first and its last job, and how many there are."""
    own, launching = for_hydra(SWEEPS[request.param])
    if "hydra/launcher=ray" in launching and not importlib.util.find_spec("hydra_plugins.hydra_ray_launcher"):
        pytest.skip("Ray's launcher is not installed: pip install 'onelayer[ray]'")
    schema.register()
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", launching, return_hydra_config=True)
        OmegaConf.set_readonly(config.hydra, False)
        with open_dict(config):
            config.hydra.overrides.task = own
        loader = GlobalHydra.instance().config_loader()
        jobs = jobs_of(config)
        ends = [config_of(loader.load_sweep_config(config, job), job) for job in (jobs[0], jobs[-1])]
        yield request.param, config, ends, len(jobs)


def test_every_sweep_composes_and_has_its_number_of_jobs(sweep):
    number, config, ends, n_jobs = sweep
    assert n_jobs == JOBS[number]
    assert {job.study for job in ends} == {"blocks"}
    assert {job.task.name for job in ends} == {"math/gsm8k"}
    assert config.hydra.callbacks.plan.show == ("--plan" in SWEEPS[number])


def test_every_launcher_of_the_page_gives_a_cell_a_gpu_for_each_rank(sweep):
    number, config, ends, _ = sweep
    launcher = config.hydra.launcher
    if "--plan" not in SWEEPS[number] and any(word.startswith("hydra/launcher=") for word in SWEEPS[number]):
        asked = launcher.ray.remote.num_gpus if "ray" in launcher else launcher.gpus_per_node * launcher.tasks_per_node
        assert asked == ends[0].runner.ranks


def test_the_page_says_the_numbers_of_jobs_itself():
    assert "36 blocks × 3 seeds" in PAGE
    sizes = [int(size) for size in re.findall(r"(?:^|of )(\d+) (?:tasks|cells)[,.]", PAGE, re.MULTILINE)]
    assert sizes == [n for n, sweep in zip(JOBS, SWEEPS, strict=True) if "--plan" not in sweep]
