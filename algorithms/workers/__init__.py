"""Adapters to verl's actor/rollout workers. Nothing outside this package imports verl."""

import os

from algorithms.workers.contract import check_version

os.environ.setdefault("VERL_LOGGING_LEVEL", "ERROR")  # verl reads it at import
check_version()  # before a module of this package imports names that another release may not have
