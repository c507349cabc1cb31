"""What a finished cell leaves on disk, schema 1: ``result.json`` and ``episodes.jsonl``, written, read and checked.

Shapes: ``_I`` panel items, ``_K`` samples per item.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from conf.errors import UserError

SCHEMA = 1
RESULT_FILE = "result.json"
EPISODES_FILE = "episodes.jsonl"
METRICS_FILE = "metrics.jsonl"
_EXACT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ResultError(UserError, ValueError):
    """A file of a cell is not what the schema says; the message names file, field or line, expected and found."""


@with_config(_EXACT)
class Panel(TypedDict):
    """The fixed questions every arm of a study is asked: ``items`` are indices into ``split``."""

    task: str
    split: str
    items: list[int]
    item_ids: list[str]
    samples: int
    seed: int
    temperature: float


@with_config(_EXACT)
class Audit(TypedDict):
    """Proof of the mask: relative weight change of every block; ``other``: of embeddings, final norm and head."""

    ok: bool
    relative_change: list[float]
    other: float


@with_config(_EXACT)
class TypeScore(TypedDict):
    """Scores of the panel's items of one type, before and after training; ``low``/``high`` are of ``score``."""

    items: int
    score_before: float
    score: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """``result.json``: one finished cell. Scores are mean outcomes in [0, 1], ``low``/``high`` their 95 % interval."""

    __pydantic_config__ = _EXACT

    schema: int = SCHEMA
    status: str = "finished"
    study: str
    task: str
    model: str
    algorithm: str
    layer: str
    """The label the cell was started with: ``base``, ``full``, ``15``, ``mid:1``."""
    blocks: list[int]
    """The decoder blocks that train."""
    n_blocks: int
    seed: int
    panel: Panel
    source: str
    """Where the task's data came from, in words."""
    split: str
    score_before: float
    low_before: float
    high_before: float
    score: float
    low: float
    high: float
    steps: int
    seconds: float
    """Wall-clock time of the phases below; a resumed cell counts the start and evaluations of its last process."""
    seconds_per_phase: dict[str, float]
    """Wall-clock time by phase, summed over the run; the report shows ``update``."""
    tokens_per_second: float
    peak_memory_bytes: int
    learning_rate: float
    audit: Audit
    versions: dict[str, str]
    model_source: str
    """Where the weights came from, in words."""
    overrides: list[str]
    """What was set on the command line, in Hydra's words."""
    counts: dict[str, int]
    finished_at: str
    """ISO 8601."""
    by_task_type: dict[str, TypeScore] = field(default_factory=dict)
    """Empty where the task names no types."""
    greedy: dict[str, float] = field(default_factory=dict)
    """Scores ``before`` and ``after`` of greedy answers to the same items, where they were asked for."""


@dataclass(frozen=True, kw_only=True)
class PanelRow:
    """One line of ``episodes.jsonl``: one attempt at one panel item."""

    __pydantic_config__ = _EXACT

    phase: str
    """``before``, ``after``, ``step=10``; with ``greedy_`` before it for greedy answers."""
    item: int
    """The index into the split, one of ``Panel.items``."""
    item_id: str
    sample: int
    outcome: float
    success: bool
    status: str
    reward_terms: dict[str, float]
    turns: int
    tokens: int
    truncated: bool
    prompt: str
    """The environment's last answer before ``answer``; what the model read of it is the prompt profile's choice."""
    answer: str
    sampling_seed: int
    task_type: str = ""
    malformed: int = 0
    """Turns in which no action could be read."""
    inadmissible: int = 0
    """Turns whose action was read but could not be carried out."""


_RESULT: TypeAdapter[Result] = TypeAdapter(Result)
_ROW: TypeAdapter[PanelRow] = TypeAdapter(PanelRow)


def write_result(folder: Path, result: Result) -> Path:
    """Write ``result.json`` so that it is there whole or not at all; return its path.

    Raises:
        ResultError: a field has the wrong type, or is nan or infinite.
    """
    path = Path(folder) / RESULT_FILE
    try:
        text = json.dumps(asdict(result), indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ResultError(f"{path}: cannot be written as JSON: {error}") from error
    _parse(_RESULT, text.encode(), str(path))
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return path


def read_result(path: Path) -> Result:
    """Read and check one ``result.json``.

    Raises:
        ResultError: not JSON, another schema version, a missing, unknown or mistyped field, an unfinished cell.
    """
    raw = Path(path).read_bytes()
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise ResultError(f"{path}: not JSON: {error}") from error
    # The version first: fields of another version would only confuse.
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise ResultError(f"{path}: field schema: expected {SCHEMA}, found {found!r}")
    result = _parse(_RESULT, raw, str(path))
    if result.status != "finished":
        raise ResultError(f"{path}: field status: expected 'finished', found {result.status!r}")
    return result


def read_rows(path: Path, phase: str | None = None) -> list[PanelRow]:
    """Read the rows of ``episodes.jsonl``, those of one ``phase`` where given.

    Raises:
        ResultError: a line is torn, not JSON or not a row; names file and line.
    """
    *lines, tail = Path(path).read_bytes().split(b"\n")
    if tail:
        raise ResultError(f"{path}: line {len(lines) + 1}: torn, it does not end in a newline: {tail[:60]!r}")
    rows = [_parse(_ROW, line, f"{path}: line {number}") for number, line in enumerate(lines, start=1)]
    return [row for row in rows if phase is None or row.phase == phase]


def score_array(rows: Sequence[PanelRow], panel: Panel) -> np.ndarray:
    """Arrange the outcomes of one phase by panel item and sample.

    Args:
        rows: the rows of one phase, in any order.
        panel: what was asked.

    Returns:
        ``scores_IK``, outcomes in [0, 1]; nan where the environment broke (``env_error``): no score is not a score 0.

    Raises:
        ResultError: an (item, sample) is missing, there twice or not in the panel, or an outcome is outside [0, 1].
    """
    if not len(set(panel["items"])) == len(panel["items"]) == len(panel["item_ids"]):
        raise ResultError("field panel: items must be distinct and have one item_id each")
    position = {item: place for place, item in enumerate(panel["items"])}
    scores_IK = np.full((len(panel["items"]), panel["samples"]), np.nan)
    seen_IK = np.zeros(scores_IK.shape, dtype=bool)
    for row in rows:
        where = f"item {row.item} ({row.item_id}), sample {row.sample}"
        place = position.get(row.item)
        if place is None or not 0 <= row.sample < panel["samples"]:
            raise ResultError(f"{where}: not in the panel of {len(position)} items x {panel['samples']} samples")
        # An episode whose environment never started does not know its id.
        if row.item_id != panel["item_ids"][place] and row.status != "env_error":
            raise ResultError(f"{where}: field item_id: expected {panel['item_ids'][place]!r}, found {row.item_id!r}")
        if seen_IK[place, row.sample]:
            raise ResultError(f"{where}: there twice")
        if not -1e-6 <= row.outcome <= 1 + 1e-6:
            raise ResultError(f"{where}: field outcome: expected a number in [0, 1], found {row.outcome}")
        seen_IK[place, row.sample] = True
        if row.status != "env_error":
            scores_IK[place, row.sample] = row.outcome
    if not seen_IK.all():
        place, sample = np.argwhere(~seen_IK)[0]
        first = f"item {panel['items'][place]} ({panel['item_ids'][place]}), sample {sample}"
        raise ResultError(f"{(~seen_IK).sum()} of {seen_IK.size} (item, sample) pairs are missing, first: {first}")
    return scores_IK


def _parse(adapter: TypeAdapter[Any], raw: bytes, where: str) -> Any:
    """Return ``raw`` as the adapter's type, or raise ``ResultError`` about its first fault."""
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        fault, *more = error.errors()
        field = ".".join(str(part) for part in fault["loc"])
        found = "nothing" if fault["type"].startswith("missing") else repr(fault["input"])[:80]
        rest = f" (and {len(more)} more)" if more else ""
        label = f"field {field}: " if field else ""
        raise ResultError(f"{where}: {label}{fault['msg']}, found {found}{rest}") from error
