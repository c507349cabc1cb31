"""What a W&B Report of a study says, as blocks of ``wandb_workspaces``, and the tables and curves that it shows.

The report has a run of its own, which holds figures, tables and depth curves; the run sets show the cells' own runs.
"""

from __future__ import annotations

import csv
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces import expr

from evaluation.captions import caveats, legend, missing_anchors, provenance
from evaluation.cells import Problem
from evaluation.comparison import Comparison
from evaluation.formats import HEADERS, cells, inside, title

REPORT_JOB = "report"
FIGURES = {
    "heatmap": "Contribution by layer and task",
    "depth": "Contribution against depth",
    "contribution": "Contribution against depth, one panel per comparison",
    "intervals": "Base, full, best, middle, random",
    "agreement": "Do tasks, algorithms and seeds agree?",
    "learning": "Learning curves",
    "audit": "What moved",
    "cost": "What it cost",
}
_WIDTH = 24  # columns of a report's grid
_ARM_COLUMNS = [
    "task", "model", "algorithm", "layer", "blocks", "depth", "seeds", "before", "after", "after_low", "after_high",
    "gain", "gain_low", "gain_high", "C", "C_low", "C_high", "tie", "why_not",
]  # fmt: skip


@dataclass(frozen=True)
class Material:
    """What a study gives to its report."""

    folder: Path
    comparisons: Sequence[Comparison]
    problems: Sequence[Problem]
    confidence: float = 0.95
    mark: str = field(default_factory=lambda: f"report-{secrets.token_hex(4)}")
    """The tag of the report's own run, so that a report that is made again shows what was sent last."""
    figures: dict[str, Path] = field(default_factory=dict)
    """PNG files by the name of what they show, one of ``FIGURES``."""

    @property
    def study(self) -> str:
        """Its name, by which its runs are grouped."""
        return self.comparisons[0].result.study

    def tables(self) -> dict[str, tuple[list[str], list[list[Any]]]]:
        """Columns and rows by name: ``arms``, and every CSV that the study's own report wrote."""
        rows = [_arm_row(comparison, place) for comparison in self.comparisons for place in range(len(comparison.arms))]
        tables = {"arms": (list(_ARM_COLUMNS), rows)}
        # Figures have the plain names.
        return tables | {f"csv/{path.stem}": _read_csv(path) for path in sorted((self.folder / "csv").glob("*.csv"))}

    def curves(self) -> list[dict[str, float]]:
        """Rows of a run's history: ``depth``, and at it the gain and, where resolved, the contribution by comparison.

        A row belongs to one arm of one block; W&B draws a key's line through the rows that have it.
        """
        rows = []
        for comparison in self.comparisons:
            for arm in comparison.arms:
                if arm.depth is None or len(arm.result.blocks) != 1 or arm.gain is None:
                    continue
                row = {"depth": arm.depth, f"gain/{title(comparison)}": arm.gain.value}
                if arm.contribution and arm.contribution.resolved:
                    row |= {
                        f"{end}/{title(comparison)}": value
                        for end, value in zip(
                            ("C", "C low", "C high"),
                            (arm.contribution.value, arm.contribution.low, arm.contribution.high),
                            strict=True,
                        )
                    }
                rows.append(row)
        return sorted(rows, key=lambda row: row["depth"])


def blocks(material: Material) -> list[Any]:
    """The report from top to bottom."""
    found: list[Any] = [wr.TableOfContents()]
    if material.figures:
        found += [wr.H1("Figures"), _figures(material)]
    curves = {key for row in material.curves() for key in row}
    for comparison in material.comparisons:
        found += [wr.H1(title(comparison)), *_words(material, comparison)]
        found.append(_runs(material, comparison, curves))
    found += [wr.H1("Tables"), _tables(material)]
    if material.problems:
        left_out: list[Any] = [
            f"{inside(material.folder, problem.path)}: {problem.reason}" for problem in material.problems
        ]
        found += [wr.H1("Left out"), wr.UnorderedList(items=left_out)]
    return found


def _words(material: Material, comparison: Comparison) -> list[Any]:
    lines = [_row(list(HEADERS)), _row([":---" if side == "left" else "---:" for side in HEADERS.values()])]
    lines += [_row(cells(arm)) for arm in comparison.arms]
    notes: list[Any] = caveats(comparison)
    said: list[Any] = [
        wr.MarkdownBlock("\n".join(lines)),
        wr.P(" ".join([*provenance(comparison), legend(material.confidence)])),
        wr.UnorderedList(items=notes),
    ]
    if owed := missing_anchors(comparison, material.folder):
        said += [wr.P("Run what is missing:"), wr.MarkdownBlock(f"```sh\n{owed}\n```")]
    return said


def _figures(material: Material) -> Any:
    panels: list[Any] = [
        wr.MediaBrowser(
            title=FIGURES[name], media_keys=[name], num_columns=1, layout=wr.Layout(0, 14 * place, _WIDTH, 14)
        )
        for place, name in enumerate(material.figures)
    ]
    return wr.PanelGrid(runsets=[_report_run(material)], panels=panels)


def _tables(material: Material) -> Any:
    panels: list[Any] = [
        wr.WeavePanelSummaryTable(table_name=name, layout=wr.Layout(0, 10 * place, _WIDTH, 10))
        for place, name in enumerate(material.tables())
    ]
    return wr.PanelGrid(runsets=[_report_run(material)], panels=panels)


def _runs(material: Material, comparison: Comparison, curves: set[str]) -> Any:
    """Learning curves and depth from the runs themselves: all arms, those of one block, and the report's curves."""
    result = comparison.result
    of_cells = [
        expr.Metric("Group") == material.study,
        expr.Metric("JobType") == result.task,
        expr.Tags().isin([result.model[:64]]),
        expr.Tags().isin([result.algorithm[:64]]),
    ]
    order = [wr.OrderBy(wr.SummaryMetric("score"))]
    columns = ["run:displayName", "summary:score_before", "summary:score", "summary:gain", "summary:depth"]
    runsets = [
        wr.Runset(name="all arms", filters=of_cells, order=order, pinned_columns=columns),
        wr.Runset(
            name="one block", filters=[*of_cells, expr.Tags().isin(["one block"])], order=order, pinned_columns=columns
        ),
        _report_run(material),
    ]
    half = _WIDTH // 2
    panels: list[Any] = [
        wr.LinePlot(title="Reward while training", x="Step", y=["reward"], groupby=wr.Config("layer"),
                    layout=wr.Layout(0, 0, half, 9)),
        wr.ScatterPlot(title="Gain of each run against depth", x=wr.SummaryMetric("depth"), y=wr.SummaryMetric("gain"),
                       layout=wr.Layout(half, 0, half, 9)),
    ]  # fmt: skip
    shown: list[Any] = [
        key for key in (f"{what}/{title(comparison)}" for what in ("C low", "C", "C high")) if key in curves
    ]
    if shown := shown or sorted(curves & {f"gain/{title(comparison)}"}):
        panels.append(
            wr.LinePlot(title="Contribution against relative depth, with its interval" if len(shown) > 1 else
                        "Gain against relative depth", x="depth", y=shown, layout=wr.Layout(0, 9, _WIDTH, 9))
        )  # fmt: skip
    return wr.PanelGrid(runsets=runsets, panels=panels)


def _report_run(material: Material) -> Any:
    mine = [
        expr.Metric("Group") == material.study,
        expr.Metric("JobType") == REPORT_JOB,
        expr.Tags().isin([material.mark]),
    ]
    return wr.Runset(name="figures and tables of this report", filters=mine)


def _arm_row(comparison: Comparison, place: int) -> list[Any]:
    arm = comparison.arms[place]
    result, score, gain, found = arm.result, arm.score, arm.gain, arm.contribution
    known = found if found and found.resolved else None
    return [
        *(result.task, result.model, result.algorithm, arm.layer, cells(arm)[1], arm.depth),
        *(",".join(map(str, arm.seeds)), arm.score_before, score.value, score.low, score.high),
        *((gain.value, gain.low, gain.high) if gain else (None, None, None)),
        *((known.value, known.low, known.high) if known else (None, None, None)),
        *(bool(found and found.tie), found.reason if found else ""),
    ]


def _read_csv(path: Path) -> tuple[list[str], list[list[Any]]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    # A column is numbers only where all of it is: W&B refuses a table that mixes types.
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    typed = [
        [(float(text) if text else None) if number else text for text, number in zip(row, numeric, strict=True)]
        for row in rows
    ]
    return header, typed


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:  # that is the answer
        return False
    return True


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"
