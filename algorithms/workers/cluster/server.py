"""A Hugging Face server for verl: a Ray actor that answers in batches, and the two classes by which verl knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import ray
import torch
import torch.distributed as dist
from verl.workers.rollout.base import _ROLLOUT_REGISTRY, BaseRollout
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry, TokenOutput

NAME = "hf_server"
GATHER_S = 0.005
"""How long a server waits for another request before it begins a batch."""


class HFServer:
    """Answers token ids with token ids; every answer is drawn by its own seed, whatever batch it is drawn in."""

    def __init__(self, path: str, dtype: str, threads: int, max_rows: int) -> None:
        """Load the starting weights."""
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), attn_implementation="sdpa")
        # A frozen head on a sliced input makes torch's CPU matmul copy the whole head per row.
        model.get_output_embeddings().register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
        self._model, self._weights, self._max_rows = model.eval(), model.state_dict(), max_rows
        self._waiting: list[tuple[list[int], dict[str, Any], asyncio.Future[TokenOutput]]] = []
        self._batches: asyncio.Task[None] | None = None
        self._step = 0

    async def ready(self) -> bool:
        """Answers once the weights are loaded."""
        return True

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any
    ) -> TokenOutput:
        """Answer one prompt; ``sampling_params`` are vLLM's: temperature, max_tokens, stop_token_ids, seed."""
        answer: asyncio.Future[TokenOutput] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(prompt_ids), sampling_params, answer))
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        while self._waiting:
            known = -1
            while known < len(self._waiting) < self._max_rows:
                known = len(self._waiting)
                await asyncio.sleep(GATHER_S)
            batch, self._waiting = self._waiting[: self._max_rows], self._waiting[self._max_rows :]
            try:
                outputs = await asyncio.to_thread(self._answer, [(ids, params) for ids, params, _ in batch])
            except Exception as error:  # whatever it is, it belongs to those that wait for it
                for _, _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, _, answer), output in zip(batch, outputs, strict=True):
                if not answer.done():  # who asked may have given up
                    answer.set_result(output)

    def _answer(self, batch: list[tuple[list[int], dict[str, Any]]]) -> list[TokenOutput]:
        from agents.sampler import Request, Sampling, generate

        by_sampling: dict[Sampling, list[int]] = {}
        for place, (_, params) in enumerate(batch):
            stops = frozenset(params["stop_token_ids"])
            by_sampling.setdefault(Sampling(params["temperature"], params["max_tokens"], stops), []).append(place)
        outputs: dict[int, TokenOutput] = {}
        for sampling, places in by_sampling.items():
            requests = [Request(batch[place][0], batch[place][1]["seed"]) for place in places]
            for place, one in zip(places, generate(self._model, requests, sampling), strict=True):
                outputs[place] = TokenOutput(
                    token_ids=one.response_ids,
                    log_probs=one.logprobs,
                    stop_reason="completed",
                    extra_fields={"global_steps": self._step, "entropies": one.entropies},
                )
        return [outputs[place] for place in range(len(batch))]

    async def update_weights(self, weights: dict[str, torch.Tensor], step: int) -> None:
        """Take in tensors by name; names that the model does not have are an error."""
        for name, tensor in weights.items():
            self._weights[name].detach().copy_(tensor)
        self._step = step

    async def wake_up(self) -> None:
        """Nothing was put to sleep."""

    async def sleep(self) -> None:
        """Weights of a server on a CPU are in nobody's way."""


class HFReplica(RolloutReplica):
    """verl's view of a server: it starts it, beside the ranks that it belongs to."""

    async def launch_servers(self) -> None:
        """Start the actor and wait until its weights are loaded."""
        settings = self.config.engine_kwargs["hf"]
        name = server_name(self.replica_rank)
        server: Any = ray.remote(HFServer).options(name=name, max_concurrency=4096, num_cpus=0)
        handle = server.remote(self.model_config.path, settings["dtype"], settings["threads"], settings["max_rows"])
        await asyncio.wait_for(handle.ready.remote(), settings["start_timeout_s"])
        self.servers, self._server_handle = [handle], handle
        self._server_address = name


class HFAdapter(BaseRollout):
    """Lives in a rank and sends its server the weights."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any) -> None:
        """Of the server that has this rank's number."""
        super().__init__(config, model_config, device_mesh)
        self._server: Any = None

    async def update_weights(  # type: ignore[override]
        self, weights: Iterable[tuple[str, torch.Tensor]], global_steps: int | None = None, **_: Any
    ) -> None:
        """Send the named tensors; all ranks take part in making them whole."""
        whole = {name: tensor.detach().cpu() for name, tensor in weights}
        if self._server is None:
            self._server = ray.get_actor(server_name(dist.get_rank()))
        await self._server.update_weights.remote(whole, global_steps or 0)

    async def resume(self, tags: list[str]) -> None:
        """Nothing was released."""

    async def release(self) -> None:
        """The server keeps what it has."""


def server_name(number: int) -> str:
    """By which ranks find their server, in the run's own namespace."""
    return f"onelayer_hf_server_{number}"


RolloutReplicaRegistry.register(NAME, lambda: HFReplica)
# verl has a registry for rollouts but no function to register one.
_ROLLOUT_REGISTRY[(NAME, "async")] = f"{__name__}.{HFAdapter.__name__}"
