"""One question to a server, and its answer: the words of verl's servers on one side, ours on the other."""

from __future__ import annotations

from math import nan
from typing import Any, Protocol

from agents.sampler import Generation, Request, Sampling
from algorithms.workers.cluster.waiting import ClusterError, in_time


class Server(Protocol):
    """verl's client of its servers."""

    async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]) -> Any:
        """Answer with verl's ``TokenOutput``."""
        ...


async def ask(
    server: Server, name: str, request: Request, sampling: Sampling, engine: str, limit_s: float
) -> Generation:
    """Draw one answer.

    Args:
        server: Whom to ask.
        name: Of the episode; its turns go to the same server.
        request: Prompt and seed.
        sampling: How the answer is drawn.
        engine: verl's name of what answers.
        limit_s: ``runner.answer_timeout_s``.

    Raises:
        WaitedTooLongError: The answer did not come in time.
        ClusterError: The server gave no log-probs.
    """
    params = sampling_params(request, sampling, engine)
    answer = server.generate(request_id=name, prompt_ids=list(request.prompt_ids), sampling_params=params)
    output = await in_time(f"the answer of {engine} to {name}", "runner.answer_timeout_s", limit_s, answer)
    return generation_of(output, sampling)


def sampling_params(request: Request, sampling: Sampling, engine: str) -> dict[str, Any]:
    """As verl's servers take it; SGLang has a name of its own for the seed."""
    return {
        "temperature": sampling.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "max_tokens": sampling.max_new_tokens,
        "stop_token_ids": sorted(sampling.stop_ids),
        "logprobs": True,
        "sampling_seed" if engine == "sglang" else "seed": request.seed,
    }


def generation_of(output: Any, sampling: Sampling) -> Generation:
    """verl's ``TokenOutput`` as ours; entropies are NaN where the server does not tell them.

    Raises:
        ClusterError: There are no log-probs, or not one for each token.
    """
    ids = list(output.token_ids)
    logprobs = [float(value) for value in output.log_probs or []]
    if not ids or len(logprobs) != len(ids):
        raise ClusterError(f"a server answered with {len(ids)} tokens and {len(logprobs)} log-probs")
    return Generation(
        response_ids=ids,
        logprobs=logprobs,
        entropies=list(output.extra_fields.get("entropies") or [nan] * len(ids)),
        truncated=ids[-1] not in sampling.stop_ids,
    )
