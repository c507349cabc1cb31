"""Report on a study: ``python -m evaluation.report runs/default [--json] [--confidence 0.95]``.

Prints one table per task, model and algorithm; writes ``report.html``, ``report.md``, figures and ``csv/`` into the
study's folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from evaluation.cells import StudyCells, read_study
from evaluation.formats import inside, title
from evaluation.report.data import as_data
from evaluation.report.tables import as_tables
from evaluation.report.verdict import headline
from evaluation.report.view import view_study
from evaluation.report.write import write_report

_RESULTS = "*/*/*/layer=*/seed=*/result.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; return 0, or 2 where there is no finished cell to report on or the folder cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.report", description="Report on a study.")
    parser.add_argument("study", type=Path, help="the study's folder, e.g. runs/default")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage of every interval (0.95)")
    options = parser.parse_args(arguments)
    if not 0 < options.confidence < 1:
        parser.error(f"--confidence must lie between 0 and 1, found {options.confidence}")
    folder, confidence = options.study, options.confidence
    study = read_study(folder)
    if not study.cells:
        print(_nothing_in(study), file=sys.stderr)
        return 2
    if len(names := sorted({cell.result.study for cell in study.cells})) > 1:
        print(f"error: {folder} holds several studies, name one: {', '.join(names)}", file=sys.stderr)
        return 2
    view = view_study(study, confidence)
    if not view.comparisons:
        print(_nothing_in(StudyCells(folder, [], view.problems)), file=sys.stderr)
        return 2
    try:
        written = write_report(view)
    except OSError as error:
        print(f"error: the report cannot be written: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(as_data(view), indent=1, allow_nan=False))
        return 0
    console = Console()
    if not console.is_terminal:
        # A pipe has no width of its own: fold nothing.
        console = Console(width=240, color_system=None)
    console.print(as_tables(view, console.width))
    for comparison, profile in zip(view.comparisons, view.profiles, strict=True):
        console.print(Text(f"{title(comparison)}: {headline(comparison, profile)}"))
    figures = ", ".join(path.name for path in written if path.suffix == ".png")
    console.print(Text(f"Written: {folder / 'report.html'} (open it in a browser), report.md, csv/ and {figures}"))
    return 0


def _nothing_in(study: StudyCells) -> str:
    """Say why there is no report, and which studies there are."""
    folder = study.folder
    what = "holds no finished cell" if folder.is_dir() else "does not exist"
    lines = [f"error: study folder {folder} {what}"]
    lines += [f"  {inside(folder, problem.path)}: {problem.reason}" for problem in study.problems]
    found = {path.parents[5] for root in (folder.parent, Path("runs")) for path in root.glob(f"*/{_RESULTS}")}
    names = ", ".join(str(path) for path in sorted(found - {folder})) or "none"
    return "\n".join([*lines, f"studies with finished cells nearby: {names}"])


if __name__ == "__main__":
    sys.exit(main())
