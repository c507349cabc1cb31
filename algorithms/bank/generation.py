"""Answers drawn from the policies of a bank, all in one batch.

What is read once: what prompts share at their beginnings, with those of earlier batches, too, where a past is given;
below a policy's first own block, whatever any policy reads there. What is decoded once: rows of one policy with equal
prompts and equal tokens so far; they part when they draw different tokens. Finished rows leave. None of it changes what
a row draws, which depends on its prompt, its seed and its policy.

Shapes: _r rows, _n nodes of a lane at one token, _E prompts of a lane, _T tokens so far, _V vocabulary, _H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from agents.attention import Reading, TreeAttention
from agents.decoder import Attend
from agents.drawing import draw
from agents.sampler import Generation, Request, Sampling
from agents.tree import Ints, Tree, grow
from algorithms.bank.decoding import Cache
from algorithms.bank.past import Past
from algorithms.bank.policies import BASE, Hidden, PolicyBank
from algorithms.bank.scoring import HEAD_ROWS, aligned
from algorithms.bank.unread import find_unread


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
    past_n: Ints = field(init=False)
    """Each node's place in the past."""

    def __post_init__(self) -> None:
        self.tree = grow(self.prompts)
        self.prompt_n, self.base_n = np.arange(len(self.prompts)), self.base_E
        self.path_nT = np.empty((len(self.prompts), 0), dtype=np.int64)

    def go_on(self, parent_n: Ints, token_n: Ints, base_n: Ints, place: int, past: Past) -> int:
        """Move to the next token; ``place`` is where the new nodes' keys go. Returns the place after them."""
        pairs = zip(self.past_n[parent_n].tolist(), token_n.tolist(), strict=True)
        self.past_n = np.array([past.place_after(parent, token) for parent, token in pairs], dtype=np.int64)
        new = place + np.arange(len(parent_n))
        self.path_nT = np.concatenate([self.path_nT[parent_n], new[:, None]], axis=1)
        self.prompt_n, self.token_n, self.base_n = self.prompt_n[parent_n], token_n, base_n
        return place + len(parent_n)


@torch.no_grad()
def generate(
    bank: PolicyBank, requests: Sequence[Request], sampling: Sampling, past: Past | None = None
) -> list[Generation]:
    """Draw one response per request; ``request.variant`` is the policy that answers.

    What ``past`` holds is not read again, and what is read and written goes into it; the weights must be those it was
    filled with.

    Raises:
        ValueError: No requests, or an empty prompt.
    """
    if not requests or not all(request.prompt_ids for request in requests):
        raise ValueError(f"generate needs requests, none with an empty prompt; got {len(requests)}")
    past = past or Past(bank.n_blocks)
    past.begin_batch()
    results = _Rollout(bank, requests, sampling, past).run()
    past.end_batch()
    return results


class _Rollout:
    """One batch on its way."""

    def __init__(self, bank: PolicyBank, requests: Sequence[Request], sampling: Sampling, past: Past) -> None:
        self._past = past
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
        self._cache = Cache(bank.n_blocks, past)
        self._results = [Generation() for _ in requests]

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
            place = base.go_on(parent_n, token_n, np.arange(len(parent_n)), place, self._past)
            self._node_r[alive[lane_r == BASE]] = base_of_r[lane_r == BASE]
        for lane, mine in self._lanes.items():
            if lane == BASE:
                continue
            here = lane_r == lane
            parent_n, token_n, of_r = _distinct(self._node_r[alive[here]], token_r[here])
            base_n = np.empty(len(parent_n), dtype=np.int64)
            base_n[of_r] = base_of_r[here]
            place = mine.go_on(parent_n, token_n, base_n, place, self._past)
            self._node_r[alive[here]] = of_r
        return place

    def _read(self) -> Hidden:
        """Read what the past does not hold of the prompts; hidden states at the end of each."""
        trees = {lane: mine.tree for lane, mine in self._lanes.items()}
        enters = [lane for lane in trees if lane != BASE and not self._bank.owns_embedding(lane)]
        base_of = {lane: aligned(trees[lane], trees[BASE].node_BT[self._lanes[lane].base_E]) for lane in enters}
        unread = find_unread(self._past, trees, base_of, base_is_wanted=BASE in self._sampled)
        for lane, mine in self._lanes.items():
            mine.past_n = unread[lane].place_N[unread[lane].node_n][unread[lane].last_B]
        positions = {lane: one.tree.position_N[one.node_n] for lane, one in unread.items()}
        rotations = {lane: self._bank.decoder.rotation(self._tensor(found)) for lane, found in positions.items()}
        planned: dict[tuple[int, ...], TreeAttention] = {}

        def enter(lane: int, hidden: Hidden) -> torch.Tensor:
            one = unread[lane]
            if lane not in base_of:
                return self._bank.embed(lane, self._tensor(one.tree.ids_N[one.node_n]))
            number = unread[BASE].number(base_of[lane][one.node_n])
            return self._note(lane, one.place_n, hidden[BASE][self._tensor(number)])

        def attend(block: int, lanes: tuple[int, ...]) -> Attend:
            theirs = [unread[lane] for lane in lanes]
            if lanes not in planned:
                planned[lanes] = TreeAttention(Reading.beside([one.reading for one in theirs]), self._device)
            return self._cache.reader(block, lanes, theirs, planned[lanes])

        hidden = self._bank.run(list(rotations), rotations, enter, attend, base_is_wanted=BASE in self._sampled)
        return {lane: states[self._tensor(unread[lane].last_B)] for lane, states in hidden.items()}

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
            return self._note(lane, lanes[lane].past_n, hidden[BASE][self._tensor(lanes[lane].base_n)])

        def attend(block: int, members: tuple[int, ...]) -> Attend:
            return self._cache.step(block, members, {lane: lanes[lane] for lane in members}, self._device)

        self._cache.next_token()
        return self._bank.run(list(rotations), rotations, enter, attend, base_is_wanted=BASE in self._sampled)

    def _note(self, lane: int, place_n: Ints, states_nH: torch.Tensor) -> torch.Tensor:
        """What enters a policy's first own block; one that begins with it is not worth keeping."""
        if self._bank.fork(lane):
            self._past.keep_states(self._tensor(place_n), states_nH)
        return states_nH

    def _tensor(self, array: Ints) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _distinct(node_r: Ints, token_r: Ints) -> tuple[Ints, Ints, Ints]:
    """The distinct pairs, sorted by node, and each row's place among them."""
    base = int(token_r.max(initial=0)) + 1
    pair_n, of_r = np.unique(node_r * base + token_r, return_inverse=True)
    return pair_n // base, pair_n % base, of_r
