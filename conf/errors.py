"""Errors that a user can act on."""


class UserError(Exception):
    """Base of errors whose message alone tells a user what to change; ``run.py`` prints them without a traceback."""
