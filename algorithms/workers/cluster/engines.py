"""What answers: which of verl's rollouts, and whether its package is there."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from algorithms.machine import Machine
from algorithms.workers.cluster.waiting import ClusterError
from conf.schema import Config

TRAINER_PACKAGES = ("ray", "transfer_queue", "zmq", "msgspec", "cachetools", "uvicorn", "fastapi")


@dataclass(frozen=True)
class Engine:
    """A server: verl's name of it, the package that it is (and the extra that brings it), where it runs."""

    verl_name: str
    package: str | None
    device: str

    @property
    def installed(self) -> bool:
        """Whether its package is there, where it wants one."""
        return self.package is None or find_spec(self.package) is not None


ENGINES = {
    "hf": Engine("hf_server", None, "cpu"),
    "vllm": Engine("vllm", "vllm", "cuda"),
    "sglang": Engine("sglang", "sglang", "cuda"),
}
"""By ``runner.engine``."""


def engine_of(config: Config, machine: Machine) -> Engine:
    """The engine of ``runner.engine``, if it can run here.

    Raises:
        ClusterError: A package is not installed (the message names its extra), the engine runs on another device, or
            the model has adapters, which servers are not sent.
    """
    name = config.runner.engine
    engine = ENGINES[name]
    if config.model.lora_rank:
        raise ClusterError(
            f"model.lora_rank={config.model.lora_rank}: adapters are not sent to servers yet; "
            "use runner=local, or model.lora_rank=0"
        )
    if needed := _needed():
        raise ClusterError(f"runner=cluster {needed}")
    if machine.device != engine.device:
        others = [other for other, its in ENGINES.items() if its.device == machine.device]
        raise ClusterError(
            f"runner.engine={name} runs on {engine.device}, and this run on {machine.device}; "
            f"valid with runner.device={machine.device}: {', '.join(others)}"
        )
    if not engine.installed:
        command = f"pip install -e '.[{engine.package}]' -c constraints/cuda-{engine.package}.txt"
        raise ClusterError(f"runner.engine={name} needs {engine.package}: {command}")
    return engine


def readiness() -> str:
    """In words, whether ``runner=cluster`` can run here and with which engines."""
    there = " or ".join(name for name, engine in ENGINES.items() if engine.installed)
    return _needed() or f"installed, with runner.engine={there}"


def _needed() -> str:
    """What ``runner=cluster`` needs beside the core requirements and how to get it; empty where it is installed."""
    missing = [package for package in TRAINER_PACKAGES if find_spec(package) is None]
    return f"needs {', '.join(missing)}: pip install -e '.[cluster]'" if missing else ""
