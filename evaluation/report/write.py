"""All files of a report, from what the study showed."""

from __future__ import annotations

from pathlib import Path

from evaluation.report.csv_files import write_csv
from evaluation.report.figures.gallery import draw_all
from evaluation.report.page import write_pages
from evaluation.report.view import StudyView


def write_report(view: StudyView) -> list[Path]:
    """Write figures, CSV files and pages into the study's folder; return their paths.

    Raises:
        OSError: the folder cannot be written.
    """
    figures = draw_all(view)
    drawn = [view.folder / f"{figure.name}.png" for figure in figures]
    return [*write_pages(view, figures), *drawn, *write_csv(view)]
