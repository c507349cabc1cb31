"""What this machine offers and what a run would use: ``python -m algorithms.doctor``; 1: a broken pin or contract."""

from __future__ import annotations

import netrc
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

from agents import smollm2
from agents.cache import cache_root
from agents.models import cached_on_hub, missing_files
from algorithms.machine import choose, cpu_bfloat16_flags, cpu_info, devices, has_fast_bfloat16, usable_cores
from algorithms.workers.cluster.engines import readiness
from conf.errors import UserError
from conf.schema import ModelConfig, register
from envs.code.sandbox import Sandbox, SandboxUnavailable

HUB_TIMEOUT_S = 3
CONF = Path(__file__).parents[1] / "conf"
PROJECT = "onelayer"


class Pin(NamedTuple):
    """A package this project pins: what is wanted, what is installed (empty: nothing), whether that fits."""

    name: str
    wanted: str
    installed: str
    fits: bool


def main() -> int:
    """Print the tables; return 1 when a pinned package is missing or outside its pin."""
    # Where the output goes to a file, rich would cut tables at 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    found = list(pins())
    console.print(_pin_table(found))
    online = hub_reachable()
    console.print(_table("Machine", machine_rows(online)))
    kept, said = contract()
    console.print(_table("Contract with verl", {"kept" if kept else "BROKEN": said}))
    console.print(_table("Models", model_rows()))
    register()
    console.print(_table("What will be used", choice_rows(online)))
    broken = [f"{pin.name}{pin.wanted}" for pin in found if not pin.fits]
    if broken:
        console.print(f"Outside their pins: {', '.join(broken)}. Cure: pip install {' '.join(map(repr, broken))}")
    return 1 if broken or not kept else 0


def pins() -> Iterator[Pin]:
    """Yield the core requirements of this project, from its installed metadata or else from ``pyproject.toml``."""
    for text in _requirements():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            installed = ""
        fits = bool(installed) and requirement.specifier.contains(installed, prereleases=True)
        yield Pin(requirement.name, str(requirement.specifier), installed, fits)


def contract() -> tuple[bool, str]:
    """Whether verl is the release that is used, name by name; and in words, with what mends it where it is not."""
    try:
        from algorithms.workers import contract  # here another release is found out, which is for the table
        from algorithms.workers.cluster.contract import CLUSTER_SYMBOLS

        symbols = CLUSTER_SYMBOLS if find_spec("transfer_queue") else contract.SYMBOLS
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*engine is not available.*")  # verl's optional backends
            contract.check(symbols)
    except UserError as error:
        return False, str(error)
    return True, f"verl {contract.PINNED} has all {len(symbols)} names that are used, with their parameters"


def hub_reachable() -> bool:
    """Ask the Hugging Face hub for one small file's headers; False as well when HF_HUB_OFFLINE is set."""
    try:
        get_hf_file_metadata(hf_hub_url("openai-community/gpt2", "config.json"), timeout=HUB_TIMEOUT_S)
    except Exception:  # whatever the reason, there is no hub for us
        return False
    return True


def machine_rows(online: bool) -> dict[str, str]:
    """Describe processor, accelerators, memory, disk and connections."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = next(parent for parent in [cache_root(), *cache_root().parents] if parent.exists())
    offline = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
    return {
        "Python": f"{platform.python_version()}, {platform.platform()}",
        "processor": f"{cpu_info().get('model name', platform.processor() or 'unknown')}, {usable_cores()} cores",
        "bfloat16 on it": _cpu_bfloat16(),
        "torch threads": f"{torch.get_num_threads()} by default",
        "accelerators": accelerators(),
        "memory": f"{_gigabytes(memory)}, {_gigabytes(_available_memory() or memory)} free",
        "disk": f"{_gigabytes(shutil.disk_usage(free).free)} free for {cache_root()}",
        "Hugging Face hub": ("reachable" if online else "not reachable") + offline,
        "sandbox for programs": sandbox(),
        "W&B": "logged in" if _wandb_logged_in() else "not logged in: runs are kept offline",
    }


def _cpu_bfloat16() -> str:
    flags = ", ".join(cpu_bfloat16_flags()) or "emulated"
    return flags if has_fast_bfloat16("cpu") else f"{flags}; float32 is faster"


def sandbox() -> str:
    """Name the layers that confine a model's programs here; ``python -m envs.code.sandbox`` says more."""
    try:
        with Sandbox(workers=1) as box:
            return ", ".join(f"{layer} {state}" for layer, state in box.report.items())
    except SandboxUnavailable as error:
        return f"does not start: {error}"


def accelerators() -> str:
    """Name the accelerators torch can use, with their memory."""
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    named = [f"cuda:{index} {gpu.name}, {_gigabytes(gpu.total_memory)}" for index, gpu in enumerate(gpus)]
    return "; ".join([*named, *(["mps"] if "mps" in devices() else [])]) or "none"


def model_rows() -> dict[str, str]:
    """Say for every model of ``conf/model`` where its files are, or that they are nowhere yet."""
    rows = {}
    for file in sorted((CONF / "model").glob("*.yaml")):
        model = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.load(file))
        if OmegaConf.is_missing(model, "name"):
            continue
        rows[file.stem] = _place(model) or "not here yet"
    return rows


def choice_rows(online: bool) -> dict[str, str]:
    """Resolve the default runner and model as a run would, without downloading anything."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config")
    machine = choose(config.runner)
    later = (
        f"{config.model.embedded}, prepared at the first run" if config.model.embedded else "nowhere: set model.path"
    )
    hub = f"the hub: {config.model.hub_id}" if online and config.model.hub_id else ""
    return {
        "device": machine.device,
        "compute dtype": str(machine.dtype).removeprefix("torch."),
        "threads": str(machine.threads),
        f"model {config.model.name}": _place(config.model) or hub or later,
        "runner=cluster": readiness(),
    }


def _place(model: Any) -> str:
    """Where the files of a model are on this machine; empty when they would have to be fetched or made."""
    if model.path:
        return f"folder {model.path}" + (f": {missing}" if (missing := missing_files(Path(model.path))) else "")
    if model.hub_id and (folder := cached_on_hub(model.hub_id, model.revision)):
        return f"Hugging Face cache: {folder}"
    if model.embedded == "smollm2_wheel" and (cache_root() / smollm2.FOLDER).is_dir():
        return f"{smollm2.SOURCE}: {cache_root() / smollm2.FOLDER}"
    made = sorted(folder.name for folder in cache_root().glob("tiny-*") if folder.is_dir())
    return f"{cache_root()}: {', '.join(made)}" if model.embedded == "tiny_recipe" and made else ""


def _requirements() -> list[str]:
    try:
        return requires(PROJECT) or []
    except PackageNotFoundError:
        # A checkout that is used without being installed.
        text = (CONF.parent / "pyproject.toml").read_text()
        block = re.search(r"^dependencies = \[$(.*?)^\]$", text, re.MULTILINE | re.DOTALL)
        return re.findall(r'^\s*"([^"]+)"', block[1], re.MULTILINE) if block else []


def _pin_table(found: list[Pin]) -> Table:
    table = Table("package", "wanted", "installed", "", title="Packages", title_justify="left")
    for pin in found:
        table.add_row(pin.name, pin.wanted or "any", pin.installed or "missing", "ok" if pin.fits else "MISMATCH")
    return table


def _table(title: str, rows: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _wandb_logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):  # no such file, or not ours to judge
        return False


def _available_memory() -> int:
    """Bytes that can still be taken, as Linux sees it; 0 where it is not known."""
    meminfo = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text()) if meminfo.is_file() else None
    return int(found[1]) * 1024 if found else 0


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.0f} GB"


if __name__ == "__main__":
    sys.exit(main())
