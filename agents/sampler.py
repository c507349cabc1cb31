"""Sampling from a causal language model: many prompts in one batch, every sample with its own seed.

Shapes: _B rows still generating, _T tokens, _V vocabulary. Prompts that are equal are read once and their cache is
shared; of a conversation that goes on, only what is new is read. A row's tokens depend on its prompt and its seed, not
on the batch (up to floating-point rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from agents.conversation import Kept, begin_cache, common_prefix, keep
from agents.drawing import draw


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy; a response ends with one of ``stop_ids`` or when full."""

    temperature: float
    max_new_tokens: int
    stop_ids: frozenset[int]


@dataclass(frozen=True)
class Request:
    """One prompt to be answered.

    ``seed`` decides every random choice of the answer. ``variant`` says which policy answers, where a policy is a bank
    of several. ``kept`` may hold the conversation's keys and values and is brought up to date; it never changes a
    result beyond rounding, so a policy without use for it may ignore it.
    """

    prompt_ids: list[int]
    seed: int
    variant: int = 0
    kept: Kept | None = None


@dataclass
class Generation:
    """One response, its last token included; ``logprobs`` and ``entropies`` in nats, at the sampling temperature."""

    response_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    truncated: bool = True


class Policy(Protocol):
    """Anything that answers prompts: the trainer's worker, a plain model, a server."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """Return one generation per request, in their order."""
        ...


class ModelPolicy:
    """A plain model as a policy."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """See ``generate``."""
        return generate(self._model, requests, sampling)


def stop_ids(tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> frozenset[int]:
    """Ids that end a response: end of text, end of turn, and every token that contains one of ``stops``.

    Raises:
        ValueError: A stop text is contained in no single token, so it could never be seen.
    """
    ids = {tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>"))}
    ids -= {None, tokenizer.unk_token_id} - {tokenizer.eos_token_id}
    if stops:
        texts = tokenizer.batch_decode([[index] for index in range(len(tokenizer))])
        for stop in stops:
            matching = [index for index, text in enumerate(texts) if stop in text]
            if not matching:
                raise ValueError(f"task.stop: no token of this vocabulary contains {stop!r}; give a shorter text")
            ids.update(matching)
    return frozenset(int(index) for index in ids)


@torch.no_grad()
def generate(
    model: PreTrainedModel, requests: Sequence[Request], sampling: Sampling, *, share_prompts: bool = True
) -> list[Generation]:
    """Draw one response per request, whatever its variant: this is one policy.

    Args:
        model: Any Hugging Face causal LM; its mode is left alone.
        requests: What to answer. An answer uses the uniform numbers of ``numpy.random.default_rng(seed)`` and no
            others; ``kept`` is filled here and read again in the conversation's next turn, None: the prompt is read
            whole.
        sampling: Temperature, length, stop tokens.
        share_prompts: Read equal prompts once; off, to compare.

    Raises:
        ValueError: No requests, or an empty prompt.
    """
    prompts = [request.prompt_ids for request in requests]
    if not prompts or not all(prompts):
        raise ValueError(f"generate needs requests, no prompt of them empty; got {len(prompts)}")
    device = model.device
    kept = [request.kept for request in requests]
    going_on = any(one is not None and one.ids for one in kept)
    logits_BV, cache, mask_BT = _go_on(model, prompts, kept) if going_on else _prefill(model, prompts, share_prompts)
    draws = [np.random.default_rng(request.seed).random(sampling.max_new_tokens) for request in requests]
    uniform_BT = torch.from_numpy(np.stack(draws))
    stops = torch.tensor(sorted(sampling.stop_ids), device=device)
    results = [Generation() for _ in prompts]
    alive = list(range(len(prompts)))
    for step in range(sampling.max_new_tokens):
        own_B = torch.arange(len(alive), device=device)
        token_B, logprob_B, entropy_B = draw(logits_BV, own_B, uniform_BT[alive, step].to(device), sampling.temperature)
        stopped_B = torch.isin(token_B, stops)
        columns = (token_B.tolist(), logprob_B.tolist(), entropy_B.tolist(), stopped_B.tolist())
        for row, token, logprob, entropy, stopped in zip(alive, *columns, strict=True):
            result = results[row]
            result.response_ids.append(token)
            result.logprobs.append(logprob)
            result.entropies.append(entropy)
            result.truncated = not stopped
        last = step + 1 == sampling.max_new_tokens
        for place, row in enumerate(alive):
            one = kept[row]
            if one is not None and (last or stopped_B[place]):
                # The token just drawn has not been read, so it has no keys yet.
                keep(one, cache, place, mask_BT[place], [*prompts[row], *results[row].response_ids[:-1]])
        if stopped_B.any():
            going = (~stopped_B).nonzero().squeeze(1)
            alive = [alive[i] for i in going.tolist()]
            token_B, mask_BT = token_B[going], mask_BT[going]
            if alive:
                cache.batch_select_indices(going)
        if not alive or last:
            return results
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(alive), 1)], dim=1)
        logits_BV = model(
            input_ids=token_B[:, None],
            attention_mask=mask_BT,
            position_ids=mask_BT.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    return results


def _prefill(
    model: PreTrainedModel, prompts: Sequence[list[int]], share: bool
) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
    """Read every distinct prompt once; return last logits, cache and mask, repeated for the rows that share it."""
    cache = DynamicCache(config=model.config)
    if not share:
        logits, mask = _read(model, prompts, cache)
        return logits, cache, mask
    distinct = dict.fromkeys(map(tuple, prompts))
    logits, mask = _read(model, list(distinct), cache)
    place = {prompt: index for index, prompt in enumerate(distinct)}
    row = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=model.device)
    cache.batch_select_indices(row)
    return logits[row], cache, mask[row]


def _go_on(
    model: PreTrainedModel, prompts: Sequence[list[int]], kept: Sequence[Kept | None]
) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
    """As ``_prefill``, but read only what each conversation has not kept."""
    ones = [one or Kept() for one in kept]
    known = [common_prefix(one.ids, prompt) for one, prompt in zip(ones, prompts, strict=True)]
    cache, known_BT = begin_cache(model, ones, known)
    logits, mask = _read(model, [prompt[n:] for prompt, n in zip(prompts, known, strict=True)], cache, known_BT)
    return logits, cache, mask


def _read(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], cache: DynamicCache, known_BT: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read rows, padded on the left, after what ``cache`` holds; return last logits and the mask of cache and rows."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    if known_BT is not None:
        mask = torch.cat([known_BT, mask], dim=1)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0)[:, -width:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    return logits, mask
