"""Fixtures: a W&B client in this process that knows no server but the stand-in, and the command line of ``wandb``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wandb
from click.testing import CliRunner
from wandb.cli.cli import cli
from wandb_stand_in import StandIn

Command = Callable[..., str]


@pytest.fixture
def wandb_api(tmp_path: Path) -> Iterator[StandIn]:
    """The stand-in, with this process's client pointed at it."""
    wandb.teardown()  # the client reads its settings once
    # Without the service that has just ended: who runs next would look for it.
    before = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_SERVICE")}
    with StandIn() as api:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            del os.environ[name]
        os.environ.update(api.environment(tmp_path / "home"))
        yield api
        wandb.teardown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def wandb_command() -> Command:
    """``wandb_command("sync", folder)`` runs the ``wandb`` command and returns what it printed."""

    def run(*words: str | Path) -> str:
        found = CliRunner().invoke(cli, [str(word) for word in words])
        assert found.exit_code == 0, found.output
        return found.output

    return run
