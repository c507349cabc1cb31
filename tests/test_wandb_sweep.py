"""``conf/wandb/sweep.yaml`` as it is: every point of its grid is a cell, and ``wandb`` makes agents run them."""

from __future__ import annotations

import itertools
import os
import sys

import pytest
import yaml
from command_line import ROOT
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from wandb_client import wandb_api, wandb_command

from algorithms.layers import parse_layer
from conf import schema
from evaluation.results import read_result

__all__ = ["wandb_api", "wandb_command"]

SWEEP = ROOT / "conf" / "wandb" / "sweep.yaml"
GRID = yaml.safe_load(SWEEP.read_text())


def points():
    axes = {key: spec["values"] for key, spec in GRID["parameters"].items()}
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def test_every_point_of_the_grid_is_one_cell():
    schema.register()
    own = [word for word in GRID["command"] if "$" not in word]
    with initialize_config_module("conf", version_base="1.3"):
        for point in points():
            config = OmegaConf.to_object(compose("config", [*(f"{k}={v}" for k, v in point.items()), *own]))
            assert (config.tracker.name, config.tracker.mode) == ("wandb", "online")
            assert (config.task.name, config.seed) == (point["task"], point["seed"])
            parse_layer(config.layer, 30)  # those of the default model


def test_the_sweep_looks_for_the_score_in_the_default_project():
    assert GRID["metric"] == {"name": "score", "goal": "maximize"}
    assert (GRID["method"], GRID["project"]) == ("grid", schema.TrackerConfig.project)


@pytest.fixture
def python_in_path(tmp_path, tiny_words, monkeypatch):
    """What the agent finds as ``python``: this interpreter, which takes the tiny model whatever it is asked for."""
    words = [
        word for word in tiny_words if not word.startswith(("layer=", "steps=", "evaluation.", "algorithm.group_size"))
    ]
    words += [
        "steps=1",
        "evaluation.items=2",
        "evaluation.samples=1",
        "evaluation.greedy=false",
        f"runs_dir={tmp_path}",
    ]
    words += ["algorithm.group_size=8"]
    shim = tmp_path / "bin" / "python"
    shim.parent.mkdir()
    quoted = " ".join(f"'{word}'" for word in words)
    shim.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/commands\nexec {sys.executable} "$@" {quoted}\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    return tmp_path


def test_an_agent_runs_the_cells_that_the_sweep_deals_out(python_in_path, wandb_api, wandb_command, monkeypatch):
    monkeypatch.chdir(ROOT)
    wandb_command("sweep", SWEEP)
    (sweep,) = wandb_api.sweeps.values()
    assert (sweep.project, sweep.owed) == ("onelayer", points())
    trained = {"task": "math", "layer": 0, "seed": 0}
    sweep.owed = [trained, trained]  # the second time it is finished, and only handed in
    wandb_command("agent", f"someone/onelayer/{sweep.id}")
    commands = (python_in_path / "commands").read_text().splitlines()
    assert commands == ["run.py task=math layer=0 seed=0 study=sweep tracker=wandb tracker.mode=online"] * 2
    result = read_result(python_in_path / "sweep/math/tiny/grpo/layer=0/seed=0/result.json")
    assert list(wandb_api.runs) == list(sweep.dealt)
    for run in wandb_api.runs.values():
        assert (run.project, run.sweep, run.group, run.exit_code) == ("onelayer", sweep.id, "sweep", 0)
        assert run.config["layer"] == 0 and run.config["task"] == "math"
        assert run.summary["score"] == result.score
        assert [row["_step"] for row in run.history if "reward" in row] == [1]
    assert not wandb_api.unknown
