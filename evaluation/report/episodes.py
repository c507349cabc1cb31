"""Episodes for reading: the same few panel items for every arm, so that a page stays small and arms can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.cells import Cell
from evaluation.comparison import Comparison
from evaluation.formats import title
from evaluation.results import EPISODES_FILE, PanelRow, ResultError, read_rows

MOST = 240
"""Episodes in a page."""
LONGEST = 2000
"""Characters of a prompt or an answer; the middle of a longer one is left out, and said so."""


def chosen_episodes(comparisons: Sequence[Comparison], most: int = MOST) -> tuple[list[dict[str, Any]], str]:
    """Choose at most ``most`` episodes after training: of every arm its first seed, of every item its first sample.

    All arms of a comparison show the same items, spread evenly over the panel. Where there are more arms than
    episodes, arms are taken evenly over depth.

    Returns:
        The episodes as JSON types, and in words how they were chosen.
    """
    cells = [(comparison, arm.cells[0]) for comparison in comparisons for arm in comparison.arms]
    played = sum(c.after_IK.size for comparison in comparisons for arm in comparison.arms for c in arm.cells)
    if len(cells) > most:
        cells = [cells[place] for place in evenly(len(cells), most)]
    per_cell = max(most // len(cells), 1)
    found: list[dict[str, Any]] = []
    for comparison, cell in cells:
        items = comparison.result.panel["items"]
        shown = {items[place] for place in evenly(len(items), per_cell)}
        found += [_episode(comparison, cell, row) for row in _rows(cell) if row.item in shown and row.sample == 0]
    whole = all(len(comparison.result.panel["items"]) <= per_cell for comparison in comparisons)
    which = "every panel item" if whole else f"the same {per_cell} panel items, spread evenly over the panel,"
    arms = "every arm" if len(cells) < most else f"{len(cells)} arms"
    how = (
        f"{len(found)} of {played} episodes after training: of {arms} its first training seed, of {which} one attempt."
    )
    return found, how


def evenly(size: int, count: int) -> list[int]:
    """``count`` places spread evenly over ``size``, from the first on; all where there are no more."""
    if count >= size:
        return list(range(size))
    return [place * size // count for place in range(count)]


def shortened(text: str, most: int = LONGEST) -> str:
    """The text, without its middle where it is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _rows(cell: Cell) -> list[PanelRow]:
    try:
        rows = read_rows(cell.folder / EPISODES_FILE)
    except (OSError, ResultError):  # it could be read when the cell was: somebody deletes the study meanwhile
        return []
    return [row for row in rows if row.phase == "after"] or [row for row in rows if row.phase == "before"]


def _episode(comparison: Comparison, cell: Cell, row: PanelRow) -> dict[str, Any]:
    return {
        "comparison": title(comparison),
        "layer": cell.result.layer,
        "seed": cell.result.seed,
        "item": row.item,
        "type": row.task_type,
        "outcome": row.outcome,
        "success": row.success,
        "status": row.status,
        "terms": row.reward_terms,
        "turns": row.turns,
        "tokens": row.tokens,
        "truncated": row.truncated,
        "prompt": shortened(row.prompt),
        "answer": shortened(row.answer),
    }
