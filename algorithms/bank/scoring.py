"""Log-probs of answers under the policies of a bank, with gradients for what the policies own.

Exact shortcuts, all of them: what rows share at their beginning is computed once; what lies below a policy's first own
block is the base's and computed once for all policies, without a graph; the head runs once per distinct place that
predicts something.

Shapes: _N nodes, _B rows, _R predicted tokens of all rows, _n distinct predicting nodes, _V vocabulary, _H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from agents.attention import Reading, TreeAttention
from agents.tree import Tree, grow
from algorithms.bank.past import Past
from algorithms.bank.policies import BASE, Hidden, PolicyBank
from algorithms.bank.rows import Row

HEAD_ROWS = 128
"""Rows of logits at a time: enough for a matrix product at full speed, and a vocabulary of numbers each."""


class Prefix:
    """What enters each policy's first own block, at every place of some rows; it never changes while they train."""

    def __init__(self, bank: PolicyBank, rows: Sequence[Row], past: Past | None = None) -> None:
        """Recall it where ``past`` has all of it, else one pass of the base model, as far up as it is needed."""
        self._bank = bank
        lanes = {bank.lane(row.policy) for row in rows} - {BASE}
        self._forks = {lane: bank.fork(lane) for lane in lanes if bank.fork(lane)}
        inner = [index for index, row in enumerate(rows) if row.policy in self._forks]
        self._place = {index: place for place, index in enumerate(inner)}
        self._hidden: dict[int, torch.Tensor] = {}
        self._recalled: list[torch.Tensor] = []
        for index in inner:
            recalled = past.recall(rows[index]) if past else None
            if recalled is None:  # one pass gives those of all rows
                self._recalled.clear()
                break
            self._recalled.append(recalled)
        if len(self._recalled) == len(inner):
            return
        self._tree = grow([rows[index].path for index in inner])
        device = bank.device
        ids_N, position_N = (torch.from_numpy(x).to(device) for x in (self._tree.ids_N, self._tree.position_N))
        with torch.no_grad():
            rotation = bank.decoder.rotation(position_N)
            states = bank.base_states(ids_N, rotation, TreeAttention(Reading.of([self._tree]), device))
            for block, hidden_NH in zip(range(max(self._forks.values()) + 1), states, strict=False):
                if block in self._forks.values():
                    self._hidden[block] = hidden_NH

    def entering(self, lane: int, rows: Sequence[int], tree: Tree) -> torch.Tensor:
        """Hidden states of the nodes of ``tree``, which is made of ``rows``, before the lane's first own block."""
        places = [self._place[row] for row in rows]
        if len(self._recalled) == len(self._place):
            hidden_NH = self._recalled[0].new_empty(len(tree), self._recalled[0].shape[1])
            for path, start, length, place in zip(tree.node_BT, tree.start_B, tree.length_B, places, strict=True):
                new = torch.from_numpy(path[start:length]).to(hidden_NH.device)
                hidden_NH[new] = self._recalled[place][start:]
            return hidden_NH
        mine = self._tree.node_BT[places]
        return self._hidden[self._forks[lane]][torch.from_numpy(aligned(tree, mine)).to(self._bank.device)]


def aligned(tree: Tree, other_BT: np.ndarray) -> np.ndarray:
    """For every node of ``tree`` the node at the same place of another tree, whose path of row b is ``other_BT[b]``."""
    width = min(tree.node_BT.shape[1], other_BT.shape[1])
    real_BT = np.arange(width) < tree.length_B[:, None]
    other_N = np.empty(len(tree), dtype=np.int64)
    other_N[tree.node_BT[:, :width][real_BT]] = other_BT[:, :width][real_BT]
    return other_N


def log_probs(
    bank: PolicyBank,
    rows: Sequence[Row],
    chosen: Sequence[int],
    prefix: Prefix,
    temperature: float,
    *,
    with_entropy: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probs of the response tokens of ``rows[i] for i in chosen``, one row after the other.

    Args:
        bank: Whose policies the rows name.
        rows: All rows that ``prefix`` was made of.
        chosen: Which of them to score.
        prefix: See ``Prefix``.
        temperature: Divides the logits.
        with_entropy: Also the entropy at every predicted token.

    Returns:
        logprob_R and, where asked for, entropy_R.
    """
    by_lane: dict[int, list[int]] = {}
    for index in chosen:
        by_lane.setdefault(bank.lane(rows[index].policy), []).append(index)
    trees = {lane: grow([rows[index].path for index in mine]) for lane, mine in by_lane.items()}
    hidden = _hidden(bank, by_lane, trees, prefix)
    pieces: dict[int, tuple[torch.Tensor, torch.Tensor | None]] = {}
    for lanes, norm, head_VH in bank.readers(list(by_lane)):
        offset, node_r, token_r, owners = 0, list[np.ndarray](), list[int](), list[int]()
        for lane in lanes:
            for place, index in enumerate(by_lane[lane]):
                row = rows[index]
                first, last = len(row.prompt_ids) - 1, trees[lane].length_B[place]
                node_r.append(trees[lane].node_BT[place, first:last] + offset)
                token_r += row.response_ids
                owners.append(index)
            offset += len(trees[lane])
        node_n, of_R = np.unique(np.concatenate(node_r), return_inverse=True)
        device = bank.device
        node, of, token = (torch.as_tensor(x, device=device) for x in (node_n, of_R, token_r))
        hidden_nH = norm(torch.cat([hidden[lane] for lane in lanes])[node])
        score = _scores_with_entropy if with_entropy else _scores
        logprob_R, entropy_R = score(hidden_nH, head_VH, of, token, temperature)
        lengths = [len(rows[index].response_ids) for index in owners]
        entropies = entropy_R.split(lengths) if entropy_R is not None else [None] * len(owners)
        pieces |= dict(zip(owners, zip(logprob_R.split(lengths), entropies, strict=True), strict=True))
    ordered = [pieces[index] for index in chosen]
    entropy = torch.cat([piece[1] for piece in ordered if piece[1] is not None]) if with_entropy else None
    return torch.cat([piece[0] for piece in ordered]), entropy


def _hidden(bank: PolicyBank, by_lane: dict[int, list[int]], trees: dict[int, Tree], prefix: Prefix) -> Hidden:
    device = bank.device
    rotations = {
        lane: bank.decoder.rotation(torch.from_numpy(tree.position_N).to(device)) for lane, tree in trees.items()
    }
    planned: dict[tuple[int, ...], TreeAttention] = {}

    def enter(lane: int, _: Hidden) -> torch.Tensor:
        if lane == BASE or bank.fork(lane) == 0:
            return bank.embed(lane, torch.from_numpy(trees[lane].ids_N).to(device))
        return prefix.entering(lane, by_lane[lane], trees[lane])

    def attend(_: int, lanes: tuple[int, ...]) -> TreeAttention:
        if lanes not in planned:
            planned[lanes] = TreeAttention(Reading.of([trees[lane] for lane in lanes]), device)
        return planned[lanes]

    return bank.run(list(by_lane), rotations, enter, attend)


def _scores(
    hidden_nH: torch.Tensor, head_VH: torch.Tensor, of_R: torch.Tensor, token_R: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, None]:
    return _HeadLogProbs.apply(hidden_nH, head_VH, of_R, token_R, temperature), None


def _scores_with_entropy(
    hidden_nH: torch.Tensor, head_VH: torch.Tensor, of_R: torch.Tensor, token_R: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    logprob_nV = torch.log_softmax(torch.nn.functional.linear(hidden_nH, head_VH).float() / temperature, dim=-1)
    entropy_n = -(logprob_nV.exp() * logprob_nV).sum(-1)
    return logprob_nV[of_R, token_R], entropy_n[of_R]


class _HeadLogProbs(torch.autograd.Function):
    """log softmax(h W^T / T)[token], keeping the probabilities only; their gradient is formed in their place.

    d logprob_r / d logits_n = (onehot(token_r) - p_n) / T for r that n predicts. Some rows of logits at a time, so that
    they stay in the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, hidden_nH: Any, head_VH: Any, of_R: Any, token_R: Any, temperature: float) -> Any:
        kind = hidden_nH.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_nH.dtype
        hidden_nH, head_VH = hidden_nH.to(dtype), head_VH.to(dtype)
        order_R = of_R.argsort(stable=True)
        parts, probs, logprob_R = [], [], hidden_nH.new_empty(len(of_R), dtype=torch.float32)
        for start in range(0, len(hidden_nH), HEAD_ROWS):
            first, last = torch.searchsorted(of_R[order_R], torch.tensor([start, start + HEAD_ROWS]).to(of_R)).tolist()
            rows_r = order_R[first:last]
            of_r, token_r = of_R[rows_r] - start, token_R[rows_r]
            logits_nV = torch.nn.functional.linear(hidden_nH[start : start + HEAD_ROWS], head_VH).float()
            if temperature != 1:
                logits_nV /= temperature
            chosen_r, highest_n = logits_nV[of_r, token_r], logits_nV.amax(-1)
            prob_nV = torch.softmax(logits_nV, dim=-1)
            logprob_R[rows_r] = chosen_r - highest_n[of_r] + prob_nV.amax(-1).log()[of_r]
            probs.append(prob_nV)
            parts.append((rows_r, of_r, token_r))
        ctx.save_for_backward(hidden_nH, head_VH)
        ctx.parts, ctx.probs, ctx.temperature = parts, probs, temperature
        return logprob_R

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_R = grads[0] / ctx.temperature
        hidden_nH, head_VH = ctx.saved_tensors
        hidden_grad = torch.empty_like(hidden_nH) if ctx.needs_input_grad[0] else None
        head_grad = torch.zeros_like(head_VH) if ctx.needs_input_grad[1] else None
        for start, (rows_r, of_r, token_r) in zip(range(0, len(hidden_nH), HEAD_ROWS), ctx.parts, strict=True):
            prob_nV, grad_r = ctx.probs.pop(0), grad_R[rows_r]
            sum_n = torch.zeros(len(prob_nV), device=grad_r.device).index_add_(0, of_r, grad_r)
            grad_nV = prob_nV.mul_(-sum_n[:, None])
            grad_nV.view(-1).index_add_(0, of_r * grad_nV.shape[1] + token_r, grad_r)
            grad_nV = grad_nV.to(hidden_nH.dtype)
            chunk = slice(start, start + HEAD_ROWS)
            if hidden_grad is not None:
                torch.mm(grad_nV, head_VH, out=hidden_grad[chunk])
            if head_grad is not None:
                head_grad.addmm_(grad_nV.t(), hidden_nH[chunk])
        return hidden_grad, head_grad, None, None, None
