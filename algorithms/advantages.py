"""Group-relative advantages as pure functions on arrays.

Shapes: _N trajectories of a batch. Numpy in, numpy out; no framework.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPSILON = 1e-6


def grpo(return_N: ArrayLike, group_N: ArrayLike, *, normalize_std: bool = True) -> NDArray[np.float64]:
    r"""Group-relative advantage, one value per trajectory.

    With R_1..R_G the returns of a group (answers to one prompt, or episodes from one initial state):

        GRPO (arXiv 2402.03300, eq. 4):     A_i = (R_i - mean(R)) / (std(R) + 1e-6)
        Dr. GRPO (arXiv 2503.20783, eq. 2): A_i = R_i - mean(R)              with ``normalize_std=False``

    The standard deviation is the unbiased one (divisor G - 1), as in verl and in the published codes. A group of one
    has nothing to be compared with: its advantage is 0. Trajectories with return NaN (their environment broke) get
    advantage 0 and do not count in their group.

    Args:
        return_N: Return of each trajectory.
        group_N: Which group each belongs to; any hashable labels.
        normalize_std: Divide by the group's standard deviation.

    Returns:
        advantage_N, float64, in the order of the input.

    Raises:
        ValueError: The arguments differ in length, are empty, or a return is infinite.
    """
    return_N = np.asarray(return_N, dtype=np.float64)
    group_N = np.asarray(group_N)
    if return_N.ndim != 1 or return_N.shape != group_N.shape or not len(return_N):
        raise ValueError(f"return_N {return_N.shape} and group_N {group_N.shape} must be vectors of one length > 0")
    if np.isinf(return_N).any():
        raise ValueError("return_N holds an infinite return")
    advantage_N = np.zeros_like(return_N)
    _, index_N = np.unique(group_N, return_inverse=True)
    for group in range(index_N.max() + 1):
        members = (index_N == group) & ~np.isnan(return_N)
        return_G = return_N[members]
        if len(return_G) < 2 or np.ptp(return_G) == 0:  # equal returns: exactly 0, whatever their mean rounds to
            continue
        centred_G = return_G - return_G.mean()
        advantage_N[members] = centred_G / (return_G.std(ddof=1) + EPSILON) if normalize_std else centred_G
    return advantage_N


def zero_variance_share(return_N: ArrayLike, group_N: ArrayLike) -> float:
    """Share of groups whose returns are all equal: they carry no signal."""
    return_N, group_N = np.asarray(return_N, dtype=np.float64), np.asarray(group_N)
    groups = [return_N[(group_N == group) & ~np.isnan(return_N)] for group in np.unique(group_N)]
    return float(np.mean([len(group) < 2 or np.ptp(group) == 0 for group in groups]))
