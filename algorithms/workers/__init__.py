"""Adapters to verl's actor/rollout workers. Nothing outside this package imports verl."""

import os

os.environ.setdefault("VERL_LOGGING_LEVEL", "ERROR")  # verl reads it at import
