"""The report as pages: ``report.html``, one file that asks nothing of the network, and ``report.md``."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluation.captions import caveats, folded, legend, missing_anchors, provenance
from evaluation.comparison import ANCHORS, Comparison, singles
from evaluation.formats import HEADERS, cells, inside, title
from evaluation.report.costs import NO_SIZES
from evaluation.report.csv_files import type_scores
from evaluation.report.episodes import chosen_episodes
from evaluation.report.figures.gallery import Figure
from evaluation.report.landmarks import best_single
from evaluation.report.verdict import Verdict, verdicts
from evaluation.report.view import StudyView

HTML, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True)
class Section:
    """One comparison, as both pages show it."""

    anchor: str
    title: str
    verdict: Verdict
    facts: list[str]
    caveats: list[str]
    headers: list[str]
    rows: list[list[str]]
    types: list[list[str]]
    """Scores by task type, the first row a header; empty where the task names no types."""
    owed: str | None
    """The command that runs missing anchors."""


def write_pages(view: StudyView, figures: Sequence[Figure]) -> list[Path]:
    """Write both pages into the study's folder and return their paths.

    Args:
        view: the study.
        figures: those that were drawn there as PNG files.
    """
    context = {
        "view": view,
        "sections": [
            _section(view, place, comparison, verdict)
            for place, (comparison, verdict) in enumerate(zip(view.comparisons, verdicts(view), strict=True))
        ],
        "legend": legend(view.confidence),
        "alone": len(view.comparisons) == 1,
        "missing": _missing(view),
        "inside": lambda path: inside(view.folder, path),
        "folded": folded,
    }
    episodes, how = chosen_episodes(view.comparisons)
    script, sheet = _source("report.js"), _source("report.css")
    html = _environment(autoescape=True).get_template("report.html.j2").render(
        **context,
        figures=[(figure, _pictures(view, figure)) for figure in figures if _shown(figure, figures)],
        episodes=episodes,
        how=how,
        script=Markup(script),
        sheet=Markup(sheet),
        # Only this very script may run, whatever a prompt holds.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip
    markdown = _environment(autoescape=False).get_template("report.md.j2").render(**context, figures=figures)
    written = []
    for name, text in ((HTML, html), (MARKDOWN, markdown)):
        path = view.folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _missing(view: StudyView) -> dict[str, list[str]]:
    """By figure, in sentences: what it would show if more had been kept."""
    sizes = any(np.isfinite(cost.flops) for found in view.costs for cost in found)
    cosines = [f"No cosine between updates: {reason}." for reason in view.no_cosines]
    return {"audit": cosines, "cost": [] if sizes else [NO_SIZES]}


def _shown(figure: Figure, figures: Sequence[Figure]) -> bool:
    """The page shows contributions once: the figure of every part that was trained, where there is no profile."""
    return figure.name != "contribution" or "depth" not in {other.name for other in figures}


def _section(view: StudyView, place: int, comparison: Comparison, verdict: Verdict) -> Section:
    owed = missing_anchors(comparison, view.folder)
    return Section(
        anchor=f"comparison-{place}",
        title=title(comparison),
        verdict=verdict,
        facts=provenance(comparison),
        caveats=[*caveats(comparison), *verdict.warnings],
        headers=list(HEADERS),
        rows=[cells(arm) for arm in comparison.arms],
        types=_type_table(comparison, view.confidence),
        owed=owed,
    )


def _type_table(comparison: Comparison, confidence: float) -> list[list[str]]:
    """Types by arms: the anchors, the best single block, and arms that train several blocks."""
    best = best_single(comparison)
    few = len(comparison.arms) <= 5
    shown = [arm.layer for arm in comparison.arms
             if few or arm.layer in ANCHORS or arm is best or arm not in singles(comparison)]  # fmt: skip
    found = {(row["type"], row["layer"]): row for row in type_scores(comparison, confidence)}
    types = list(dict.fromkeys(kind for kind, _ in found))
    if not types:
        return []
    names = [f"{layer} (best block)" if best and layer == best.layer and not few else layer for layer in shown]
    body = []
    for kind in types:
        row = [f"{kind}, {max(found[kind, layer]['items'] for layer in shown if (kind, layer) in found)} items"]
        for layer in shown:
            score = found.get((kind, layer))
            row.append(f"{score['score']:.3f} [{score['low']:.3f}, {score['high']:.3f}]" if score else "n/a")
        body.append(row)
    return [["type", *names], *body]


def _pictures(view: StudyView, figure: Figure) -> list[dict[str, Any]]:
    """The figure as data URIs: one for the study, or one per comparison, so that each is readable on a phone."""
    views = [view] if figure.together else [view.only(comparison) for comparison in view.comparisons]
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        for part in views:
            if figure.draw(part, path):
                data = base64.b64encode(path.read_bytes()).decode()
                names = "; ".join(title(comparison) for comparison in part.comparisons)
                pictures.append({"uri": f"data:image/svg+xml;base64,{data}", "alt": f"{figure.title}: {names}"})
    return pictures


def _source(name: str) -> str:
    loader = PackageLoader("evaluation.report")
    return loader.get_source(Environment(), name)[0]


def _environment(*, autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("evaluation.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
