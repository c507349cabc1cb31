"""Which rows go into which optimizer step, as the local runner cuts them, and which rank gets which.

Shapes: _N real rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from verl.utils.seqlen_balancing import get_seqlen_balanced_partitions

from algorithms.workers.cluster.settings import PADDING_TOKENS


def mini_batches(length_N: Sequence[int], n_updates: int, n_ranks: int) -> list[list[int]]:
    """Cut rows, in their order, into parts of nearly equal number, each filled up so that the ranks share it evenly.

    Args:
        length_N: Tokens of each row.
        n_updates: Optimizer steps; fewer where there are fewer rows.
        n_ranks: A part's length is a multiple of it, and its rows are ordered so that each rank's share is together
            and the shares have nearly as many tokens.

    Returns:
        For each step its rows; numbers from ``len(length_N)`` on stand for padding, each used once.
    """
    padding, parts = len(length_N), []
    for rows in np.array_split(np.arange(len(length_N)), min(n_updates, len(length_N))):
        part = rows.tolist()
        while len(part) % n_ranks:
            part.append(padding)
            padding += 1
        tokens = [length_N[row] if row < len(length_N) else PADDING_TOKENS for row in part]
        shares = get_seqlen_balanced_partitions(tokens, k_partitions=n_ranks, equal_size=True)
        parts.append([part[place] for share in shares for place in share])
    return parts
