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
    if missing := missing_packages():
        raise ClusterError(f"runner=cluster needs {', '.join(missing)}: pip install -e '.[cluster]'")
    if machine.device != engine.device:
        others = [other for other, its in ENGINES.items() if its.device == machine.device]
        raise ClusterError(
            f"runner.engine={name} runs on {engine.device}, and this run on {machine.device}; "
            f"valid with runner.device={machine.device}: {', '.join(others)}"
        )
    if engine.package and find_spec(engine.package) is None:
        command = f"pip install -e '.[{engine.package}]' -c constraints/cuda-{engine.package}.txt"
        raise ClusterError(f"runner.engine={name} needs {engine.package}: {command}")
    return engine


def missing_packages() -> list[str]:
    """What ``runner=cluster`` needs beside the core requirements and is not installed."""
    return [package for package in TRAINER_PACKAGES if find_spec(package) is None]


def readiness() -> str:
    """In words, whether ``runner=cluster`` can run here and with which engines."""
    if missing := missing_packages():
        return f"needs {', '.join(missing)}: pip install -e '.[cluster]'"
    there = [name for name, engine in ENGINES.items() if engine.package is None or find_spec(engine.package)]
    return f"installed, with runner.engine={' or '.join(there)}"
