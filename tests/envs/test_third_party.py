"""A package of its own adds a task: installed into an empty folder, found by the registry and by Hydra."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents.tiny import make_untrained

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_env"

USE = """
import envs
row = envs.tasks()["counting/next-v0"]
assert row.card.turns == 2, row
envs.check_task("counting/next-v0", actions=["4", "7"])

from hydra import compose, initialize_config_dir
from conf import schema
import pathlib, sys
schema.register()
with initialize_config_dir(sys.argv[1], version_base=None):
    task = compose("primary", ["task=counting"]).task
assert (task.name, task.env_id, task.max_turns) == ("counting", "counting/next-v0", 2), task

env = envs.make(task.env_id, reward_weights=dict(task.reward_weights))
env.reset(options={"split": "test", "index": 0})
assert env.step("four")[1:4] == (-0.1, False, False)
assert env.step("4")[1:4] == (1.0, True, False)
print("all found")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example, installed with pip but without touching this Python's packages or the source tree."""
    folder = tmp_path_factory.mktemp("third_party")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    target = folder / "site"
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


def test_it_is_found_and_keeps_the_contract(installed, tmp_path):
    (tmp_path / "primary.yaml").write_text("defaults:\n  - schema\n  - task: ???\n  - _self_\n")
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("all found"), done.stderr


def test_it_trains_and_is_evaluated_without_an_edit_of_ours(installed, tmp_path):
    model = make_untrained(tmp_path / "model", n_blocks=2, hidden=32)
    words = ["task=counting", "model=local", "model.name=untrained", f"model.path={model}", "layer=1", "steps=2"]
    words += [f"runs_dir={tmp_path}", "evaluation.items=4", "evaluation.samples=2", "task.max_response_tokens=1"]
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words, "model.learning_rate=1e-3"],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cell = tmp_path / "default" / "counting" / "untrained" / "grpo" / "layer=1" / "seed=0"
    assert json.loads((cell / "result.json").read_text())["audit"]["ok"]
    assert len((cell / "metrics.jsonl").read_text().splitlines()) == 2


def test_it_is_short():
    assert len((EXAMPLE / "counting_env" / "__init__.py").read_text().splitlines()) < 40
