"""A W&B Report of a study: ``python -m evaluation.wandb_report runs/default [--dry-run] [--cells]``.

Writes the study's own report first, sends its figures and tables to a run of the group, and then makes the W&B Report,
or updates the one it made before. What was sent lies in ``wandb_report.json`` in the study's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from conf.errors import UserError
from conf.schema import TrackerConfig
from evaluation.cells import Cell, read_study
from evaluation.report.view import StudyView, view_study
from evaluation.report.write import write_report
from evaluation.results import Result
from evaluation.wandb_run import LOGIN, CellName, WandbError, publish, run_id

SPEC_FILE = "wandb_report.json"
_OFFLINE = "--dry-run writes the report's specification and sends nothing"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the report; return 0, or 2 with a message where it cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.wandb_report", description="A W&B Report of a study.")
    parser.add_argument("study", type=Path, help="the study's folder, e.g. runs/default")
    parser.add_argument("--project", default=TrackerConfig.project, help="the W&B project (onelayer)")
    parser.add_argument("--entity", help="the W&B user or team; yours where not given")
    parser.add_argument("--dry-run", action="store_true", help=f"only write {SPEC_FILE}; needs no account")
    parser.add_argument("--cells", action="store_true", help="first make runs of the cells that have none")
    parser.add_argument("--new", action="store_true", help="make another report in place of updating the last one")
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage of every interval (0.95)")
    options = parser.parse_args(arguments)
    if not 0 < options.confidence < 1:
        parser.error(f"--confidence must lie between 0 and 1, found {options.confidence}")
    try:
        make(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def make(options: argparse.Namespace) -> None:
    """Do what the command line asks for.

    Raises:
        WandbError: No finished cell, a package is missing, no account, or the server refused.
    """
    try:
        from evaluation.wandb_page import Material, blocks
    except ImportError as error:
        raise WandbError(f"{error}; install what reports need: pip install 'onelayer[wandb]'") from error
    folder = options.study
    study = read_study(folder)
    if not study.cells:
        raise WandbError(f"study folder {folder} holds no finished cell; python -m evaluation.report says more")
    view = view_study(study, options.confidence)
    if not view.comparisons:
        raise WandbError(f"study folder {folder} holds nothing that compares; python -m evaluation.report says more")
    material = Material(folder, view.comparisons, view.problems, options.confidence, figures=_figures(view))
    offline = options.dry_run or os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    entity = (options.entity or "") if offline else _signed_in(options.entity)
    page = _page(material, blocks(material), options.project, entity)
    if offline:
        _write(folder, page, _sent_before(folder))
        print(f"Nothing was sent. Written: {folder / SPEC_FILE}")
        return
    lacking = [cell for cell in study.cells if run_id(cell.folder) is None]
    if options.cells:
        for cell in lacking:
            _publish(cell, options.project, entity)
    elif lacking:
        print(f"{len(lacking)} of {len(study.cells)} cells have no W&B run, so run sets lack them: --cells makes them")
    if unsent := [path for path in sorted(folder.rglob("offline-run-*/*.wandb")) if not _synced(path)]:
        print(f"{len(unsent)} offline runs are not sent yet: find {folder} -name 'offline-run-*' | xargs wandb sync")
    _send(material, options.project, entity)
    sent = _sent_before(folder)
    if not options.new and (sent.get("entity"), sent.get("project")) == (entity, options.project):
        page.id = sent["id"]
    try:
        page.save()
    except Exception as error:  # the client raises whatever its transport does
        raise WandbError(f"the server did not take the report: {error}; --new makes another one") from error
    _write(folder, page, {"entity": entity, "project": options.project, "id": page.id, "url": page.url})
    print(f"Report: {page.url}\nWritten: {folder / SPEC_FILE}")


def _figures(view: StudyView) -> dict[str, Path]:
    """Write the study's own report and return its figures.

    Raises:
        WandbError: The folder cannot be written.
    """
    from evaluation.wandb_page import FIGURES

    try:
        written = {path.stem: path for path in write_report(view) if path.suffix == ".png"}
    except OSError as error:
        raise WandbError(f"the study's own report cannot be written: {error}") from error
    return {name: written[name] for name in FIGURES if name in written}


def _signed_in(entity: str | None) -> str:
    """The entity to write to.

    Raises:
        WandbError: No key, a key that the server refuses, or no server.
    """
    import wandb

    try:
        api = wandb.Api(timeout=30)
        found = entity or api.default_entity
    except Exception as error:  # usage, authentication, transport: the client has a class for each
        raise WandbError(f"W&B cannot be used: {error}; {LOGIN}; {_OFFLINE}") from error
    if not found:
        raise WandbError(f"W&B names no entity for this key; say --entity=<user or team>; {_OFFLINE}")
    return found


def _page(material: Any, content: list[Any], project: str, entity: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    seeds = {cell.result.seed for comparison in material.comparisons for arm in comparison.arms for cell in arm.cells}
    return wr.Report(
        project=project,
        entity=entity,
        title=f"{material.study}: what each layer contributes"[:128],
        description=f"{len(material.comparisons)} comparisons, training seeds {', '.join(map(str, sorted(seeds)))}.",
        blocks=content,
        width="fluid",
    )


def _send(material: Any, project: str, entity: str) -> None:
    """Send figures, tables and depth curves as one run of the study's group."""
    import wandb

    from evaluation.wandb_page import REPORT_JOB

    run: Any = wandb.init(
        project=project,
        entity=entity,
        mode="online",
        group=material.study,
        job_type=REPORT_JOB,
        name=f"report on {material.study}",
        tags=[material.mark],
        dir=str(material.folder),
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    for row in material.curves():
        run.log(row)
    shown: dict[str, Any] = {name: wandb.Image(str(path)) for name, path in material.figures.items()}
    shown |= {name: wandb.Table(columns=head, data=rows) for name, (head, rows) in material.tables().items()}
    run.log(shown)
    for path in (material.folder / name for name in ("report.html", "report.md")):
        if path.is_file():
            run.save(str(path), base_path=str(material.folder), policy="now")
    run.finish()


def _publish(cell: Cell, project: str, entity: str) -> None:
    result: Result = cell.result
    name = CellName(result.study, result.task, result.model, result.algorithm, result.layer, result.seed)
    path = cell.folder / "config.yaml"
    config: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {"seed": result.seed}
    publish(cell.folder, name, config, TrackerConfig("wandb", project, "online", entity), result)


def _synced(path: Path) -> bool:
    return path.with_name(path.name + ".synced").exists()


def _sent_before(folder: Path) -> dict[str, Any]:
    path = folder / SPEC_FILE
    return json.loads(path.read_text()).get("sent", {}) if path.is_file() else {}


def _write(folder: Path, page: Any, sent: dict[str, Any]) -> None:
    model = page._to_model()  # the library has no public way to the specification of a report that is not saved
    spec = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    words = {"title": page.title, "description": page.description, "project": page.project, "entity": page.entity}
    (folder / SPEC_FILE).write_text(json.dumps({**words, "sent": sent, "spec": spec}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
