"""Which tokens of a batch of prompts are read: those of the base as far as a policy needs them, known ones left out.

Shapes: _B prompts of a lane, _T positions, _N nodes of its tree, _n the nodes that are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.attention import Reading
from agents.tree import Ints, Tree
from algorithms.bank.past import Past, root_of
from algorithms.bank.policies import BASE

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Unread:
    """What one lane reads of its prompts."""

    tree: Tree
    place_N: Ints
    """Each node's place in the past."""
    node_n: Ints
    """The nodes that are read, ascending."""
    reading: Reading

    @property
    def place_n(self) -> Ints:
        """Where keys and values of what is read go."""
        return self.place_N[self.node_n]

    @property
    def last_B(self) -> Ints:
        """The last token of each prompt, as a number among those that are read."""
        return self.number(self.tree.node_BT[np.arange(len(self.tree.length_B)), self.tree.length_B - 1])

    def number(self, node: Ints) -> Ints:
        """Nodes that are read, as numbers among these."""
        return np.searchsorted(self.node_n, node)


def find_unread(
    past: Past, trees: Mapping[int, Tree], base_of: Mapping[int, Ints], *, base_is_wanted: bool
) -> dict[int, Unread]:
    """What each lane has to read.

    Args:
        past: What is known; it is told of the rest.
        trees: The prompts of each lane.
        base_of: For every node of a lane that begins as the base does, the base's node.
        base_is_wanted: Otherwise the base reads for others, and no farther than they need it.
    """
    places, owed = dict[int, Ints](), dict[int, Bools]()
    for lane, tree in trees.items():
        root = root_of(lane, is_read_to_the_top=lane != BASE or base_is_wanted)
        places[lane], owed[lane] = past.locate(root, tree)
        # The last token of a prompt is read in any case: what follows it is drawn from its state.
        owed[lane][tree.node_BT[np.arange(len(tree.length_B)), tree.length_B - 1]] = True
    found = {}
    for lane in sorted(trees, reverse=True):  # the base last: it reads for the others
        found[lane] = _unread(trees[lane], places[lane], owed[lane])
        if lane in base_of:
            owed[BASE][base_of[lane][found[lane].node_n]] = True
    return found


def _unread(tree: Tree, place_N: Ints, owed_N: Bools) -> Unread:
    """Of each row's own nodes those from the first that is owed to the last."""
    width = tree.node_BT.shape[1]
    position = np.arange(width)
    own_BT = (position >= tree.start_B[:, None]) & (position < tree.length_B[:, None])
    owed_BT = owed_N[tree.node_BT] & own_BT
    any_B = owed_BT.any(1)
    start_B = np.where(any_B, owed_BT.argmax(1), 0)
    end_B = np.where(any_B, width - owed_BT[:, ::-1].argmax(1), 0)
    node_n = np.sort(tree.node_BT[(position >= start_B[:, None]) & (position < end_B[:, None])])
    query_BT = np.searchsorted(node_n, tree.node_BT)
    return Unread(tree, place_N, node_n, Reading(query_BT, place_N[tree.node_BT], start_B, end_B, len(node_n)))
