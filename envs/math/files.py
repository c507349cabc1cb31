"""Rows of a local JSONL or parquet file, each with a name that an error can use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUFFIXES = (".jsonl", ".parquet")

Row = tuple[str, dict[str, Any]]
"""Where the row is (``train.jsonl, row 3``) and its fields."""


def find(path: str, split: str) -> list[Path]:
    """Return the files of ``split`` in a folder: ``train.jsonl``, ``train.parquet`` or shards ``train-*.parquet``.

    Raises:
        ValueError: the split is there in both formats.
    """
    found = {
        suffix: sorted([*Path(path).glob(f"{split}{suffix}"), *Path(path).glob(f"{split}-*{suffix}")])
        for suffix in SUFFIXES
    }
    if all(found.values()):
        raise ValueError(f"{path} has split {split!r} both as {' and as '.join(SUFFIXES)}; keep one")
    return next((files for files in found.values() if files), [])


def read(file: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another format, or a file that cannot be parsed.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no data file {file}")
    if file.suffix == ".jsonl":
        return _read_jsonl(file)
    if file.suffix == ".parquet":
        return _read_parquet(file)
    raise ValueError(f"{file}: unknown format {file.suffix!r}; valid: {', '.join(SUFFIXES)}")


def _read_jsonl(file: Path) -> Iterator[Row]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{file.name}, row {number}"
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{where} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise ValueError(f"{where} is a JSON {type(row).__name__}, not an object")
                yield where, row
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} is not UTF-8 text: {error}") from error


def _read_parquet(file: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{file.name} is not parquet: {error}") from error
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{file.name}, row {number}", row
