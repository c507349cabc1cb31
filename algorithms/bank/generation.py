"""Answers drawn from the policies of a bank, all in one batch.

What is read once: a prompt that several rows share; below a policy's first own block, whatever any policy reads there.
What is decoded once: rows of one policy with equal prompts and equal tokens so far; they part when they draw different
tokens. Finished rows leave. None of it changes what a row draws, which depends on its prompt, its seed and its policy.

Shapes: _r rows, _n nodes of a lane at one token, _E prompts of a lane, _T tokens so far, _V vocabulary, _H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from agents.attention import TreeAttention
from agents.decoder import Attend
from agents.drawing import draw
from agents.sampler import Generation, Request, Sampling
from agents.tree import Ints, Tree, grow
from algorithms.bank.decoding import Cache
from algorithms.bank.memory import PrefixMemory
from algorithms.bank.policies import BASE, Hidden, PolicyBank
from algorithms.bank.rows import Row
from algorithms.bank.scoring import HEAD_ROWS, aligned


@dataclass
class _Lane:
    """The distinct (prompt, tokens so far) of one policy, as nodes."""

    prompts: list[list[int]]
    base_E: Ints
    """Each prompt's number among the base lane's."""
    tree: Tree = field(init=False)
    prompt_n: Ints = field(init=False)
    base_n: Ints = field(init=False)
    """Each node's number among the base lane's nodes."""
    path_nT: Ints = field(init=False)
    """Places of each node's tokens so far in the cache."""
    token_n: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.tree = grow(self.prompts)
        self.prompt_n, self.base_n = np.arange(len(self.prompts)), self.base_E
        self.path_nT = np.empty((len(self.prompts), 0), dtype=np.int64)

    def go_on(self, parent_n: Ints, token_n: Ints, base_n: Ints, place: int) -> int:
        """Move to the next token; ``place`` is where the new nodes' keys go. Returns the place after them."""
        new = place + np.arange(len(parent_n))
        self.path_nT = np.concatenate([self.path_nT[parent_n], new[:, None]], axis=1)
        self.prompt_n, self.token_n, self.base_n = self.prompt_n[parent_n], token_n, base_n
        return place + len(parent_n)


@torch.no_grad()
def generate(
    bank: PolicyBank, requests: Sequence[Request], sampling: Sampling, memory: PrefixMemory | None = None
) -> list[Generation]:
    """Draw one response per request; ``request.variant`` is the policy that answers.

    What enters the policies' first own blocks goes into ``memory``, for an update on the answers.

    Raises:
        ValueError: No requests, or an empty prompt.
    """
    if not requests or not all(request.prompt_ids for request in requests):
        raise ValueError(f"generate needs requests, none with an empty prompt; got {len(requests)}")
    rollout = _Rollout(bank, requests, sampling, memory)
    results = rollout.run()
    rollout.remember()
    return results


class _Rollout:
    """One batch on its way."""

    def __init__(
        self, bank: PolicyBank, requests: Sequence[Request], sampling: Sampling, memory: PrefixMemory | None
    ) -> None:
        self._memory = memory
        self._bank, self._sampling, self._device = bank, sampling, bank.device
        seeds = [request.seed for request in requests]
        uniform = np.stack([np.random.default_rng(seed).random(sampling.max_new_tokens) for seed in seeds])
        self._uniform_rT = torch.from_numpy(uniform)
        self._stops = np.array(sorted(sampling.stop_ids))
        self._lane_r = np.array([bank.lane(request.variant) for request in requests])
        self._sampled = sorted(set(self._lane_r.tolist()), key=lambda lane: (bank.fork(lane), lane))
        prompts = [tuple(request.prompt_ids) for request in requests]
        self._lanes = self._lay_out(prompts)
        places = {lane: {tuple(p): i for i, p in enumerate(mine.prompts)} for lane, mine in self._lanes.items()}
        self._node_r = np.array([places[lane][prompt] for lane, prompt in zip(self._lane_r, prompts, strict=True)])
        self._prompt_r = self._node_r.copy()
        self._cache = Cache(bank.n_blocks)
        self._results = [Generation() for _ in requests]
        self._requests = requests
        self._entered: dict[int, list[torch.Tensor]] = {}
        if memory is not None and memory.room > 0:
            self._entered = {lane: [] for lane in self._sampled if lane != BASE and bank.fork(lane)}
        self._nodes_r: list[Ints] = []

    def _lay_out(self, prompts: Sequence[tuple[int, ...]]) -> dict[int, _Lane]:
        """The lanes' prompts; the base lane reads those of every policy that begins as the base does."""
        own = {
            lane: list(dict.fromkeys(p for p, of in zip(prompts, self._lane_r, strict=True) if of == lane))
            for lane in self._sampled
        }
        inner = [lane for lane in self._sampled if lane == BASE or not self._bank.owns_embedding(lane)]
        shared = list(dict.fromkeys(prompt for lane in inner for prompt in own[lane]))
        number = {prompt: place for place, prompt in enumerate(shared)}
        lanes = {BASE: _Lane([list(p) for p in shared], np.arange(len(shared)))} if shared else {}
        for lane in self._sampled:
            if lane != BASE:
                base_E = np.array([number.get(prompt, -1) for prompt in own[lane]])
                lanes[lane] = _Lane([list(prompt) for prompt in own[lane]], base_E)
        return lanes

    def run(self) -> list[Generation]:
        """Read, then draw and decode until every row has stopped."""
        hidden = self._read()
        alive = np.arange(len(self._results))
        cache_place = 0
        for step in range(self._sampling.max_new_tokens):
            token_r = self._draw(hidden, alive, step)
            last = step + 1 == self._sampling.max_new_tokens
            going = ~np.isin(token_r, self._stops)
            for row in alive[~going]:
                self._results[row].truncated = False
            alive, token_r = alive[going], token_r[going]
            if last or not len(alive):
                break
            cache_place = self._branch(alive, token_r, cache_place)
            self._nodes_r.append(self._node_r.copy())
            hidden = self._decode()
        return self._results

    def _draw(self, hidden: Hidden, alive: Ints, step: int) -> Ints:
        """Draw the next token of every row that is alive and note it."""
        token_r = np.empty(len(alive), dtype=np.int64)
        lane_r = self._lane_r[alive]
        for lanes, norm, head_VH in self._bank.readers([lane for lane in self._sampled if lane in hidden]):
            offsets = dict(zip(lanes, np.cumsum([0, *(len(hidden[lane]) for lane in lanes)]), strict=False))
            mine = np.flatnonzero(np.isin(lane_r, lanes))
            node = self._node_r[alive[mine]] + np.array([offsets[lane] for lane in lane_r[mine]], dtype=np.int64)
            order = np.argsort(node, kind="stable")
            mine, node = mine[order], node[order]
            hidden_NH = torch.cat([hidden[lane] for lane in lanes]) if len(lanes) > 1 else hidden[lanes[0]]
            wanted, of = np.unique(node, return_inverse=True)
            for start in range(0, len(wanted), HEAD_ROWS):
                rows = slice(*np.searchsorted(of, [start, start + HEAD_ROWS]))
                chunk = torch.from_numpy(wanted[start : start + HEAD_ROWS]).to(self._device)
                logits_nV = torch.nn.functional.linear(norm(hidden_NH[chunk]), head_VH)
                index = torch.from_numpy(of[rows] - start).to(self._device)
                uniform = self._uniform_rT[alive[mine[rows]], step].to(self._device)
                drawn = draw(logits_nV, index, uniform, self._sampling.temperature)
                token_r[mine[rows]] = drawn.token_r.cpu().numpy()
                for row, token, logprob, entropy in zip(alive[mine[rows]], *(x.tolist() for x in drawn), strict=True):
                    result = self._results[row]
                    result.response_ids.append(token)
                    result.logprobs.append(logprob)
                    result.entropies.append(entropy)
        return token_r

    def _branch(self, alive: Ints, token_r: Ints, place: int) -> int:
        """Make the next nodes: the distinct (node, token) of the rows that go on."""
        lane_r = self._lane_r[alive]
        base_of_r = np.full(len(alive), -1)
        if BASE in self._lanes:
            inner = np.array([lane == BASE or not self._bank.owns_embedding(lane) for lane in lane_r])
            parents = [
                self._lanes[lane].base_n[node] if lane != BASE else node
                for lane, node in zip(lane_r[inner], self._node_r[alive[inner]], strict=True)
            ]
            parent_n, token_n, of_r = _distinct(np.array(parents, dtype=np.int64), token_r[inner])
            base_of_r[inner] = of_r
            base = self._lanes[BASE]
            place = base.go_on(parent_n, token_n, np.arange(len(parent_n)), place)
            self._node_r[alive[lane_r == BASE]] = base_of_r[lane_r == BASE]
        for lane, mine in self._lanes.items():
            if lane == BASE:
                continue
            here = lane_r == lane
            parent_n, token_n, of_r = _distinct(self._node_r[alive[here]], token_r[here])
            base_n = np.empty(len(parent_n), dtype=np.int64)
            base_n[of_r] = base_of_r[here]
            place = mine.go_on(parent_n, token_n, base_n, place)
            self._node_r[alive[here]] = of_r
        return place

    def _read(self) -> Hidden:
        """Read the prompts, keep their keys and values; hidden states at the end of each."""
        trees = {lane: mine.tree for lane, mine in self._lanes.items()}
        rotations = {lane: self._bank.decoder.rotation(self._tensor(tree.position_N)) for lane, tree in trees.items()}
        planned: dict[tuple[int, ...], TreeAttention] = {}

        def enter(lane: int, hidden: Hidden) -> torch.Tensor:
            tree, mine = trees[lane], self._lanes[lane]
            if lane == BASE or self._bank.owns_embedding(lane):
                return self._bank.embed(lane, self._tensor(tree.ids_N))
            return self._note(lane, hidden[BASE][self._tensor(aligned(tree, trees[BASE].node_BT[mine.base_E]))])

        def attend(block: int, lanes: tuple[int, ...]) -> Attend:
            if lanes not in planned:
                planned[lanes] = TreeAttention([trees[lane] for lane in lanes], self._device)
            return self._cache.reader(block, lanes, [trees[lane] for lane in lanes], planned[lanes])

        hidden = self._bank.run(list(rotations), rotations, enter, attend, base_is_wanted=BASE in self._sampled)
        last = {lane: tree.node_BT[np.arange(len(tree.length_B)), tree.length_B - 1] for lane, tree in trees.items()}
        return {lane: states[self._tensor(last[lane])] for lane, states in hidden.items()}

    def _decode(self) -> Hidden:
        """Send one token per node through the blocks."""
        lanes = {lane: mine for lane, mine in self._lanes.items() if len(mine.token_n)}
        rotations = {
            lane: self._bank.decoder.rotation(
                self._tensor(mine.tree.length_B[mine.prompt_n] + mine.path_nT.shape[1] - 1)
            )
            for lane, mine in lanes.items()
        }

        def enter(lane: int, hidden: Hidden) -> torch.Tensor:
            if lane == BASE or self._bank.owns_embedding(lane):
                return self._bank.embed(lane, self._tensor(lanes[lane].token_n))
            return self._note(lane, hidden[BASE][self._tensor(lanes[lane].base_n)])

        def attend(block: int, members: tuple[int, ...]) -> Attend:
            return self._cache.step(block, members, {lane: lanes[lane] for lane in members}, self._device)

        self._cache.next_token()
        return self._bank.run(list(rotations), rotations, enter, attend, base_is_wanted=BASE in self._sampled)

    def _note(self, lane: int, states: torch.Tensor) -> torch.Tensor:
        if lane in self._entered:
            self._entered[lane].append(states)
            if self._memory and sum(x.nbytes for noted in self._entered.values() for x in noted) > self._memory.room:
                self._entered.clear()
        return states

    def remember(self) -> None:
        """Tell the memory what entered the policies' first own blocks, row by row."""
        for row, (request, result) in enumerate(zip(self._requests, self._results, strict=True)):
            lane = int(self._lane_r[row])
            if self._memory is None or lane not in self._entered:
                continue
            read, *written = self._entered[lane]
            prompt = self._prompt_r[row]
            tree = self._lanes[lane].tree
            path = self._tensor(tree.node_BT[prompt, : tree.length_B[prompt]])
            nodes = [nodes_r[row] for nodes_r in self._nodes_r[: len(result.response_ids) - 1]]
            answer = [states[node] for states, node in zip(written, nodes, strict=False)]
            self._memory.keep(Row(request.prompt_ids, result.response_ids, request.variant), read[path], answer)

    def _tensor(self, array: Ints) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _distinct(node_r: Ints, token_r: Ints) -> tuple[Ints, Ints, Ints]:
    """The distinct pairs, sorted by node, and each row's place among them."""
    base = int(token_r.max(initial=0)) + 1
    pair_n, of_r = np.unique(node_r * base + token_r, return_inverse=True)
    return pair_n // base, pair_n % base, of_r
