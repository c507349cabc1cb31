"""Every registered task keeps the contract; the registry says what it has and what is wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import gymnasium
import pytest

import envs
from envs import registry


@pytest.mark.parametrize("env_id", [name for name, row in envs.tasks().items() if row.card is not None])
def test_registered_task_keeps_the_contract(env_id):
    envs.check_task(env_id, actions=["7", "The answer is 12."], items=2)


def test_our_tasks_are_in_gymnasiums_registry():
    env = gymnasium.make("onelayer/math-v0")
    observation, info = env.reset(seed=0, options={"split": "test", "index": 3})
    assert observation in env.observation_space
    assert (info["split"], info["index"], info["source"]) == ("test", 3, "generated")


def test_register_again_changes_nothing(recwarn):
    before = dict(gymnasium.registry)
    envs.register()
    assert dict(gymnasium.registry) == before
    assert not recwarn.list


@pytest.mark.parametrize("env_id", ["onelayer/mth-v0", "onelayer/math", "math"])
def test_unknown_id_names_what_exists(env_id):
    with pytest.raises(ValueError, match="Registered: onelayer/"):
        envs.make(env_id)


def test_unknown_id_suggests_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'onelayer/math-v0'"):
        envs.make("onelayer/mathh-v0")


def test_an_ordinary_gymnasium_environment_is_no_task():
    with pytest.raises(ValueError, match="does not subclass"):
        envs.make("CartPole-v1")


def test_a_broken_package_is_a_row_that_names_its_error(monkeypatch):
    broken = EntryPoint("broken", "no_such_package:register", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    registry.load_plugins.cache_clear()
    try:
        rows = envs.tasks()
        assert "ModuleNotFoundError" in rows["broken = no_such_package:register"].error
        assert rows["onelayer/math-v0"].card is not None
        with pytest.raises(ValueError, match="no_such_package"):
            envs.make("broken/task-v0")
    finally:
        registry.load_plugins.cache_clear()


def test_entry_point_name_is_the_namespace(monkeypatch):
    def register():
        gymnasium.register("borrowed-v0", entry_point="envs.math.env:MathEnv")

    class Loaded:
        name, value = "elsewhere", "elsewhere:register"

        def load(self):
            return register

    monkeypatch.setattr(registry, "entry_points", lambda group: [Loaded()])
    registry.load_plugins.cache_clear()
    try:
        assert envs.make("elsewhere/borrowed-v0").size("test") == 71
    finally:
        gymnasium.registry.pop("elsewhere/borrowed-v0", None)
        registry.load_plugins.cache_clear()


def test_the_table_and_no_heavy_import():
    code = (
        "import sys, runpy; runpy.run_module('envs', run_name='__main__');"
        "print([m for m in ('torch', 'datasets', 'reasoning_gym', 'sympy', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "onelayer/math-v0" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_register_survives_a_gymnasium_that_is_still_importing():
    # What an entry-point loader inside gymnasium/envs/__init__.py would do: gymnasium/__init__.py has run up to there.
    code = (
        "import sys, importlib.util as u;"
        "spec = u.find_spec('gymnasium'); g = u.module_from_spec(spec); sys.modules['gymnasium'] = g;"
        "source = spec.loader.get_source('gymnasium').split('from gymnasium import envs')[0];"
        "source = source.split('from gymnasium import spaces')[0];"
        "exec(compile(source, 'gymnasium', 'exec'), g.__dict__);"
        "import envs; envs.register();"
        "from gymnasium.envs.registration import registry; print('onelayer/math-v0' in registry)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
