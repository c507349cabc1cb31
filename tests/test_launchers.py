"""Hydra's launchers for many processes and machines: the same cells in the same folders, failures told all the same."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from command_line import ROOT

from evaluation.states import states_of

SMALL = ("steps=1", "evaluation.items=2", "evaluation.samples=1")
LAUNCHERS = {
    "joblib": ["hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra.launcher.timeout_min=10", "hydra.launcher.submitit_folder={folder}/jobs"],
    "ray": ["+hydra.launcher.ray.init.num_cpus=2"],
}
PLUGINS = {name: f"hydra_plugins.hydra_{name.removesuffix('_local')}_launcher" for name in LAUNCHERS}


@pytest.fixture
def finish(tiny_words, tmp_path):
    """``finish("joblib", "layer=0,1")``: a multirun of the tiny model, to its end: exit code and output."""

    def run(launcher, *words):
        if importlib.util.find_spec(PLUGINS[launcher]) is None:
            extra = "ray" if launcher == "ray" else "launchers"
            pytest.skip(f"{launcher} is not installed: pip install 'onelayer[{extra}]'")
        chosen = [f"hydra/launcher={launcher}", *(word.format(folder=tmp_path) for word in LAUNCHERS[launcher])]
        usual = [word for word in tiny_words if not word.startswith("layer=")]
        words = [*usual, *SMALL, f"runs_dir={tmp_path / 'runs'}", "runner.threads=1", *words, *chosen]
        # An interpreter of its own: joblib's processes end with one, not with a process that was forked.
        command = [sys.executable, "run.py", "-m", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    "launcher",
    ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)],
)
def test_a_failed_cell_stops_no_other_and_the_exit_code_says_so(finish, tmp_path, launcher):
    code, output = finish(launcher, "layer=99,base,1", "seed=0,1")
    assert code == 1, output
    assert "layer=99 is out of range; this model has 4 blocks, 0 to 3" in output
    states = states_of(tmp_path / "runs" / "default")
    assert {state.name: state.state for state in states if state.name} == {
        f"math/tiny/grpo/layer={layer}/seed={seed}": "done" for layer in ("base", "1") for seed in (0, 1)
    }
    assert [(state.state, state.command.split()[-2:]) for state in states if not state.name] == [
        ("failed", ["layer=99", f"seed={seed}"]) for seed in (0, 1)
    ]
    code, output = finish(launcher, "layer=base,1")
    assert code == 0, output
