"""Rows as a tree: every prefix once, every row a path."""

from __future__ import annotations

import random

import numpy as np
import pytest

from agents.tree import grow

ROWS = {
    "a group": [[1, 2, 3, 7], [1, 2, 3, 8, 9], [1, 2, 3, 7, 7]],
    "equal rows": [[4, 5], [4, 5], [4, 5]],
    "a row within another": [[1, 2], [1, 2, 3], [1]],
    "nothing shared": [[1, 2], [2, 1], [3]],
    "one token": [[9]],
    "drawn": [[random.Random(i).randrange(2) for _ in range(1 + i % 7)] for i in range(60)],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_nodes_are_the_distinct_prefixes_and_rows_their_paths(rows):
    tree = grow(rows)
    assert len(tree) == len({tuple(row[: n + 1]) for row in rows for n in range(len(row))})
    owners = np.zeros(len(tree), dtype=int)
    for place, row in enumerate(rows):
        path = tree.node_BT[place, : len(row)]
        assert tree.ids_N[path].tolist() == row
        assert tree.position_N[path].tolist() == list(range(len(row)))
        owners[path[tree.start_B[place] :]] += 1
    assert (owners == 1).all(), "each node is new in exactly one row"


@pytest.mark.parametrize("rows", [[], [[]], [[1], []]])
def test_a_tree_of_nothing_is_refused(rows):
    with pytest.raises(ValueError, match="none of them empty"):
        grow(rows)
