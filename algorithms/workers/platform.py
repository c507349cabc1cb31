"""A CPU platform for verl, through its public platform registry.

verl 0.9.1 knows accelerators only. It asks its platform for a device name, a communication backend and a torch device
module; on a machine without an accelerator this class answers. Importing this module registers it; verl also finds it
by itself through the entry point group ``verl.plugins``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


def _nothing(*_: Any, **__: Any) -> None:
    """Stand in for calls that only make sense with an accelerator."""


def _resident_bytes(*_: Any, **__: Any) -> int:
    return psutil.Process().memory_info().rss


def _device_module() -> SimpleNamespace:
    """``torch.cpu`` and, beside it, the calls of ``torch.cuda`` that verl makes on its device module."""
    module = SimpleNamespace(**{name: getattr(torch.cpu, name) for name in dir(torch.cpu) if name[0] != "_"})
    module.is_available = lambda: False
    module.current_device = lambda: "cpu"
    module.get_device_name = lambda *_: "CPU"
    module.empty_cache = module.ipc_collect = module.reset_peak_memory_stats = _nothing
    module.memory_allocated = module.max_memory_allocated = _resident_bytes
    module.memory_reserved = module.max_memory_reserved = _resident_bytes
    module.mem_get_info = lambda *_: (psutil.virtual_memory().available, psutil.virtual_memory().total)
    module.get_rng_state, module.set_rng_state = torch.get_rng_state, torch.set_rng_state
    module.manual_seed = module.manual_seed_all = torch.manual_seed
    return module


@PlatformRegistry.register(platform="cpu")
class CPUPlatform(PlatformBase):
    """verl's view of a machine without an accelerator."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device_module()  # type: ignore[assignment]

    def is_available(self) -> bool:
        """A CPU is always there."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Chosen by verl's detection only where no accelerator answers."""
        return not torch.cuda.is_available()

    def current_device(self) -> str:  # type: ignore[override]
        """``"cpu"``, not an index: verl hands it to ``Tensor.to``, where 0 would mean the first GPU."""
        return "cpu"

    def device_count(self) -> int:
        """One, however many cores."""
        return 1

    def communication_backend_name(self) -> str:
        """Gloo is torch's backend for CPU tensors."""
        return "gloo"

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        """CPUs have no compute capability."""
        return None, None

    def visible_devices_envvar(self) -> str:
        """Verl wants a name; nothing reads it here."""
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        """What Ray counts."""
        return "CPU"

    def ray_resource_options(self, num_gpus: float) -> dict[str, Any]:
        """No accelerators to ask for."""
        return {}

    def ray_noset_envvars(self) -> list[str]:
        """No accelerators to hide."""
        return []

    def is_ipc_supported(self) -> bool:
        """No device memory to share between processes."""
        return False

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        """No NVTX on CPU."""
        yield

    def manual_seed(self, seed: int) -> None:
        """Seed torch's CPU generator."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed
    set_device = synchronize = set_allocator_settings = empty_cache = _nothing
    profiler_start = profiler_stop = cudart = _nothing
