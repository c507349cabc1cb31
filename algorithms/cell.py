"""The folder of one cell: its place, its lock, its settings, its panel rows."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from omegaconf import OmegaConf

from conf.errors import UserError
from conf.schema import Config
from evaluation.cells import finished
from evaluation.evaluate import settings_of
from evaluation.learning import CONFIG_FILE
from evaluation.progress import Failure, forget_failure, write_failure
from evaluation.results import EPISODES_FILE, RESULT_FILE, PanelRow, Result, read_rows
from evaluation.states import LOCK_FILE

SETTINGS_FILE = "settings.yaml"
FREE_KEYS = ("layer", "layer_study", "seed", "study", "runs_dir", "runner", "tracker", "checkpoint_every", "plan")
FREE_TASK_KEYS = ("processes", "timeout_s")
FREE_MODEL_KEYS = ("shape",)
"""What cells of one study may differ in: what is compared, and what changes no result beyond rounding."""


class CellError(UserError, RuntimeError):
    """A cell that cannot be run as asked: it is in use, or its study was made with other settings."""


class CellBusyError(CellError):
    """Another process runs the cell."""


class Cell:
    """``<runs_dir>/<study>/<task>/<model>/<algorithm>/layer=<layer>/seed=<n>/``."""

    def __init__(self, config: Config, layer: str) -> None:
        self._config = config
        # A task's name may hold a slash, which would be one folder more.
        task = config.task.name.replace("/", "-")
        self.arms = Path(config.runs_dir) / config.study / task / config.model.name / config.algorithm.name
        self.folder = self.arms / f"layer={layer}" / f"seed={config.seed}"

    @property
    def result(self) -> Result | None:
        """The result of a finished cell, else None; ``ResultError`` where the report could not read it."""
        return finished(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cell for this process; the lock goes with the process, however it ends.

        Raises:
            CellBusyError: Another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK_FILE).open("a+") as file:
            if not _lock(file):
                file.seek(0)
                raise CellBusyError(f"{self.folder} is being run by process {file.read() or '?'}; wait or stop it")
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def check(self, identity: Mapping[str, str]) -> None:
        """Compare with the settings that all cells of this task, model and algorithm share in the study.

        Args:
            identity: What weights and data are, beyond their names: the same name can stand for others another day.

        Raises:
            CellError: The study has other settings; the message lists the keys that differ.
        """
        path = self.arms / SETTINGS_FILE
        if not path.exists():
            return
        theirs, ours = _flat(OmegaConf.to_container(OmegaConf.load(path))), _flat(self._shared(identity))
        differing = [
            f"{key}: {theirs.get(key, 'absent')} there, {ours.get(key, 'absent')} here"
            for key in sorted(theirs.keys() | ours.keys())
            if theirs.get(key, "absent") != ours.get(key, "absent")
        ]
        if differing:
            raise CellError(
                f"{self.arms} was made with other settings; cells of one study must share them. "
                f"Differs: {'; '.join(differing)}. Use another study=<name>, or the same settings."
            )

    def claim(self, identity: Mapping[str, str]) -> None:
        """Record the shared settings, unless another cell has, and this cell's own; see ``check`` for the error."""
        path = self.arms / SETTINGS_FILE
        with suppress(FileExistsError):  # the cell that came first decides
            _write(path, OmegaConf.to_yaml(self._shared(identity)), replace=False)
        self.check(identity)
        forget_failure(self.folder)
        _write(self.folder / CONFIG_FILE, OmegaConf.to_yaml(_plain(self._config)))

    def failed(self, error: Exception, step: int) -> None:
        """Leave the cause on disk, for the study's status; not of one that is finished or in other hands."""
        if not isinstance(error, CellBusyError) and not (self.folder / RESULT_FILE).exists():
            write_failure(self.folder, Failure(str(error), type(error).__name__, step))

    def finished(self) -> None:
        """The result is there: what went wrong before it does not matter any more."""
        forget_failure(self.folder)

    def _shared(self, identity: Mapping[str, str]) -> dict[str, Any]:
        settings = _plain(self._config) | {"identity": dict(identity)}
        for group, free in (("task", FREE_TASK_KEYS), ("model", FREE_MODEL_KEYS)):
            settings[group] = {key: value for key, value in settings[group].items() if key not in free}
        return {key: value for key, value in settings.items() if key not in FREE_KEYS}

    def rows(self, phase: str) -> list[PanelRow]:
        """The panel rows of one phase, empty when it has not been evaluated.

        Raises:
            CellError, ResultError: Rows are missing or bad: somebody edited the file.
        """
        return self._rows_in(self.folder / EPISODES_FILE, phase)

    def rows_of_another(self, phase: str, n_items: int) -> list[PanelRow]:
        """All rows of a phase in any cell with these settings, whatever its layer and seed; empty where none has them.

        Of a phase before training they are this cell's too.
        """
        for path in sorted(self.arms.glob(f"layer=*/seed=*/{EPISODES_FILE}")):
            with suppress(UserError, OSError):  # somebody edited it, which is for its own run to tell
                rows = self._rows_in(path, phase)
                if len({row.item for row in rows}) == n_items:
                    return rows
        return []

    def _rows_in(self, path: Path, phase: str) -> list[PanelRow]:
        samples = settings_of(phase, self._config.evaluation).samples
        rows = read_rows(path, phase) if path.exists() else []
        if len({row.item for row in rows}) * samples != len(rows):
            raise CellError(f"{path}: rows of phase {phase} are missing; delete the file and they are played again")
        return rows

    def add_rows(self, rows: list[PanelRow]) -> None:
        """Append the rows of a phase: all of them or, if this is cut off, none."""
        path = self.folder / EPISODES_FILE
        before = path.read_text() if path.exists() else ""
        _write(path, before + "".join(json.dumps(asdict(row)) + "\n" for row in rows))

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file, whole or not at all."""
        _write(self.folder / name, json.dumps(value, indent=1) + "\n")


def _lock(file: IO[str]) -> bool:
    """Take the lock; whoever asks for a study's status holds it for an instant, so ask more than once."""
    for wait_s in (0.02, 0.1, 0.4, 0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(wait_s)
    return False


def differing_keys(ours: Config, theirs: Config) -> set[str]:
    """The dotted keys of the settings in which two configurations differ."""
    flat, other = _flat(_plain(ours)), _flat(_plain(theirs))
    return {key for key in flat.keys() | other.keys() if flat.get(key) != other.get(key)}


def _plain(config: Config) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.structured(config))  # type: ignore[return-value]


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {key: leaf for name, child in tree.items() for key, leaf in _flat(child, f"{prefix}{name}.").items()}


def _write(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file whole or not at all; without ``replace``, raise ``FileExistsError`` when it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    if replace:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
