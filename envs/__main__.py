"""``python -m envs``: a table of the registered tasks."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from envs.registry import tasks


def table() -> Table:
    """Return one row per task: id, turns, splits, data source, the extra it needs, what it is."""
    grid = Table("id", "turns", "splits", "data source", "extra", "summary", title="registered tasks")
    grid.columns[0].no_wrap = True
    for env_id, row in tasks().items():
        if row.card is None:
            grid.add_row(env_id, "", "", "", "", f"[red]cannot be loaded:[/red] {escape(str(row.error))}")
            continue
        card = row.card
        extra = escape(f"onelayer[{card.extra}]") if card.extra else "-"
        grid.add_row(env_id, str(card.turns), ", ".join(card.splits), card.source, extra, card.summary)
    return grid


if __name__ == "__main__":
    Console().print(table())
