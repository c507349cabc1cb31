"""Attention within the rows of a tree, on a flat list of its nodes.

A row attends with its new nodes only, to its whole path, parts of which may have been read earlier. Rows are put side
by side with others that have about as many new nodes, so that little is padded.

Shapes: _N nodes; per side-by-side part b rows, Q new nodes, S path; heads = kv_heads x group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from agents.tree import Ints, Tree

SCORES_KEPT = 2**22
"""Above so many scores in one call they are recomputed in the backward pass and not kept."""


@dataclass(frozen=True)
class _Part:
    query: torch.Tensor
    """[b, Q] nodes that attend, padded with the row's last."""
    path: torch.Tensor
    """[b, S] keys attended to, padded with the row's first."""
    hidden: torch.Tensor
    """[b, Q, S] true where a node must not look: later in its row, or padding."""


@dataclass(frozen=True)
class Reading:
    """Rows of which some nodes attend, each to its row up to itself.

    In row ``b`` these are the nodes from position ``start_B[b]`` to before ``end_B[b]``; no node is in two rows.
    """

    query_BT: Ints
    """Numbers of the nodes that attend, at their positions."""
    path_BT: Ints
    """Where the row's keys and values are."""
    start_B: Ints
    end_B: Ints
    n_queries: int

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Reading:
        """All nodes of some trees that follow each other in one flat list."""
        offsets = np.cumsum([0, *map(len, trees)])
        paths = [tree.node_BT + first for tree, first in zip(trees, offsets, strict=False)]
        parts = zip(trees, paths, strict=True)
        return cls.beside([cls(tree.node_BT, path, tree.start_B, tree.length_B, len(tree)) for tree, path in parts])

    @classmethod
    def beside(cls, parts: Sequence[Reading]) -> Reading:
        """Several readings as one: their nodes follow each other, keys and values are where they were."""
        firsts = np.cumsum([0, *(part.n_queries for part in parts)])
        return cls(
            query_BT=stacked([part.query_BT + first for part, first in zip(parts, firsts, strict=False)]),
            path_BT=stacked([part.path_BT for part in parts]),
            start_B=np.concatenate([part.start_B for part in parts]),
            end_B=np.concatenate([part.end_B for part in parts]),
            n_queries=int(firsts[-1]),
        )


def stacked(parts: Sequence[Ints]) -> Ints:
    """Rows of several tables in one, filled up on the right with their own first entry."""
    width = max(part.shape[1] for part in parts)
    filled = [np.repeat(part[:, :1], width - part.shape[1], axis=1) for part in parts]
    return np.concatenate([np.concatenate(pair, axis=1) for pair in zip(parts, filled, strict=True)])


class TreeAttention:
    """Attention of the nodes of a reading, planned once and used at every block."""

    def __init__(self, reading: Reading, device: torch.device) -> None:
        """Plan the rows."""
        start_B, end_B = reading.start_B, reading.end_B
        new_B = end_B - start_B
        # Parts of 1, 2, 3-4, 5-8 ... new nodes: a row is padded to twice its length at most.
        size_B = np.ceil(np.log2(np.maximum(new_B, 1))).astype(int)
        place_N = np.empty(reading.n_queries, dtype=np.int64)
        self._parts, filled = list[_Part](), 0
        for size in np.unique(size_B[new_B > 0]):
            rows = np.flatnonzero((size_B == size) & (new_B > 0))
            n_query, n_path = int(new_B[rows].max()), int(end_B[rows].max())
            position = start_B[rows, None] + np.arange(n_query)
            real = position < end_B[rows, None]
            last = np.minimum(position, end_B[rows, None] - 1)
            # Padding repeats a node of the row itself: another row's might not be finite.
            query = np.take_along_axis(reading.query_BT[rows], last, axis=1)
            place_N[query[real]] = filled + np.flatnonzero(real)
            filled += query.size
            path = reading.path_BT[rows, :n_path]
            path = np.where(np.arange(n_path) < end_B[rows, None], path, path[:, :1])
            hidden = np.arange(n_path) > last[:, :, None]
            self._parts.append(_Part(*(torch.from_numpy(array).to(device) for array in (query, path, hidden))))
        self._place_N = torch.from_numpy(place_N).to(device)

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        """See ``agents.decoder.Attend``."""
        outputs = []
        for part in self._parts:
            q_rows, k_rows, v_rows = take(q, part.query), take(k, part.path), take(v, part.path)
            outputs.append(attend_rows(q_rows, k_rows, v_rows, part.hidden, scale).flatten(0, 1))
        gathered = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return gathered.index_select(0, self._place_N)


def take(values_N: torch.Tensor, index_bS: torch.Tensor) -> torch.Tensor:
    """``values_N[index_bS]``, by the kernel whose gradient is fast on CPUs, too."""
    flat = F.embedding(index_bS, values_N.reshape(len(values_N), -1))
    return flat.view(*index_bS.shape, *values_N.shape[1:])


def attend_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, hidden: torch.Tensor, scale: float) -> torch.Tensor:
    """Softmax attention of rows side by side.

    Args:
        q: [b, Q, heads, d].
        k: [b, S, kv_heads, d]; query heads of one key head are neighbours, as everywhere in Transformers.
        v: As ``k``.
        hidden: [b, Q, S], true where a query must not look.
        scale: Of the scores.

    Returns:
        [b, Q, heads, d].
    """
    b, n_query, heads, d = q.shape
    kv_heads, group = k.shape[2], heads // k.shape[2]
    q = q.view(b, n_query, kv_heads, group, d).permute(0, 2, 3, 1, 4).reshape(b, kv_heads, group * n_query, d)
    k, v = k.transpose(1, 2), v.transpose(1, 2)
    keeps_scores = torch.is_grad_enabled() and b * heads * hidden[0].numel() <= SCORES_KEPT
    if keeps_scores or n_query == 1:  # torch's CPU kernel for masked attention is slow backward
        scores = (q * scale @ k.transpose(2, 3)).view(b, kv_heads, group, n_query, -1)
        scores = scores.masked_fill(hidden[:, None, None], float("-inf"))
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype).flatten(2, 3)
        output = weights @ v
    else:
        mask = hidden[:, None].repeat(1, 1, group, 1).logical_not()
        output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return output.view(b, kv_heads, group, n_query, d).permute(0, 3, 1, 2, 4).reshape(b, n_query, heads, d)
