"""The doctor and the choices of device, dtype and threads it reports."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from algorithms import doctor, machine
from algorithms.machine import choose
from conf.schema import RunnerConfig


@pytest.fixture
def only_cpu(monkeypatch):
    monkeypatch.setattr(machine, "devices", lambda: ["cpu"])


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize(
    ("flags", "dtype"),
    [(["amx_bf16", "avx512_bf16"], torch.bfloat16), (["avx512_bf16"], torch.float32), ([], torch.float32)],
)
def test_auto_takes_bfloat16_only_where_it_is_fast(monkeypatch, flags, dtype):
    monkeypatch.setattr(machine, "cpu_bfloat16_flags", lambda: flags)
    chosen = choose(RunnerConfig(name="local"))
    assert (chosen.device, chosen.dtype) == ("cpu", dtype)


def test_what_is_asked_for_is_kept():
    chosen = choose(RunnerConfig(name="local", device="cpu", dtype="bfloat16", threads=3))
    assert chosen == machine.Machine("cpu", torch.bfloat16, 3)


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose(RunnerConfig(name="local")).threads == 1


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"device": "cuda"}, "runner.device=cuda, but torch finds none here; there is: cpu"),
        ({"device": "toaster"}, "runner.device='toaster' is unknown; valid: auto, cpu, cuda"),
        ({"dtype": "float8"}, "runner.dtype='float8' is unknown; valid: auto, float32, bfloat16"),
        ({"threads": -1}, "runner.threads=-1 is negative"),
    ],
)
def test_impossible_wishes_are_refused(wish, message):
    with pytest.raises(ValueError, match=message):
        choose(RunnerConfig(name="local", **wish))


def test_pins_are_read_and_compared(monkeypatch):
    wanted = ["torch>=2", "numpy<1", "no-such-package", "wandb; extra == 'never'"]
    monkeypatch.setattr(doctor, "_requirements", lambda: wanted)
    assert [(pin.name, pin.fits) for pin in doctor.pins()] == [
        ("torch", True),
        ("numpy", False),
        ("no-such-package", False),
    ]


def test_a_checkout_that_is_not_installed_reads_its_pyproject(monkeypatch):
    monkeypatch.setattr(doctor, "PROJECT", "not-installed-under-this-name")
    assert "verl==0.9.1" in [f"{pin.name}{pin.wanted}" for pin in doctor.pins()]


def test_a_broken_pin_is_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_requirements", lambda: ["numpy<1"])
    monkeypatch.setattr(doctor, "hub_reachable", lambda: False)
    assert doctor.main() == 1
    assert "pip install 'numpy<1'" in capsys.readouterr().out


def test_the_doctor_runs(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "algorithms.doctor"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    for word in ("Packages", "verl", "Machine", "Hugging Face hub", "Models", "What will be used"):
        assert word in done.stdout
    for choice in ("compute dtype", "runner=cluster"):
        assert choice in done.stdout
