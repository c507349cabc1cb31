"""Rows in sections and passes: all of them, none twice, groups together, limits kept."""

from __future__ import annotations

import pytest

from agents.sampler import Request
from agents.tree import grow
from algorithms.bank.packing import pack, together
from algorithms.bank.rows import Row

ROWS = [
    Row([group, 50, 51 + group], [token, token, 7], policy)
    for policy in (2, 0, 1)
    for group in range(4)
    for token in (1, 2, 1, 3)
]


@pytest.mark.parametrize(("section", "single_pass"), [(10_000, 10_000), (12, 10_000), (10_000, 12), (20, 8), (1, 1)])
def test_every_row_is_in_one_pass_of_one_section_within_the_limits(section, single_pass):
    packed = pack(ROWS, section_tokens=section, pass_tokens=single_pass)
    assert sorted(row for rows in packed.passes for row in rows) == list(range(len(ROWS)))
    for rows in packed.passes:
        assert len({packed.section_of[row] for row in rows}) == 1
        by_policy = {}
        for row in rows:
            by_policy.setdefault(ROWS[row].policy, []).append(ROWS[row].path)
        assert len(rows) == 1 or sum(len(grow(paths)) for paths in by_policy.values()) <= single_pass
    for number in set(packed.section_of):
        members = [row for row, its in enumerate(packed.section_of) if its == number]
        prompts = {tuple(ROWS[row].prompt_ids) for row in members}
        assert len(prompts) == 1 or len(grow([ROWS[row].path for row in members])) <= section


def test_a_group_is_not_torn_over_sections():
    packed = pack(ROWS, section_tokens=1, pass_tokens=100)
    sections = {}
    for row, number in enumerate(packed.section_of):
        sections.setdefault(tuple(ROWS[row].prompt_ids), set()).add(number)
    assert all(len(numbers) == 1 for numbers in sections.values())


@pytest.mark.parametrize(("max_rows", "max_tokens", "parts"), [(100, 1000, 1), (4, 1000, 2), (100, 12, 2), (1, 1, 4)])
def test_requests_of_one_prompt_generate_together_whatever_their_policy(max_rows, max_tokens, parts):
    requests = [Request([group, 1, 2], member, policy) for policy in (0, 1) for group in range(4) for member in (0, 1)]
    found = together(requests, max_rows=max_rows, max_tokens=max_tokens)
    assert sorted(place for places in found for place in places) == list(range(len(requests)))
    assert len(found) == parts
    for places in found:
        prompts = {requests[place].prompt_ids[0] for place in places}
        assert len(places) == 4 * len(prompts), "every row of its prompts, of both policies"
