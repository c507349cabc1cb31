"""The report for a terminal: a table per task, model and algorithm, and the table that one run ends with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evaluation.captions import caveats, command, folded, legend, missing_anchors, provenance
from evaluation.cells import read_cell
from evaluation.comparison import Comparison
from evaluation.findings import findings
from evaluation.formats import HEADERS, cells, inside, spread, title
from evaluation.report.view import StudyView
from evaluation.results import EPISODES_FILE, RESULT_FILE, Result
from evaluation.stats import mean_interval, paired_difference


def as_tables(view: StudyView, width: int) -> RenderableType:
    """The report for a terminal ``width`` columns wide: tables, and below each what to know about it."""
    parts: list[RenderableType] = []
    for comparison, profile in zip(view.comparisons, view.profiles, strict=True):
        parts += [Text(title(comparison), style="bold"), *_tables(comparison, width)]
        parts += [Text(sentence) for sentence in [*provenance(comparison), legend(view.confidence)]]
        parts += [Text(sentence) for sentence in findings(profile)]
        parts += [Text(f"* {sentence}") for sentence in caveats(comparison)]
        if owed := missing_anchors(comparison, view.folder):
            parts += [Text("Run what is missing:"), Text(f"  {folded(owed)}")]
        parts.append(Text())
    if view.problems:
        parts.append(Text(f"Left out ({len(view.problems)}):"))
        parts += [Text(f"  {inside(view.folder, problem.path)}: {problem.reason}") for problem in view.problems]
        parts.append(Text())
    return Group(*parts)


def _tables(comparison: Comparison, width: int) -> list[Table]:
    """One table where it fits; else scores and the rest apart, at the narrowest with intervals under their numbers."""
    rows = [dict(zip(HEADERS, cells(arm), strict=True)) for arm in comparison.arms]
    scores = ("layer", "seeds", "before", "after", "gain", "contribution C")
    rest = ("layer", *(name for name in HEADERS if name not in scores))
    stacked = [{name: text.replace(" [", "\n[") for name, text in row.items()} for row in rows]
    layouts = [[_table(tuple(HEADERS), rows)], [_table(scores, rows), _table(rest, rows)]]
    unbound = Console(width=1000)
    for tables in layouts:
        if unbound.measure(tables[0]).maximum <= width:
            return tables
    return [_table(scores, stacked), _table(rest, rows)]


def _table(names: Sequence[str], rows: Sequence[dict[str, str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if HEADERS[name] == "left" else "right")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in names))
    return table


def summary_table(result: Result, folder: Path) -> RenderableType:
    """What one run ends with: its scores, where its files are, and the commands that make a study of it.

    Args:
        result: the finished cell.
        folder: where it lies, ``runs/<study>/<task>/<model>/<algorithm>/layer=<layer>/seed=<n>``.

    Raises:
        ResultError: the folder's rows are bad or disagree with its result.
    """
    cell = read_cell(folder)
    name = f"{result.task} · {result.model} · {result.algorithm} · layer {result.layer} · seed {result.seed}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("score")
    table.add_column("value [95 % interval]", justify="right")
    table.add_row("before", spread(mean_interval(cell.before_IK)))
    covers = "The model as it came, untrained."
    if result.layer != "base":
        covers = "One training seed: the intervals cover the choice of panel items only."
        table.add_row("after", spread(mean_interval(cell.after_IK)))
        table.add_row("gain, paired", spread(paired_difference(cell.after_IK, cell.before_IK), "+"))
    if result.greedy:
        table.add_row("greedy", " -> ".join(f"{score:.3f}" for score in result.greedy.values()))
    for task_type, part in result.by_task_type.items():
        interval = f"{part['score']:.3f} [{part['low']:.3f}, {part['high']:.3f}]"
        table.add_row(f"{task_type}, {part['items']} items", f"{part['score_before']:.3f} -> {interval}")
    panel, study, last = result.panel, folder.parents[4], result.n_blocks - 1
    blocks = sorted({0, result.n_blocks // 2, last})
    layers = ["base", "full", *map(str, blocks)]
    lines = [
        f"{result.source}, split {result.split}; {len(panel['items'])} items x {panel['samples']} samples. {covers}",
        f"Files in {folder}: {RESULT_FILE}, {EPISODES_FILE} (every attempt), audit.json, metrics.jsonl, config.yaml",
        "Next, the anchors and three blocks, then what each contributes:",
        f"  {folded(command(result, study, layers, [result.seed]))}",
        f"  python -m evaluation.report {shlex.quote(str(study))}",
    ]
    return Group(Text(name, style="bold"), table, *map(Text, lines))
