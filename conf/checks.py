"""What a configuration may hold: the error, and the checks that the dataclasses share."""

from __future__ import annotations

import re

from omegaconf import MISSING

from conf.errors import UserError


class ConfigError(UserError, ValueError):
    """A value that parses but makes no sense; the message names the field and what is valid."""


def require(condition: bool, field: str, value: object, valid: str) -> None:
    """Raise ``ConfigError`` for ``field=value`` unless the condition holds."""
    if not condition:
        raise ConfigError(f"{field}={value} is not valid: {valid}")


def named(value: str, field: str) -> None:
    """Require a name that a folder can have."""
    fits = value == MISSING or bool(re.fullmatch(r"[\w-][\w.+-]*", value))
    require(fits, field, repr(value), "it names a folder: letters, digits, - _ . and +")


def positive(owner: object, prefix: str, *names: str) -> None:
    """Require whole numbers of at least 1."""
    for name in names:
        require(getattr(owner, name) >= 1, f"{prefix}{name}", getattr(owner, name), "give a whole number >= 1")
