"""Keys and values of a batch that is being decoded, and attention of one new token per node to them.

Prompts are laid out once per prompt and lane and never moved; tokens that were drawn go to a pool, in which each node
knows the places of its past.

Shapes: _n nodes, _E prompts, _P prompt tokens, _T tokens drawn so far, d head size; heads = kv_heads x group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from agents.attention import stacked
from agents.decoder import Attend
from agents.tree import Ints
from algorithms.bank.past import Past
from algorithms.bank.unread import Unread

Lanes = tuple[int, ...]


class Nodes(Protocol):
    """What is asked of a lane: each node's prompt, the places of its tokens, the newest last, and that in the past."""

    prompt_n: Ints
    path_nT: Ints
    past_n: Ints


@dataclass
class _Prompts:
    """Keys and values of the prompts of some lanes at one block."""

    k: torch.Tensor
    """[E, kv_heads, P, d]."""
    v: torch.Tensor
    padding: torch.Tensor
    """[E, P], true behind a prompt's end."""
    first: dict[int, int]
    """Where each lane's prompts begin."""


@dataclass
class _Step:
    """How the nodes of some lanes find their prompts and their past at this token; the same at every block."""

    prompt_n: torch.Tensor
    slot_n: torch.Tensor
    n_slots: int
    in_order: bool
    """Node i is the only one of prompt i."""
    path_nT: torch.Tensor
    new_n: torch.Tensor
    past_n: torch.Tensor


@dataclass(frozen=True)
class _Layout:
    """Where the prompts of some lanes are in the past; the same at every block."""

    place_n: torch.Tensor
    """Of what is read now."""
    place_EP: torch.Tensor
    padding_EP: torch.Tensor
    first: dict[int, int]

    @classmethod
    def of(cls, lanes: Lanes, unread: Sequence[Unread], device: torch.device) -> _Layout:
        place_EP = stacked([one.place_N[one.tree.node_BT] for one in unread])
        length_E = np.concatenate([one.tree.length_B for one in unread])
        padding_EP = np.arange(place_EP.shape[1]) >= length_E[:, None]
        # Padding repeats a place of the prompt itself: another one might not be finite, or not be there.
        place_EP = np.where(padding_EP, place_EP[:, :1], place_EP)
        place_n = np.concatenate([one.place_n for one in unread])
        starts = np.cumsum([0, *(len(one.tree.length_B) for one in unread)])
        first = {lane: int(start) for lane, start in zip(lanes, starts, strict=False)}
        place, prompts, padding = (torch.from_numpy(x).to(device) for x in (place_n, place_EP, padding_EP))
        return cls(place, prompts, padding, first)


class Cache:
    """Keys and values by block and lanes."""

    def __init__(self, n_blocks: int, past: Past) -> None:
        """``past``: where what is read is kept, and what is drawn if it keeps keys."""
        self._past = past
        self._prompts: dict[tuple[int, Lanes], _Prompts] = {}
        self._pools = [_Pool() for _ in range(n_blocks)]
        self._steps: dict[Lanes, _Step] = {}
        self._layouts: dict[Lanes, _Layout] = {}

    def reader(self, block: int, lanes: Lanes, unread: Sequence[Unread], attend: Attend) -> Attend:
        """``attend`` to what is read now and to the past; all of it becomes the prompts of these lanes."""
        past = self._past

        def reading(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
            if lanes not in self._layouts:
                self._layouts[lanes] = _Layout.of(lanes, unread, k.device)
            layout = self._layouts[lanes]
            kept = past.keys[block], past.values[block]
            for store, part in zip(kept, (k, v), strict=True):
                store.write(layout.place_n, part, past.n_places)
            keys, values = (store.values[layout.place_EP].transpose(1, 2).contiguous() for store in kept)
            self._prompts[block, lanes] = _Prompts(keys, values, layout.padding_EP, layout.first)
            return attend(q, kept[0].values, kept[1].values, scale)

        return reading

    def next_token(self) -> None:
        """Forget how nodes were laid out: there are new ones."""
        self._steps.clear()

    def step(self, block: int, lanes: Lanes, nodes: Mapping[int, Nodes], device: torch.device) -> Attend:
        """Attention of the lanes' newest tokens."""
        prompts, pool = self._prompts_of(block, lanes), self._pools[block]
        if lanes not in self._steps:
            self._steps[lanes] = _step(lanes, nodes, prompts.first, len(prompts.padding), device)
        step = self._steps[lanes]

        def attending(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
            pool.write(step.new_n, k, v)
            if self._past.keeps_keys:
                self._past.keys[block].write(step.past_n, k, self._past.n_places)
                self._past.values[block].write(step.past_n, v, self._past.n_places)
            return _attend(q * scale, prompts, pool, step)

        return attending

    def _prompts_of(self, block: int, lanes: Lanes) -> _Prompts:
        """Those of just these lanes: some of the lanes that read their prompts together may have finished."""
        if (block, lanes) not in self._prompts:
            (key,) = [(at, all_) for at, all_ in self._prompts if at == block and set(lanes) <= set(all_)]
            whole = self._prompts.pop(key)
            ends = dict(zip(key[1], [*list(whole.first.values())[1:], len(whole.padding)], strict=True))
            kept = torch.cat([torch.arange(whole.first[lane], ends[lane]) for lane in lanes]).to(whole.k.device)
            counts = np.cumsum([0, *(ends[lane] - whole.first[lane] for lane in lanes)])
            first = {lane: int(start) for lane, start in zip(lanes, counts, strict=False)}
            self._prompts[block, lanes] = _Prompts(whole.k[kept], whole.v[kept], whole.padding[kept], first)
        return self._prompts[block, lanes]


class _Pool:
    """Keys and values of drawn tokens at one block, by place; it grows by doubling."""

    k: torch.Tensor
    v: torch.Tensor

    def __init__(self) -> None:
        self._size = 0
        self._written: list[torch.Tensor] = []

    def write(self, place_n: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        needed = int(place_n[-1]) + 1
        if needed > self._size:
            self._grow(max(needed, 2 * self._size), k)
        self._written.append(place_n)
        self.k.index_copy_(1, place_n, k.transpose(0, 1))
        self.v.index_copy_(1, place_n, v.transpose(0, 1))

    def _grow(self, size: int, like: torch.Tensor) -> None:
        for name in ("k", "v"):
            bigger = like.new_empty(like.shape[1], size, like.shape[2])
            for place_n in self._written:  # no other place is touched, so those of other lanes stay without memory
                bigger.index_copy_(1, place_n, getattr(self, name).index_select(1, place_n))
            setattr(self, name, bigger)
        self._size = size


def _step(
    lanes: Lanes, nodes: Mapping[int, Nodes], first: Mapping[int, int], n_prompts: int, device: torch.device
) -> _Step:
    prompt_n = np.concatenate([nodes[lane].prompt_n + first[lane] for lane in lanes])
    path_nT = np.concatenate([nodes[lane].path_nT for lane in lanes])
    # Nodes of one prompt are neighbours: a node's slot is its distance from the first of them.
    starts = np.flatnonzero(np.diff(prompt_n, prepend=-1))
    slot_n = np.arange(len(prompt_n)) - np.repeat(starts, np.diff(np.append(starts, len(prompt_n))))
    in_order = len(prompt_n) == n_prompts == len(starts)
    past_n = np.concatenate([nodes[lane].past_n for lane in lanes])
    prompt, slot, path, past = (torch.from_numpy(x).to(device) for x in (prompt_n, slot_n, path_nT, past_n))
    return _Step(prompt, slot, int(slot_n.max()) + 1, in_order, path, path[:, -1], past)


def _attend(q: torch.Tensor, prompts: _Prompts, pool: _Pool, step: _Step) -> torch.Tensor:
    """Softmax over prompt and past together; ``q`` [n, heads, d] is scaled."""
    n, heads, d = q.shape
    n_prompts, kv_heads, width = prompts.k.shape[:3]
    group = heads // kv_heads
    q_n = q.view(n, kv_heads, group, d)
    if step.in_order:
        q_E = q_n
        scores = torch.matmul(q_E, prompts.k.transpose(2, 3))
    else:
        q_E = q.new_zeros(n_prompts, step.n_slots, kv_heads, group, d)
        q_E[step.prompt_n, step.slot_n] = q_n
        q_E = q_E.transpose(1, 2).reshape(n_prompts, kv_heads, step.n_slots * group, d)
        scores = torch.matmul(q_E, prompts.k.transpose(2, 3)).view(n_prompts, kv_heads, step.n_slots, group, width)
        scores = scores[step.prompt_n, :, step.slot_n]
    scores = scores.masked_fill(prompts.padding[step.prompt_n][:, None, None], float("-inf"))
    length = step.path_nT.shape[1]
    past_k, past_v = (x.index_select(1, step.path_nT.flatten()).view(kv_heads, n, length, d) for x in (pool.k, pool.v))
    q_h = q_n.transpose(0, 1)
    past = torch.matmul(q_h, past_k.transpose(2, 3)).transpose(0, 1)
    weights = torch.softmax(torch.cat([scores, past], dim=-1), dim=-1, dtype=torch.float32).to(q.dtype)
    on_prompt, on_past = weights[..., :width], weights[..., width:]
    if step.in_order:
        gathered = torch.matmul(on_prompt, prompts.v)
    else:
        spread = q.new_zeros(n_prompts, step.n_slots, kv_heads, group, width)
        spread[step.prompt_n, step.slot_n] = on_prompt
        spread = spread.transpose(1, 2).reshape(n_prompts, kv_heads, step.n_slots * group, width)
        gathered = torch.matmul(spread, prompts.v).view(n_prompts, kv_heads, step.n_slots, group, d)
        gathered = gathered[step.prompt_n, :, step.slot_n]
    gathered = gathered + torch.matmul(on_past.transpose(0, 1), past_v).transpose(0, 1)
    return gathered.reshape(n, heads, d)
