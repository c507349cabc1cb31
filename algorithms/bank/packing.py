"""Which rows go through the model together, to be answered and to be scored.

A section is a set of rows whose common beginnings the base model reads once for all policies. A pass is a part of a
section that goes forward and backward at once; rows of one policy that share a prompt stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agents.sampler import Request
from algorithms.bank.rows import Row


@dataclass(frozen=True)
class Passes:
    """``passes``: numbers of rows, pass by pass. ``section_of``: each row's section."""

    passes: list[list[int]]
    section_of: list[int]


def pack(rows: Sequence[Row], *, section_tokens: int, pass_tokens: int) -> Passes:
    """Cut rows into sections and passes by the distinct tokens in them.

    Args:
        rows: None empty.
        section_tokens: At most so many in a section, but for a prompt whose answers alone are more.
        pass_tokens: At most so many in a pass, but for a row that alone is more.
    """
    paths = [row.path for row in rows]
    by_path = sorted(range(len(rows)), key=paths.__getitem__)
    section_of, passes = [0] * len(rows), list[list[int]]()
    # A new section begins with a new prompt, so that no group is torn.
    sections = _cut(by_path, paths, section_tokens, lambda a, b: rows[a].prompt_ids != rows[b].prompt_ids)
    for number, section in enumerate(sections):
        for row in section:
            section_of[row] = number
        by_policy = sorted(section, key=lambda row: rows[row].policy)  # stable: by path within a policy
        passes += _cut(by_policy, paths, pass_tokens, lambda a, b: True, lambda a, b: rows[a].policy == rows[b].policy)
    return Passes(passes, section_of)


def together(requests: Sequence[Request], *, max_rows: int, max_tokens: int) -> list[list[int]]:
    """Requests that generate in one batch, by their places: all of a prompt, as many prompts as the limits allow.

    Args:
        requests: What to answer.
        max_rows: At most so many of one policy, but for the rows of a single prompt.
        max_tokens: At most so many prompt tokens whose keys and values are kept, each policy's counted.
    """
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for place, request in enumerate(requests):
        by_prompt.setdefault(tuple(request.prompt_ids), []).append(place)
    parts: list[list[int]] = []
    rows = tokens = 0
    for prompt, places in by_prompt.items():
        n_policies = len({requests[place].variant for place in places})
        more_rows, more_tokens = -(-len(places) // n_policies), len(prompt) * n_policies
        if not parts or rows + more_rows > max_rows or tokens + more_tokens > max_tokens:
            parts.append([])
            rows = tokens = 0
        parts[-1] += places
        rows, tokens = rows + more_rows, tokens + more_tokens
    return parts


def _cut(
    order: Iterable[int],
    paths: Sequence[list[int]],
    limit: int,
    may_cut: Callable[[int, int], bool],
    may_share: Callable[[int, int], bool] = lambda a, b: True,
) -> list[list[int]]:
    """Parts of at most ``limit`` distinct tokens, in order; a row pays for what its neighbour does not share."""
    parts: list[list[int]] = []
    filled = 0
    for row in order:
        before = parts[-1][-1] if parts else None
        new = len(paths[row])
        if before is not None and may_share(before, row):
            new -= _shared(paths[before], paths[row])
        if before is None or (filled + new > limit and may_cut(before, row)):
            parts.append([])
            filled, new = 0, len(paths[row])
        parts[-1].append(row)
        filled += new
    return parts


def _shared(a: list[int], b: list[int]) -> int:
    limit = min(len(a), len(b))
    if a[:limit] == b[:limit]:
        return limit
    return next(place for place in range(limit) if a[place] != b[place])
