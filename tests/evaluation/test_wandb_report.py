"""A study as a W&B Report: what is sent to the server, what is written without one, and what is said when it fails."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from wandb_client import wandb_api

from evaluation import wandb_report
from evaluation.wandb_run import run_id

__all__ = ["wandb_api"]

LAYERS = {"base": 0.0, "full": 1.0, "3": 0.25, "15": 0.75}


@pytest.fixture
def study(write_cell, tmp_path):
    """Base, full and two blocks on two tasks: block 15 recovers three quarters, block 3 one."""
    for task in ("math", "code"):
        panel = {"task": task, "split": "test", "items": list(range(100, 140)), "samples": 2, "seed": 0}
        panel |= {"item_ids": [f"test-{item}" for item in panel["items"]], "temperature": 1.0}
        for layer, share in LAYERS.items():
            after_IK = np.zeros((40, 2))
            after_IK[: int(40 * share)] = 1
            write_cell(np.zeros((40, 2)), after_IK, layer=layer, task=task, panel=panel)
    return tmp_path / "runs" / "demo"


def spec_of(study):
    return json.loads((study / wandb_report.SPEC_FILE).read_text())


def grids(spec):
    return [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]


def filters(runset):
    return {(f["key"]["name"], f["op"], str(f["value"])) for f in runset["filters"]["filters"]}


def test_a_report_shows_figures_tables_and_run_sets_of_the_study(study, wandb_api, capsys):
    assert wandb_report.main([str(study), "--project", "layers"]) == 0
    (sent,) = wandb_api.reports.values()
    assert (sent["projectName"], sent["entityName"], sent["type"]) == ("layers", "someone", "runs")
    assert sent["displayName"] == "demo: what each layer contributes"
    assert spec_of(study)["sent"]["url"] in capsys.readouterr().out
    headings = [block["children"][0]["text"] for block in sent["spec"]["blocks"] if block["type"] == "heading"]
    assert headings == ["Figures", "code · smollm2_135m · grpo", "math · smollm2_135m · grpo", "Tables"]

    (run,) = wandb_api.runs.values()
    assert (run.group, run.job_type, run.exit_code) == ("demo", "report", 0)
    figures, code, math, tables = grids(sent["spec"])
    shown = {panel["config"]["mediaKeys"][0] for panel in figures["panelBankSectionConfig"]["panels"]}
    assert shown == {path.stem for path in study.glob("*.png")} != set()
    for name in shown:
        assert run.file(name) == (study / f"{name}.png").read_bytes()
    for grid in (figures, tables):
        (runset,) = grid["runSets"]
        assert filters(runset) == {("group", "=", "demo"), ("jobType", "=", "report"), ("tags", "IN", str(run.tags))}
    for grid, task in ((code, "code"), (math, "math")):
        all_arms, one_block, _ = grid["runSets"]
        assert {("group", "=", "demo"), ("jobType", "=", task)} < filters(all_arms) < filters(one_block)
        assert ("tags", "IN", "['one block']") in filters(one_block)
        lines = [p["config"] for p in grid["panelBankSectionConfig"]["panels"] if "Line" in p["viewType"]]
        curves = [f"{end}/{task} · smollm2_135m · grpo" for end in ("C low", "C", "C high")]
        assert [line["metrics"] for line in lines] == [["reward"], curves]
        points = [(row["depth"], row[curves[1]]) for row in run.history if curves[1] in row]
        assert points == [(pytest.approx(3 / 29), 0.25), (pytest.approx(15 / 29), 0.75)]
    arms = run.table("arms")
    rows = [dict(zip(arms["columns"], row, strict=True)) for row in arms["data"]]
    found = {(row["task"], row["layer"]): (row["after"], row["C"]) for row in rows}
    assert found["math", "15"] == (0.75, 0.75) and found["code", "3"] == (0.25, 0.25)
    assert found["math", "base"] == (0, None) and len(found) == 8
    written = "\n".join(block["content"] for block in sent["spec"]["blocks"] if block["type"] == "markdown-block")
    assert "| 15 | 15 | 0.52 | 0 | 0.000 | 0.750 [" in written
    assert not wandb_api.unknown


def test_a_report_that_is_made_again_is_the_same_report_with_new_figures(study, wandb_api):
    assert wandb_report.main([str(study)]) == 0
    assert wandb_report.main([str(study)]) == 0
    (sent,) = wandb_api.reports.values()
    assert len(wandb_api.runs) == 2
    (runset,) = grids(sent["spec"])[0]["runSets"]
    newest = list(wandb_api.runs.values())[-1]
    assert ("tags", "IN", str(newest.tags)) in filters(runset)


def test_cells_without_a_run_can_be_sent_with_the_report(study, wandb_api):
    shutil.rmtree(study / "code")
    shutil.rmtree(study / "math/smollm2_135m/grpo/layer=3")
    assert wandb_report.main([str(study), "--cells"]) == 0
    cells = [run for run in wandb_api.runs.values() if run.job_type != "report"]
    assert {(run.job_type, run.config["layer"]) for run in cells} == {("math", x) for x in ("base", "full", "15")}
    best = next(run for run in cells if run.config["layer"] == "15")
    assert (best.summary["score"], best.summary["gain"], best.group) == (0.75, 0.75, "demo")
    assert best.id == run_id(study / "math/smollm2_135m/grpo/layer=15/seed=0")


def test_without_a_server_the_specification_is_written(study, wandb_api, capsys):
    assert wandb_report.main([str(study), "--dry-run"]) == 0
    assert "Nothing was sent" in capsys.readouterr().out
    page = spec_of(study)
    assert page["sent"] == {} and len(grids(page["spec"])) == 4
    tables = grids(page["spec"])[-1]["panelBankSectionConfig"]["panels"]
    names = ["arms", *(f"csv/{path.stem}" for path in sorted(study.glob("csv/*.csv")))]
    assert [panel["viewType"] for panel in tables] == ["Weave"] * len(names)
    for panel, name in zip(tables, names, strict=True):
        assert f'"val": "{name}"' in json.dumps(panel)
    assert not wandb_api.keys and not wandb_api.runs


def test_offline_mode_sends_nothing_either(study, wandb_api, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_report.main([str(study)]) == 0
    assert spec_of(study)["sent"] == {} and not wandb_api.keys


def test_without_a_key_it_says_what_to_do(study, wandb_api, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY")
    assert wandb_report.main([str(study)]) == 2
    message = capsys.readouterr().err
    assert "wandb login" in message and "--dry-run" in message and "Traceback" not in message
    assert not wandb_api.runs


def test_a_report_that_the_server_does_not_know_any_more_is_named(study, wandb_api, capsys):
    assert wandb_report.main([str(study)]) == 0
    wandb_api.reports.clear()
    assert wandb_report.main([str(study)]) == 2
    assert "--new makes another one" in capsys.readouterr().err
    assert wandb_report.main([str(study), "--new"]) == 0
    assert len(wandb_api.reports) == 1


def test_a_folder_without_a_finished_cell_is_no_study(tmp_path, capsys):
    assert wandb_report.main([str(tmp_path), "--dry-run"]) == 2
    assert "holds no finished cell" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_anchors_are_named_with_the_command_that_makes_them(study):
    shutil.rmtree(next(study.glob("math/*/*/layer=full")))
    assert wandb_report.main([str(study), "--dry-run"]) == 0
    text = json.dumps(spec_of(study))
    assert "Run what is missing:" in text
    assert "'layer=full'" in text
