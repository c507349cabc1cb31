"""Folders that are prepared once and kept: whole or absent, whoever is interrupted, however many start at once."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.errors import UserError

logger = logging.getLogger(__name__)


class ModelError(UserError, RuntimeError):
    """A model cannot be had from a source, or from any; the message says why."""


def cache_root() -> Path:
    """Where prepared models live: ``$ONELAYER_CACHE``, else ``~/.cache/onelayer``."""
    return Path(os.environ.get("ONELAYER_CACHE") or "~/.cache/onelayer").expanduser()


def prepared(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached folder ``name``, calling ``build(folder)`` to fill it when it is not there yet.

    ``build`` writes into a temporary folder that is renamed when it returns, so a folder under its final name is
    complete. One process builds; others that want the same folder wait for it.

    Raises:
        ModelError: the cache folder cannot be written.
        Exception: whatever ``build`` raises; nothing is left behind.
    """
    final = cache_root() / name
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(final.parent / f"{name}.lock"):
            if not final.is_dir():
                _build(final, build)
    except PermissionError as error:
        raise ModelError(f"the cache {cache_root()} cannot be written ({error}); set ONELAYER_CACHE") from error
    return final


def _build(final: Path, build: Callable[[Path], None]) -> None:
    # The lock is ours, so whatever a killed preparation of this folder left behind belongs to nobody.
    for leftover in final.parent.glob(f".{final.name}-*"):
        shutil.rmtree(leftover)
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        build(temporary)
        temporary.chmod(0o755)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process is preparing %s; waiting for it", path.stem)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
