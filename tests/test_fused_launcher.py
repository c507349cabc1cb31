"""``hydra/launcher=fused`` as a user runs it: groups, what fails, what is finished, what other launchers see of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, Command

SMALL = ("steps=1", "evaluation.items=2", "evaluation.samples=1")


@pytest.fixture
def finish(tiny_words, tmp_path):
    """``finish("layer=0,1")``: a fused multirun of the tiny model, to its end: exit code and output."""

    def run(*words, launcher=("hydra/launcher=fused",)):
        usual = [word for word in tiny_words if not word.startswith("layer=")]
        command = Command(
            tmp_path / "output", "run.py", "-m", *usual, *SMALL, f"runs_dir={tmp_path / 'runs'}", *words, *launcher
        )
        return command.end(), command.output

    return run


def finished(folder):
    return {tuple(path.parts[-3:-1]) for path in (folder / "runs").rglob("result.json")}


def test_jobs_that_differ_only_in_layer_run_side_by_side(finish, tmp_path):
    code, output = finish("layer=base,foo,0,-4,99", "seed=0,1")
    assert code == 1
    assert finished(tmp_path) == {(f"layer={layer}", f"seed={seed}") for layer in ("base", "0") for seed in (0, 1)}
    for seed in (0, 1):
        assert output.count(f"layers base, 0 | seed={seed}") == 1
    assert output.count("step 1  ") == 2
    assert "error: layer=99 is out of range; this model has 4 blocks, 0 to 3" in output
    assert "error: layer='foo' does not parse; valid: base, full" in output
    assert "Traceback" not in output
    result = json.loads(next((tmp_path / "runs").rglob("layer=0/seed=1/result.json")).read_text())
    assert {"layer=0", "seed=1"} <= set(result["overrides"])


def test_all_is_every_arm_and_again_only_read(finish, tmp_path):
    code, output = finish("layer=all")
    assert code == 0, output
    assert finished(tmp_path) == {(f"layer={layer}", "seed=0") for layer in ("base", "full", *"0123")}
    assert "layers base, 0 to 3 | seed=0" in output
    code, output = finish("layer=all")
    assert code == 0, output
    assert "finished before, nothing to do: layers base, full, 0 to 3" in output
    code, output = finish("layer=base,2", launcher=())  # the basic launcher reads the same cells
    assert code == 0, output
    assert output.count("finished before, nothing to do: ") == 2


def test_the_cells_of_a_group_can_be_dealt_out_to_processes(finish, tmp_path):
    code, output = finish("layer=base,foo,0,1,-3,full", "hydra.launcher.processes=2")
    assert code == 1, output
    assert finished(tmp_path) == {(f"layer={layer}", "seed=0") for layer in ("base", "0", "1", "full")}
    assert "layer='foo' does not parse" in output
    assert "Traceback" not in output
    code, output = finish("layer=base,0,1,full", launcher=())
    assert code == 0, output
    assert output.count("finished before, nothing to do: ") == 4


def holder(cell):
    """The process that runs a cell."""
    return Path("/proc") / (cell / ".lock").read_text()


def test_processes_stop_with_a_checkpoint_when_the_one_that_began_them_is_killed(tiny_words, tmp_path):
    words = [word for word in tiny_words if not word.startswith(("layer=", "steps="))]
    words += ["layer=0,1", "steps=100000", "checkpoint_every=100000", f"runs_dir={tmp_path / 'runs'}"]
    launcher = ("hydra/launcher=fused", "hydra.launcher.processes=2")
    command = Command(tmp_path / "output", "run.py", "-m", *words, *SMALL[1:], *launcher)

    def cells():
        return {file.parent for file in (tmp_path / "runs").rglob("metrics.jsonl") if file.read_text()}

    command.signal_when(signal.SIGKILL, lambda: len(cells()) == 2)
    holders = {holder(cell) for cell in cells()}
    assert len(holders) == 2
    deadline = time.monotonic() + 60
    while any(process.exists() for process in holders):
        assert time.monotonic() < deadline, "still running without the process that began them"
        time.sleep(0.1)
    assert all((cell / "checkpoint").is_dir() for cell in cells())


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_of_processes_that_is_none_is_refused(finish, number):
    code, output = finish("layer=0", f"hydra.launcher.processes={number}")
    assert code == 1
    assert f"hydra.launcher.processes={number} is not valid" in output


def test_a_wrong_configuration_is_told_once_and_fails_every_job_of_its_group(finish, tmp_path):
    code, output = finish("layer=0,1", "task.kwargs.dataset=nope")
    assert code == 1
    assert output.count("easy, two_digit") == 2  # when it happens, and at the end
    assert "Traceback" not in output
    code, output = finish("layer=0", "steps=0,1")
    assert code == 1
    assert "steps=0 is not valid" in output
    assert finished(tmp_path) == {("layer=0", "seed=0")}


def test_the_plugin_computes_nothing_when_hydra_looks_at_it():
    script = (
        "import sys\n"
        "from hydra.core.plugins import Plugins\n"
        "Plugins.instance()\n"
        "print('hydra_plugins.fused_launcher' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout == "True False\n"
