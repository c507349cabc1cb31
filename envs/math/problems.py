"""What a math question is, and a collection of them in splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

SPLITS = ("train", "test")
HELD_OUT = 500
"""Most items that are held out where a dataset has no test split; at most a tenth of a small one."""


@dataclass(frozen=True)
class Problem:
    """One question and its answer."""

    question: str
    answer: str
    entry: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """reasoning-gym's own item, for its own scorer."""

    @property
    def item_id(self) -> str:
        """A hash of the question: the same on every machine and whatever the order of the data."""
        return hashlib.sha256(self.question.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Collection:
    """The problems of every split, where each split comes from and how answers are scored unless the user says."""

    problems: Mapping[str, tuple[Problem, ...]]
    sources: Mapping[str, str]
    scoring: str


def distinct(problems: Iterable[Problem], without: Iterable[Problem] = ()) -> tuple[Problem, ...]:
    """Return the problems in order, each question once, and none that ``without`` asks."""
    seen = {problem.item_id for problem in without}
    kept = {problem.item_id: problem for problem in reversed(list(problems)) if problem.item_id not in seen}
    return tuple(reversed(kept.values()))


def hold_out(problems: Iterable[Problem], name: str) -> dict[str, tuple[Problem, ...]]:
    """Split problems into train and test; the choice depends on their content and on nothing else.

    Raises:
        ValueError: fewer than two different questions.
    """
    everything = distinct(problems)
    if len(everything) < 2:
        raise ValueError(f"{name}: {len(everything)} question cannot be split into train and test")
    ids = sorted(problem.item_id for problem in everything)
    held = set(Random("onelayer/math/held-out").sample(ids, min(HELD_OUT, max(1, len(ids) // 10))))
    return {
        "train": tuple(problem for problem in everything if problem.item_id not in held),
        "test": tuple(problem for problem in everything if problem.item_id in held),
    }
