"""The tasks. Importing this package registers them in Gymnasium's registry; heavy names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from envs.registry import RegisteredTask, make, register, tasks

if TYPE_CHECKING:
    from envs.contract import check_task
    from envs.core import ContractError, Start, TaskCard, TaskEnv, Transition
    from envs.spaces import UnicodeText

_HOME = {
    "ContractError": "envs.core",
    "Start": "envs.core",
    "TaskCard": "envs.core",
    "TaskEnv": "envs.core",
    "Transition": "envs.core",
    "UnicodeText": "envs.spaces",
    "check_task": "envs.contract",
}

__all__ = [
    "ContractError",
    "RegisteredTask",
    "Start",
    "TaskCard",
    "TaskEnv",
    "Transition",
    "UnicodeText",
    "check_task",
    "make",
    "register",
    "tasks",
]


def __getattr__(name: str) -> Any:
    # Lazy: `envs:register` may be called while `gymnasium` itself is still importing and has no `Env` yet.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register()
