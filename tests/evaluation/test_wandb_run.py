"""A cell as a W&B run: what the client writes offline, and what of it arrives when it is synced later."""

from __future__ import annotations

import json

import numpy as np
import pytest
from wandb_client import wandb_api, wandb_command

from conf.schema import TrackerConfig
from evaluation.results import RESULT_FILE, read_result
from evaluation.stats import paired_difference
from evaluation.wandb_run import AUDIT, CellName, CellRun, WandbError, publish, run_id, steps_of

__all__ = ["wandb_api", "wandb_command"]

OFFLINE = TrackerConfig("wandb", "layers", "offline")
NAME = CellName("demo", "math", "smollm2_135m", "grpo", "15", 0)
CONFIG = {"algorithm": {"group_size": 8}, "seed": 0}
BEFORE_IK, AFTER_IK = np.zeros((4, 2)), np.array([[1, 1], [1, 0], [0, 0], [0, 0]], dtype=float)


@pytest.fixture
def cell(write_cell):
    """A finished cell: a quarter of the panel and an eighth more is solved after training, nothing before."""
    audit = {"ok": True, "relative_change": [0.0] * 15 + [0.25] + [0.0] * 14, "other": 0.0}
    return write_cell(BEFORE_IK, AFTER_IK, layer="15", audit=audit, steps=3, greedy={"before": 0.0, "after": 0.5})


def step(number):
    return {"step": number, "reward": number / 10, "seconds/update": 1.0}


def write_metrics(folder, *numbers):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step(number)) + "\n" for number in numbers))


def sessions(folder):
    return sorted(folder.glob("wandb/offline-run-*"))


def test_an_offline_run_arrives_whole_when_it_is_synced(cell, wandb_api, wandb_command):
    run = CellRun(cell, NAME, CONFIG, OFFLINE)
    for number in (1, 2, 3):
        run.log(step(number))
    run.finish(read_result(cell / RESULT_FILE))
    run.close()
    assert not wandb_api.runs, "offline means that nothing is sent"
    wandb_command("sync", *sessions(cell))
    (seen,) = wandb_api.runs.values()
    assert (seen.id, seen.project, seen.group, seen.job_type) == (run_id(cell), "layers", "demo", "math")
    assert seen.name == "math smollm2_135m grpo layer=15 seed=0"
    assert seen.tags == ["math", "smollm2_135m", "grpo", "one block"]
    assert seen.config["layer"] == "15" and seen.config["algorithm"] == {"group_size": 8}
    assert [row["reward"] for row in seen.history if "reward" in row] == [0.1, 0.2, 0.3]
    gain = paired_difference(AFTER_IK, BEFORE_IK)
    assert [seen.summary[key] for key in ("gain", "gain_low", "gain_high")] == [gain.value, gain.low, gain.high]
    assert [seen.summary[key] for key in ("score_before", "score", "greedy_after")] == [0.0, 0.375, 0.5]
    assert seen.summary["depth"] == pytest.approx(15 / 29)
    changes = dict(seen.table(f"{AUDIT}_table")["data"])
    assert changes.pop("15") == 0.25 and len(changes) == 30 and set(changes.values()) == {0}
    assert json.loads(seen.files[RESULT_FILE])["score"] == 0.375
    assert seen.exit_code == 0
    assert not wandb_api.unknown


def test_a_resumed_cell_resumes_its_run(cell, wandb_api, wandb_command):
    first = CellRun(cell, NAME, CONFIG, OFFLINE)
    write_metrics(cell, 1, 2)
    for number in (1, 2):
        first.log(step(number))
    first.close()
    wandb_command("sync", *sessions(cell))
    assert [run.exit_code for run in wandb_api.runs.values()] == [1], "a cell without a result has failed so far"
    second = CellRun(cell, NAME, CONFIG, OFFLINE)
    second.log(step(3))
    second.finish(read_result(cell / RESULT_FILE))
    second.close()
    wandb_command("sync", sessions(cell)[-1])
    (seen,) = wandb_api.runs.values()
    assert [row["_step"] for row in seen.history if "reward" in row] == [1, 2, 3]
    assert (seen.exit_code, seen.summary["score"]) == (0, 0.375)


def test_a_finished_cell_can_be_made_a_run_afterwards(cell, wandb_api):
    write_metrics(cell, 1, 2, 3)
    online = TrackerConfig("wandb", "layers", "online")
    publish(cell, NAME, CONFIG, online, read_result(cell / RESULT_FILE))
    (seen,) = wandb_api.runs.values()
    assert [row["reward"] for row in seen.history if "reward" in row] == [0.1, 0.2, 0.3]
    assert (seen.id, seen.exit_code, seen.summary["score"]) == (run_id(cell), 0, 0.375)


def test_online_without_a_key_says_what_to_do(cell, wandb_api, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(WandbError, match=r"wandb login.*WANDB_API_KEY.*tracker\.mode=offline"):
        CellRun(cell, NAME, CONFIG, TrackerConfig("wandb", "layers", "online"))
    assert not wandb_api.runs


def test_a_torn_line_of_the_metrics_is_no_step(tmp_path):
    write_metrics(tmp_path, 1, 2)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "rew')
    assert [metrics["step"] for metrics in steps_of(tmp_path)] == [1, 2]


@pytest.mark.parametrize(
    ("layer", "kind"),
    [("base", "base"), ("full", "full"), ("7", "one block"), ("mid:5", "several blocks"), ("[7,8]", "several blocks")],
)
def test_run_sets_can_ask_for_a_kind_of_arm(layer, kind):
    assert CellName("demo", "math", "m" * 80, "grpo", layer, 0).tags == ["math", "m" * 64, "grpo", kind]
