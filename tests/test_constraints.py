"""Pins for CUDA hosts: what verl itself asks for, and nothing that speaks against our own."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest
from command_line import ROOT
from packaging.requirements import Requirement

from algorithms.workers.contract import PINNED

VERLS = [Requirement(text) for text in requires("verl") or []]
PROJECT = (ROOT / "pyproject.toml").read_text()


def of_verl(extra):
    """What verl pins in an extra, by name."""
    members = [r for r in VERLS if r.marker and r.marker.evaluate({"extra": extra})]
    return {r.name: r.specifier for r in members if r.specifier}


def constraints(engine):
    lines = (ROOT / "constraints" / f"cuda-{engine}.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name: requirement.specifier for requirement in found}


def ours(name):
    """What ``pyproject.toml`` says of a package, as a core dependency or in the extra ``[cluster]``."""
    return [Requirement(text) for text in re.findall(rf'"({re.escape(name)}\b[^"]*)"', PROJECT)]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_the_constraints_of_an_engine_are_verls(engine):
    expected = of_verl("verl-core") | of_verl(engine)
    assert engine in expected
    written = constraints(engine)
    assert str(written.pop("verl")) == f"=={PINNED}"
    assert written == expected


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_no_exact_pin_of_an_engine_is_outside_ours(engine):
    for name, specifier in constraints(engine).items():
        for pin in [pin for pin in specifier if pin.operator == "=="]:
            assert all(requirement.specifier.contains(pin.version) for requirement in ours(name)), name


def test_the_cluster_extra_is_what_verls_trainer_needs_and_verl_declares():
    (block,) = re.findall(r"^cluster = \[(.*)\]$", PROJECT, re.MULTILINE)
    named = {r.name: r.specifier for r in map(Requirement, re.findall(r'"([^"]+)"', block))}
    assert set(named) == {"TransferQueue", "pyzmq", "msgspec", "cachetools", "uvicorn", "fastapi"}
    declared = {r.name: r.specifier for r in VERLS if r.marker and r.marker.evaluate({"extra": "verl-core"})}
    assert named == {name: declared[name] for name in named}
