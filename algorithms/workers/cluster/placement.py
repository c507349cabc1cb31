"""A Ray that is there and large enough, or an error that says what is missing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

import algorithms
from algorithms.interrupt import unheard_by_children
from algorithms.machine import Machine, usable_cores
from algorithms.workers.cluster.waiting import ClusterError
from conf.schema import RunnerConfig

RANK_CPUS = 1
"""CPUs of a rank and, in the same bundle, of nothing else: what serves beside it asks for none."""
OTHER_CPUS = 3
"""Outside the ranks' bundles: one each for the two processes of verl's queue, and one by which the players start."""
RANKS_PER_CORE = 2
"""On a CPU; more would start for minutes and work for hours."""
REACH_S = 10.0
"""Seconds in which an address must answer at all."""
LEAVE_S = 30.0
"""Seconds that a cell before this one may take to give back what it had in a Ray that goes on."""


@dataclass(frozen=True)
class Needs:
    """What a run asks Ray for."""

    cpus: int
    gpus: int


def needs_of(runner: RunnerConfig, machine: Machine) -> Needs:
    """CPUs and GPUs of the ranks, and CPUs for what plays and queues beside them."""
    gpus = runner.ranks if machine.device == "cuda" else 0
    return Needs(runner.ranks * RANK_CPUS + OTHER_CPUS, gpus)


def start_ray(runner: RunnerConfig, machine: Machine) -> bool:
    """Join the Ray at ``runner.address``, or start one; returns whether this call did either.

    Raises:
        ClusterError: It cannot be reached, or it is too small; the message says how much is missing.
    """
    needs = needs_of(runner, machine)
    if ray.is_initialized():
        _await_room(needs, "the Ray that is running")
        return False
    where = f"the Ray at runner.address={runner.address}" if runner.address else "a Ray of this run's own"
    if runner.address:
        _require_reachable(runner.address)
        settings: dict[str, Any] = {"address": runner.address}
    else:
        if not runner.cpus and machine.device == "cpu":
            _require_cores(runner.ranks, needs)
        settings = {"num_cpus": runner.cpus or needs.cpus, "include_dashboard": False}
        # Ray lowers its workers' priority; here they are the run.
        os.environ.setdefault("RAY_worker_niceness", "0")
    settings |= {"runtime_env": {"env_vars": environment(machine)}, "logging_level": "ERROR", "log_to_driver": False}
    _begin(settings, where, runner.start_timeout_s)
    try:
        _require_machines(runner)
        _await_room(needs, where)
    except ClusterError:
        ray.shutdown()
        raise
    return True


def _await_room(needs: Needs, where: str) -> None:
    """Refuse at once what Ray can never hold; wait a little for what others are about to leave."""
    require_room(ray.cluster_resources(), needs, where)
    _patiently(lambda: require_room(ray.available_resources(), needs, where))


def _require_cores(ranks: int, needs: Needs) -> None:
    """A Ray of the run's own counts as many CPUs as are asked for: without a limit it starts processes for ever."""
    most = RANKS_PER_CORE * usable_cores()
    if ranks > most:
        raise ClusterError(
            f"runner.ranks={ranks} on {usable_cores()} cores: a Ray of this run's own takes at most {most}; "
            f"if you mean it, say runner.cpus={needs.cpus}"
        )


def _require_machines(runner: RunnerConfig) -> None:
    machines = sum(node["Alive"] for node in ray.nodes())
    if machines < runner.nodes:
        raise ClusterError(f"runner.nodes={runner.nodes}: the Ray at runner.address={runner.address} has {machines}")


def _patiently(check: Callable[[], None]) -> None:
    deadline = time.monotonic() + LEAVE_S
    while True:
        try:
            check()
            return
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _begin(settings: Mapping[str, Any], where: str, limit_s: float) -> None:
    """Start or join, again where a busy machine was too slow for Ray's own limit of 30 seconds."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            # In this thread: Ray's processes end with the thread that began them. And not before it: where they heard
            # SIGTERM too, nobody could finish the step or end the ranks.
            with unheard_by_children():
                ray.init(**settings)
            return
        except Exception as error:  # Ray raises all kinds, a bare Exception among them
            ray.shutdown()
            if "timed out during startup" not in str(error) or time.monotonic() > deadline:
                # Ray shows its token to an address it is given only where it is told to.
                wants_token = "address" in settings and "RAY_AUTH_MODE" not in os.environ
                hint = "; if it asks for a token (ray get-auth-token), set RAY_AUTH_MODE=token" if wants_token else ""
                raise ClusterError(f"{where} cannot be used: {type(error).__name__}: {error}{hint}") from error


def require_no_queue() -> None:
    """verl's queue has one name in a whole Ray: a second run would mix its rows with those of the first.

    Raises:
        ClusterError: Another run's queue is there.
    """
    _patiently(_require_no_queue)


def _require_no_queue() -> None:
    try:
        ray.get_actor("TransferQueueController", namespace="transfer_queue")
    except ValueError:  # Ray's answer when there is none
        return
    raise ClusterError(
        "another run has its queue in this Ray, and verl's queue is one per Ray; "
        "wait until it is done, or give this run a Ray of its own (runner.address=null)"
    )


def environment(machine: Machine) -> dict[str, str]:
    """Variables of every process that Ray starts for the run: it finds this code, and verl its platform and queue."""
    root = str(Path(next(iter(algorithms.__path__))).parent)
    paths = dict.fromkeys([root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    handed_on = ("HF_HUB_OFFLINE", "HF_HOME", "ONELAYER_CACHE")
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "VERL_PLATFORM": "cpu" if machine.device == "cpu" else "nvidia",
        "VERL_USE_EXTERNAL_MODULES": "algorithms.workers.platform",
        "TRANSFER_QUEUE_ENABLE": "1",
        "OMP_NUM_THREADS": str(machine.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "VERL_LOGGING_LEVEL": "ERROR",
        "TQ_LOGGING_LEVEL": "ERROR",
        **{name: os.environ[name] for name in handed_on if name in os.environ},
    }


def require_room(free: Mapping[str, float], needs: Needs, where: str) -> None:
    """Compare what is free with what a run needs.

    Raises:
        ClusterError: Too little; the message says how many CPUs and GPUs are missing.
    """
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus}
    missing = [
        f"{wanted[kind] - free.get(kind, 0):g} {kind}s (it asks for {wanted[kind]}, {free.get(kind, 0):g} are free)"
        for kind in wanted
        if free.get(kind, 0) < wanted[kind]
    ]
    if missing:
        raise ClusterError(
            f"{where} is too small for runner.ranks={needs.cpus - OTHER_CPUS}: missing {' and '.join(missing)}; "
            "use fewer runner.ranks, a larger cluster, or wait until others are done"
        )


def place(runner: RunnerConfig, machine: Machine) -> list[PlacementGroup]:
    """Reserve the ranks' bundles, one group for each of ``runner.nodes``.

    Raises:
        ClusterError: They did not become ready in time: no node has room for its share, or others came first.
    """
    bundle = {"CPU": RANK_CPUS} | ({"GPU": 1} if machine.device == "cuda" else {})
    share = runner.ranks // runner.nodes
    groups = [
        placement_group([dict(bundle) for _ in range(share)], strategy="STRICT_PACK") for _ in range(runner.nodes)
    ]
    waiting = [group for group in groups if not group.wait(runner.start_timeout_s)]
    if not waiting:
        return groups
    states = sorted({str(placement_group_table(group).get("state")) for group in waiting})
    for group in groups:
        remove_placement_group(group)
    raise ClusterError(
        f"{len(waiting)} of {runner.nodes} groups of {share} ranks ({_words(bundle)} each, all on one node) were not "
        f"placed within runner.start_timeout_s={runner.start_timeout_s:g} seconds ({', '.join(states)}); free in the "
        f"whole cluster: {_words(ray.available_resources())}"
    )


def _words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources[kind]:g} {kind}" for kind in ("CPU", "GPU") if kind in resources) or "nothing"


def _require_reachable(address: str) -> None:
    """Try the port first: Ray's client waits for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"runner.address={address} is not valid: auto or host:port")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray answers at runner.address={address} within {REACH_S:g} seconds: {error}; "
            "is it running (ray status), and is the port right?"
        ) from error
