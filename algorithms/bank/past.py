"""What the policies of a bank have read and written since their weights last changed, a place for each token.

Two tokens have one place where lane and history are equal. Kept by place: keys and values, so that the next turn of an
episode reads only what is new; and the states that entered a policy's first own block, so that an update on the answers
need not compute them again. Neither changes more than rounding.

Shapes: _N nodes of a tree, _n those of them that are meant, _H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agents.tree import Ints, Tree
from algorithms.bank.rows import Row

KEY_BYTES, STATE_BYTES = 2**28, 2**26
"""Above so much all is forgotten: later turns are read whole again, a pass of the update gives the states anew."""


class Past:
    """Places by lane and history."""

    def __init__(self, n_blocks: int, *, keeps_keys: bool = False, keeps_states: bool = False) -> None:
        """``keeps_keys``: from one batch to the next. ``keeps_states``: for ``recall``."""
        self.keeps_keys, self.keeps_states = keeps_keys, keeps_states
        self._n_blocks = n_blocks
        self.clear()

    def clear(self) -> None:
        """Forget everything: the weights change, or another rollout begins."""
        self._next: dict[tuple[int, int], int] = {}
        self.forget_keys()
        self.states = Store()
        self.has_states = self.keeps_states
        """Whether there are states of everything that was read and written."""

    def forget_keys(self) -> None:
        """Give back keys and values; what was read is read again."""
        self.keys, self.values = ([Store() for _ in range(self._n_blocks)] for _ in range(2))
        self._forgotten = len(self._next)

    @property
    def n_places(self) -> int:
        """How many there are; they are numbered from 0."""
        return len(self._next)

    def begin_batch(self) -> None:
        """Keep within the limits."""
        if sum(store.n_bytes for store in (*self.keys, *self.values)) > KEY_BYTES:
            self.clear()
            self.has_states = False

    def end_batch(self) -> None:
        """Give back what the next batch has no use for."""
        if not (self.keeps_keys or (self.has_states and self.states.n_bytes)):
            self._next.clear()
        if not self.keeps_keys:
            self.forget_keys()

    def locate(self, root: int, tree: Tree) -> tuple[Ints, NDArray[np.bool_]]:
        """The place of every node, and whether its keys and values are owed, at whatever block the root is about."""
        parent_N = np.full(len(tree), -1)
        inner_BT = np.arange(1, tree.node_BT.shape[1]) < tree.length_B[:, None]
        parent_N[tree.node_BT[:, 1:][inner_BT]] = tree.node_BT[:, :-1][inner_BT]
        before, places = len(self._next), list[int]()
        for parent, token in zip(parent_N.tolist(), tree.ids_N.tolist(), strict=True):  # a parent's number is smaller
            places.append(self.place_after(root if parent < 0 else places[parent], token))
        place_N = np.array(places)
        return place_N, (place_N >= before) | (place_N < self._forgotten)

    def place_after(self, place: int, token: int) -> int:
        """The place of ``token`` after the one at ``place``."""
        return self._next.setdefault((place, token), len(self._next))

    def keep_states(self, place_n: torch.Tensor, states_nH: torch.Tensor) -> None:
        """Keep what enters, while there is room for all of it."""
        if self.has_states and self.states.n_bytes + states_nH.nbytes > STATE_BYTES:
            self.has_states, self.states = False, Store()
        if self.has_states:
            self.states.write(place_n, states_nH, self.n_places)

    def recall(self, row: Row) -> torch.Tensor | None:
        """What entered the first own block of the row's policy along ``row.path``; None where it was not kept."""
        if not self.has_states:
            return None
        places, place = list[int](), root_of(row.policy)
        for token in row.path:
            found = self._next.get((place, token))
            if found is None:
                return None
            place = found
            places.append(place)
        return self.states.read(places)


class Store:
    """Tensors of one shape by place. It grows by doubling; what is not written takes memory on a GPU only."""

    values: torch.Tensor

    def __init__(self) -> None:
        self._written: list[torch.Tensor] = []
        self.n_bytes = 0

    def write(self, place_n: torch.Tensor, values_n: torch.Tensor, n_places: int) -> None:
        """Put values at their places, of which there are ``n_places``."""
        if not len(place_n):
            return
        if not self._written or n_places > len(self.values):
            size = max(n_places, 2 * len(self.values) if self._written else 0)
            bigger = values_n.new_empty(size, *values_n.shape[1:])
            if self._written:
                self._written = [torch.cat(self._written)]
                bigger.index_copy_(0, self._written[0], self.values.index_select(0, self._written[0]))
            self.values = bigger
        self.values.index_copy_(0, place_n, values_n)
        self._written.append(place_n)
        self.n_bytes += values_n.nbytes

    def read(self, places: Sequence[int]) -> torch.Tensor:
        """Values at places that were written."""
        return self.values[torch.tensor(places, device=self.values.device)]


def root_of(lane: int, *, is_read_to_the_top: bool = True) -> int:
    """What stands for the beginning of a lane. The base that only reads for others stops below the top."""
    return -3 - lane if is_read_to_the_top else -1
