"""Two processes want the same GPU: one has it, the other is told who, and a shared one is nobody's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading

import pytest

from algorithms import claim, study
from algorithms.claim import DeviceBusyError, claimed
from algorithms.machine import Machine

HOLD = """
import sys
from algorithms import claim
claim.identity = lambda device: "GPU-" + device
claim.tempfile.tempdir = sys.argv[1]
with claim.claimed("cuda:0", share=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def gpus(monkeypatch, tmp_path):
    """GPUs in name only, whose locks lie in ``tmp_path``."""
    monkeypatch.setattr(claim, "identity", lambda device: f"GPU-{device}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def other(tmp_path):
    """Another process, which holds ``cuda:0`` as long as it lives."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_gpu_that_another_process_holds_is_refused_until_that_has_gone(other):
    message = rf"cuda:0 is in use by process {other.pid}, .* runner\.share_device=true"
    with pytest.raises(DeviceBusyError, match=message), claimed("cuda:0", share=False):
        pass
    with claimed("cuda:1", share=False), claimed("cuda:0", share=True), claimed("cpu", share=False):
        pass
    other.kill()
    other.wait()
    with claimed("cuda:0", share=False):
        pass


def test_whoever_is_about_to_go_is_waited_for(other):
    threading.Timer(0.3, other.kill).start()
    with claimed("cuda:0", share=False, patience_s=30):
        pass


def test_one_process_takes_its_gpu_again_and_again(tmp_path):
    for _ in range(2):
        with claimed("cuda:0", share=False):
            assert next(tmp_path.glob("onelayer-*.lock")).read_text() == str(os.getpid())


@pytest.mark.usefixtures("other")
def test_a_cell_asks_for_its_gpu_before_it_writes_anything_else(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("algorithms.setting.choose", lambda runner: Machine("cuda:0", claim.torch.float32, 1))
    monkeypatch.setattr(study, "start_verl", lambda machine: None)
    with pytest.raises(DeviceBusyError):
        study.run_cell(tiny_config("layer=1"))
    assert {path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()} == {"failure.json"}
