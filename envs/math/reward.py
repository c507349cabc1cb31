"""How an answer is scored. Whatever a model writes gets a score and a status, never an exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from envs.math.problems import Problem
from envs.math.verifier import Job, Verifier

_NUMBER = re.compile(r"(?:(?<![\w).])-)?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?")


class Score(NamedTuple):
    """The outcome in [0, 1] and ``ok``, ``malformed``, ``verifier_timeout`` or ``verifier_crash``."""

    value: float
    status: str


def first_line(text: str) -> str:
    """Return the first line that is not blank: small models go on with questions of their own."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def number(text: str, problem: Problem) -> Score:
    """Compare the last number of the first line by value: ``3 + 4 = 7.`` is 7.

    Raises:
        ValueError: the reference is no number, so this scorer does not fit the dataset.
    """
    reference = problem.answer.replace(",", "")
    if not _NUMBER.fullmatch(reference):
        raise ValueError(f"scoring='number' does not fit: the reference answer is {problem.answer!r}")
    found = _NUMBER.findall(first_line(text).replace("\u2212", "-"))
    if not found:
        return Score(0.0, "malformed")
    return Score(float(Decimal(found[-1].replace(",", "")) == Decimal(reference)), "ok")


def digits(text: str, problem: Problem) -> Score:
    """Compare the last run of digits of the first line as a text: leading zeros count."""
    found = re.findall(r"[0-9]+", first_line(text))
    return Score(float(found[-1] == problem.answer), "ok") if found else Score(0.0, "malformed")


def latex(text: str, problem: Problem) -> Score:
    """Let math-verify decide whether the answer, boxed or last in the text, equals the reference."""
    return Score(*_verifier().score(Job("latex", text, problem.answer)))


def own(text: str, problem: Problem, name: str, config: str) -> Score:
    """Let reasoning-gym's dataset score the first line, or all of an answer that has several lines."""
    text = text.strip() if "\n" in problem.answer else first_line(text)
    if not text:
        return Score(0.0, "malformed")
    return Score(*_verifier().score(Job("reasoning_gym", text, problem.answer, name, config, problem.entry)))


SCORERS: dict[str, Callable[[str, Problem], Score]] = {"number": number, "digits": digits, "latex": latex}


@lru_cache(maxsize=1)
def _verifier() -> Verifier:
    return Verifier()
