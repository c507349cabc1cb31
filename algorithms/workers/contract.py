"""What this package uses of verl: every name that it calls, overrides or fills in, and the parameters it relies on.

verl changes underscore methods between releases, so one version is pinned, and what is used of it is checked where verl
is started and by ``python -m algorithms.doctor``. Whoever uses more of verl adds a line to ``SYMBOLS``, or a table of
the same form to a call of ``check``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from conf.errors import UserError

PINNED = "0.9.1"
INSTALL = f"pip install 'verl=={PINNED}'"
REINSTALL = f"pip install --force-reinstall --no-deps 'verl=={PINNED}'"

Symbols = Mapping[str, str | None]
"""By ``module:path`` the parameters, in order; None: it has to be there, whatever it is."""

_ENGINE = "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead"
_WORKER = "verl.workers.engine_workers:ActorRolloutRefWorker"
_PLATFORM = "verl.plugin.platform:PlatformBase"
_PLATFORM_WORDS = (
    *("visible_devices_envvar", "ray_resource_name", "ray_noset_envvars", "is_ipc_supported", "nvtx_range"),
    *("manual_seed", "manual_seed_all", "set_device", "synchronize", "set_allocator_settings", "empty_cache"),
    *("profiler_start", "profiler_stop", "cudart"),
)

SYMBOLS: Symbols = {
    # Registries that are filled in.
    "verl.plugin.platform:PlatformRegistry.register": "platform",
    "verl.plugin.platform:PlatformRegistry.get": "name",
    "verl.workers.engine:EngineRegistry.register": "model_type, backend, device, vendor",
    "verl.workers.engine:EngineRegistry.get_engine_cls": "model_type, backend",
    "verl.workers.rollout.base:_ROLLOUT_REGISTRY": None,
    "verl.utils.model:_architecture_to_auto_class": None,
    # What is subclassed: methods that are overridden, attributes that are read.
    f"{_PLATFORM}.is_available": "self",
    f"{_PLATFORM}.is_platform_available": "self, use_smi_check",
    f"{_PLATFORM}.current_device": "self",
    f"{_PLATFORM}.device_count": "self",
    f"{_PLATFORM}.communication_backend_name": "self",
    f"{_PLATFORM}.get_device_capability": "self, device_index",
    f"{_PLATFORM}.ray_resource_options": "self, num_gpus",
    **{f"{_PLATFORM}.{name}": None for name in _PLATFORM_WORDS},
    f"{_ENGINE}._build_module": "self",
    f"{_ENGINE}._build_lora_module": "self, module",
    f"{_ENGINE}._build_fsdp_module": "self, module",
    f"{_ENGINE}._build_optimizer": "self, module",
    f"{_ENGINE}.prepare_model_inputs": "self, micro_batch",
    f"{_ENGINE}.prepare_model_outputs": "self, output, output_args, micro_batch, logits_processor_func",
    f"{_ENGINE}.forward_step": "self, micro_batch, loss_function, forward_only",
    f"{_ENGINE}.forward_backward_batch": "self, data, loss_function, forward_only",
    f"{_ENGINE}.optimizer_step": "self",
    f"{_ENGINE}.get_per_tensor_param": "self, layered_summon, base_sync_done",
    f"{_ENGINE}.get_data_parallel_group": "self",
    "verl.workers.rollout.base:BaseRollout.__init__": "self, config, model_config, device_mesh",
    "verl.workers.rollout.base:BaseRollout.update_weights": "self, weights, wire_format",
    "verl.workers.rollout.base:BaseRollout.resume": "self, tags",
    "verl.workers.rollout.base:BaseRollout.release": "self",
    # What is put in the place of verl's own.
    "verl.workers.engine.fsdp.transformer_impl:prepare_micro_batches": "data, dp_group",
    # What is called.
    f"{_WORKER}.__init__": "self, config, role",
    f"{_WORKER}.init_model": "self",
    f"{_WORKER}.compute_log_prob": "self, data",
    f"{_WORKER}.compute_ref_log_prob": "self, data",
    f"{_WORKER}.update_actor": "self, data",
    f"{_WORKER}.update_weights": "self, global_steps, mode",
    "verl.workers.config.optimizer:build_optimizer": "parameters, config",
    "verl.workers.engine.utils:detach_tree": None,
    "verl.workers.utils.padding:response_from_nested": "tensor, response_mask",
    "verl.utils.tensordict_utils:get_tensordict": "tensor_dict, non_tensor_dict",
    "verl.utils.tensordict_utils:get_non_tensor_data": "data, key, default",
    "verl.utils.tensordict_utils:get": "tensordict, key, default",
    "verl.utils.tensordict_utils:assign_non_tensor": "tensor_dict",
    "verl.utils.tensordict_utils:index_select_tensor_dict": "batch, indices",
    "verl.utils.torch_functional:logprobs_from_logits_naive": "logits, labels",
    "verl.utils.torch_functional:entropy_from_logits": "logits",
    "verl.utils.torch_dtypes:PrecisionType.to_dtype": "precision",
    "verl.utils.metric:Metric.__init__": "self, aggregation, value",
    "verl.utils.metric:Metric.aggregate": "self",
    "verl.utils.metric:AggregationType.SUM": None,
    "verl.utils.device:get_device_name": "",
}


class ContractError(UserError, RuntimeError):
    """verl is not there, is another release, or lacks what is used of it; the message says which and what mends it."""


def check_version() -> None:
    """Compare the installed release with the pinned one; nothing of verl is imported.

    Raises:
        ContractError: It is another, or there is none.
    """
    try:
        found = version("verl")
    except PackageNotFoundError:
        raise ContractError(f"verl is not installed; expected {PINNED}. Mend it: {INSTALL}") from None
    if found != PINNED:
        raise ContractError(f"verl: expected release {PINNED}, found {found}. Mend it: {INSTALL}")


def check(symbols: Symbols = SYMBOLS) -> None:
    """Look every symbol up; call it where verl is, or may be, imported.

    Raises:
        ContractError: The release is another, or some of the symbols are not what they were; each is named.
    """
    check_version()
    if found := list(breaches(symbols)):
        raise ContractError(f"verl {PINNED} is not as it was released: {'; '.join(found)}. Mend it: {REINSTALL}")


def breaches(symbols: Symbols = SYMBOLS) -> Iterable[str]:
    """Yield for each symbol that is not as expected its name, what was expected and what was found."""
    for place, expected in symbols.items():
        try:
            found = _find(place)
        except (ImportError, AttributeError) as error:  # the module, or something on the way, is not there
            yield f"{place}: expected {'to exist' if expected is None else f'({expected})'}, found none: {error}"
            continue
        if expected is None:
            continue
        parameters = _parameters(found)
        if parameters is None:
            yield f"{place}: expected ({expected}), found a {type(found).__name__} that cannot be called"
        elif not _fits(expected.split(", ") if expected else [], parameters):
            yield f"{place}: expected ({expected}), found ({', '.join(map(str, parameters))})"


def _find(place: str) -> Any:
    module, _, path = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _parameters(found: Any) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(found).parameters.values())
    except TypeError:  # no callable
        return None


def _fits(expected: list[str], parameters: list[inspect.Parameter]) -> bool:
    """Whether the parameters begin with those expected, and those that follow may be left out."""
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    rest = parameters[len(expected) :]
    named = [parameter.name for parameter in parameters[: len(expected)]] == expected
    return named and all(p.kind in optional or p.default is not inspect.Parameter.empty for p in rest)
