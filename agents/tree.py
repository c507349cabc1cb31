"""Rows of tokens as a tree: what rows share at their beginning is there once.

A causal model computes the same for two tokens whose whole past is equal. So the answers of a group share their
prompt, equal answers share everything, and the turns of a conversation share their past.

Shapes: _N nodes (distinct prefixes), _B rows, _T positions of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """Every distinct prefix of some rows is a node, named by its last token.

    Row ``b`` is the path ``node_BT[b, :length_B[b]]``. Each node is new in exactly one row: in row ``b`` those from
    position ``start_B[b]`` on.
    """

    ids_N: Ints
    position_N: Ints
    node_BT: Ints
    length_B: Ints
    start_B: Ints

    def __len__(self) -> int:
        return len(self.ids_N)


def grow(rows: Sequence[Sequence[int]]) -> Tree:
    """Return the tree of ``rows``, none of them empty, in time that grows with their tokens.

    Raises:
        ValueError: There are no rows, or one is empty.
    """
    if not rows or not all(len(row) for row in rows):
        raise ValueError("a tree needs rows, none of them empty")
    n_rows, length_B = len(rows), np.array([len(row) for row in rows])
    width = int(length_B.max())
    # In sorted order a row shares at least as much with its neighbour as with any row before.
    order = np.array(sorted(range(n_rows), key=lambda row: tuple(rows[row])))
    token_BT = np.full((n_rows, width), -1, dtype=np.int64)
    place_T = np.arange(width)
    token_BT[place_T < length_B[order, None]] = np.concatenate([np.asarray(rows[row]) for row in order])
    start = np.zeros(n_rows, dtype=np.int64)
    equal = (token_BT[1:] == token_BT[:-1]) & (token_BT[1:] >= 0)
    start[1:] = np.where(equal.all(1), width, equal.argmin(1))
    new_BT = (place_T >= start[:, None]) & (token_BT >= 0)
    first = np.concatenate([[0], new_BT.sum(1).cumsum()[:-1]])
    # The row, this one or one before, in which the node at each place was new.
    owner_BT = np.maximum.accumulate(np.where(place_T >= start[:, None], np.arange(n_rows)[:, None], 0), axis=0)
    node_BT = np.where(token_BT >= 0, first[owner_BT] + place_T - start[owner_BT], 0)
    back = np.empty(n_rows, dtype=np.int64)
    back[order] = np.arange(n_rows)
    return Tree(
        ids_N=token_BT[new_BT],
        position_N=np.broadcast_to(place_T, new_BT.shape)[new_BT],
        node_BT=node_BT[back],
        length_B=length_B,
        start_B=np.minimum(start[back], length_B),
    )
