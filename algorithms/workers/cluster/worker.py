"""The policy of one cell on a cluster, with the face of the local workers: it answers, learns, tells and takes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import ray
import torch
import transfer_queue as tq

from agents.episode import Episode, Start
from agents.models import ModelFiles
from agents.sampler import Generation, Request, Sampling
from algorithms.batch import Batch
from algorithms.interrupt import terminated_like_interrupted
from algorithms.layers import LayerSelection
from algorithms.machine import Machine
from algorithms.workers.cluster.asking import ask
from algorithms.workers.cluster.contract import CLUSTER_SYMBOLS
from algorithms.workers.cluster.placement import place, require_no_queue, start_ray
from algorithms.workers.cluster.settings import ppo_config
from algorithms.workers.cluster.waiting import ClusterError, in_short, within
from algorithms.workers.contract import check
from conf.schema import Config

T = TypeVar("T")


class ClusterWorker:
    """Ranks, servers and players of one cell; ``close`` gives them back."""

    def __init__(self, config: Config, selection: LayerSelection, machine: Machine, model: ModelFiles) -> None:
        """Start everything, each part within ``runner.start_timeout_s``.

        Raises:
            ClusterError: Ray cannot be reached or is too small, a package is missing, or a part did not start.
            ContractError: verl is not the release that is used.
        """
        os.environ["VERL_PLATFORM"] = "cpu" if machine.device == "cpu" else "nvidia"
        os.environ["TRANSFER_QUEUE_ENABLE"] = "1"
        self.device, self.selections = machine.device, [selection]
        self._config, self._selection, self._machine = config, selection, machine
        self._verl = ppo_config(config, selection, machine, model)
        check(CLUSTER_SYMBOLS)
        self._stack = contextlib.ExitStack()
        try:
            self._stack.enter_context(terminated_like_interrupted())
            if start_ray(config.runner, machine):
                self._stack.callback(ray.shutdown)
            self._start()
        except BaseException:  # whatever it was, nothing may stay behind
            self.close()
            raise

    def _start(self) -> None:
        from verl.trainer.ppo.v1 import AgentLoopManagerTQ

        from algorithms.workers.cluster.trainer import LayerTrainer

        config, runner = self._config, self._config.runner
        groups = place(runner, self._machine)
        for group in groups:
            self._stack.callback(ray.util.remove_placement_group, group)
        require_no_queue()
        with _quiet():
            self._in_time("verl's queue", lambda: tq.init(self._verl.transfer_queue))
            self._stack.callback(tq.close)
            self._trainer = cast(Any, LayerTrainer(self._verl, config, self._selection, groups))
            self._in_time("ranks and servers", self._trainer.init)
            self._stack.callback(self._kill)
            self._client = self._trainer.get_llm_client()
            self._trainer.agent_loop_manager = self._in_time(
                "players",
                lambda: AgentLoopManagerTQ.create(
                    config=self._verl,
                    llm_client=self._client,
                    teacher_client=None,
                    reward_loop_worker_handles=self._trainer.get_reward_handles(),
                ),
            )
        self._ranks = self._trainer.actor_rollout_wg
        self.block_of: dict[str, int | None] = {} if self._selection.trains_nothing else self._first("blocks")

    def _in_time(self, what: str, call: Callable[[], T]) -> T:
        runner = self._config.runner
        with _as_cluster_error(f"{what} did not start"):
            return within(what, "runner.start_timeout_s", runner.start_timeout_s, call)

    def _kill(self) -> None:
        """Actors of a Ray that goes on after the cell would hold its memory."""
        servers = [server for replica in self._trainer.llm_server_manager.get_replicas() for server in replica.servers]
        players = getattr(getattr(self._trainer, "agent_loop_manager", None), "agent_loop_workers", [])
        for actor in [*self._trainer.actor_rollout_wg.workers, *servers, *players]:
            with contextlib.suppress(Exception):  # it may be dead already
                ray.kill(actor)

    def close(self) -> None:
        """Stop everything that was started; calling it again does nothing."""
        self._stack.close()

    def begin_step(self) -> None:
        """Nothing is kept between rollout and update."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """Draw one response per request from what the servers have (``agents.sampler.Policy``)."""
        engine, limit_s = self._verl.actor_rollout_ref.rollout.name, self._config.runner.answer_timeout_s

        async def all_of_them() -> list[Generation]:
            questions = (
                ask(self._client, f"panel-{number}", request, sampling, engine, limit_s)
                for number, request in enumerate(requests)
            )
            return await asyncio.gather(*questions)

        with _as_cluster_error("a server did not answer"):
            return asyncio.run(all_of_them())

    def take(
        self, step: int, starts: Sequence[Start]
    ) -> tuple[list[Episode], Batch, dict[str, float], dict[str, float]]:
        """Take one step of verl's trainer: play, update, send the weights.

        Args:
            step: Steps done before.
            starts: The episodes, group by group.

        Returns:
            The episodes, their rows, verl's metrics of the update, and the bytes that the weight sync sent.

        Raises:
            ClusterError: A part of the cluster died or did not answer.
            EnvironmentsBrokenError: Too many episodes were lost.
        """
        with _as_cluster_error("a step broke off"), _quiet():
            self._trainer.take(step, starts)
        more = {"sync_bytes": float(sum(self._every("bytes_sent")))}
        return self._trainer.episodes, self._trainer.batch, self._trainer.update, more

    def peak_memory_bytes(self) -> int:
        """Of the largest rank."""
        return max(self._every("peak_memory"))

    @property
    def generated_s(self) -> float:
        """Seconds that the episodes of the last step took."""
        return float(self._trainer.timing_raw["gen"])

    def learning_rate(self, variant: int) -> float:
        """The rate it trains at."""
        return float(self._verl.actor_rollout_ref.actor.optim.lr)

    def parameters(self, variant: int) -> dict[str, torch.Tensor]:
        """The whole model by name, copied here from the ranks."""
        whole: dict[str, torch.Tensor] = self._first("whole_parameters", trained=False)
        return whole

    def trained(self, variant: int) -> dict[str, torch.Tensor]:
        """Those of the parameters that train; none under ``layer=base``."""
        if self._selection.trains_nothing:
            return {}
        some: dict[str, torch.Tensor] = self._first("whole_parameters", trained=True)
        return some

    def optimizer_state(self, variant: int) -> dict[str, dict[str, torch.Tensor]]:
        """By parameter name, then ``step``, ``exp_avg`` and ``exp_avg_sq``; empty before the first update."""
        state: dict[str, dict[str, torch.Tensor]] = self._first("whole_optimizer_state")
        return state

    def load(
        self,
        variant: int,
        parameters: Mapping[str, torch.Tensor],
        optimizer_state: Mapping[str, Mapping[str, torch.Tensor]],
    ) -> None:
        """Put saved weights and optimizer state back, and send the servers what trains."""
        with _as_cluster_error("a checkpoint was not taken back"):
            # One copy in Ray's store for all ranks.
            state = ray.put({name: dict(state) for name, state in optimizer_state.items()})
            self._every("put_back", parameters=ray.put(dict(parameters)), state=state)
            self._exchange("the weight sync", lambda: self._trainer.checkpoint_manager.update_weights(0))

    def _first(self, method: str, **arguments: Any) -> Any:
        return self._every(method, **arguments)[0]

    def _every(self, method: str, **arguments: Any) -> list[Any]:
        with _as_cluster_error(f"the ranks did not answer to {method}"):
            answers: list[Any] = self._exchange(method, lambda: getattr(self._ranks, method)(**arguments))
            return answers

    def _exchange(self, what: str, call: Callable[[], T]) -> T:
        return within(what, "runner.step_timeout_s", self._config.runner.step_timeout_s, call)


@contextlib.contextmanager
def _as_cluster_error(what: str) -> Any:
    """Name what broke: a process of the cluster that died or raised is no bug of this one."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise ClusterError(
            f"{what}: {type(cause).__name__}: {in_short(str(cause))}; "
            "the same command resumes from the newest checkpoint, if any"
        ) from error


@contextlib.contextmanager
def _quiet() -> Any:
    """verl prints its configuration, sizes and addresses."""
    with contextlib.redirect_stdout(None):
        yield
