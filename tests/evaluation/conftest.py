"""Fixtures of the evaluation's tests."""

from synthetic_study import write_cell

__all__ = ["write_cell"]
