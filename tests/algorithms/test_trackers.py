"""Where progress goes: a line per step on disk, plain lines in a log, an offline W&B run that knows its study."""

import json

from algorithms.screen import Screen, abbreviated
from algorithms.trackers import MetricsFile, WandbTracker

STEP = {
    "step": 1, "reward": 0.25, "success": 0.25, "zero_variance_groups": 0.5, "entropy": 1.0, "grad_norm": 0.1,
    "response_tokens": 5.0, "seconds": 2.0,
}  # fmt: skip


def steps_in(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def written(path, steps_done, *steps):
    file = MetricsFile(path, steps_done)
    for step in steps:
        file.log({"step": step, "reward": 0.5})
    file.close()
    return path


def test_a_resumed_run_keeps_the_steps_it_does_not_repeat(tmp_path):
    path = written(tmp_path / "metrics.jsonl", 0, 1, 2, 3, 4, 5)
    assert steps_in(written(path, 4)) == [1, 2, 3, 4]
    assert steps_in(written(path, 4, 5, 6)) == [1, 2, 3, 4, 5, 6]


def test_a_run_that_starts_over_starts_an_empty_file(tmp_path):
    path = written(tmp_path / "metrics.jsonl", 0, 1, 2)
    assert steps_in(written(path, 0, 1)) == [1]


def test_a_line_torn_by_a_crash_is_dropped(tmp_path):
    path = written(tmp_path / "metrics.jsonl", 0, 1, 2)
    path.write_text(path.read_text() + '{"step": 3, "rew')
    assert steps_in(written(path, 2, 3)) == [1, 2, 3]


def test_a_step_is_on_disk_as_soon_as_it_is_logged(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl", 0)
    file.log({"step": 1})
    assert steps_in(tmp_path / "metrics.jsonl") == [1]
    file.close()


def test_a_log_gets_one_plain_line_per_step(capsys):
    screen = Screen("a cell", steps=3)
    screen.log([STEP])
    screen.close()
    title, line = capsys.readouterr().out.splitlines()
    assert title == "a cell"
    assert "reward 0.25" in line and "s/step 2" in line and "left 00:00:04" in line


def test_arms_side_by_side_share_a_line(capsys):
    screen = Screen("cells", steps=3)
    screen.log([STEP, STEP | {"reward": 0.5}, STEP | {"reward": 0.75}])
    screen.evaluated("after", [0.1, 0.4], 8, 4)
    screen.close()
    _, line, evaluation = capsys.readouterr().out.splitlines()
    assert line == "step 1  arms 3  reward 0.5  from 0.25  to 0.75  s/step 6  left 00:00:12"
    assert evaluation == "evaluation after: 2 arms, mean score 0.250, 0.100 to 0.400 (8 items x 4)"


def test_blocks_that_follow_each_other_are_abbreviated():
    assert abbreviated(["base", *map(str, range(30))]) == "base, 0 to 29"
    assert abbreviated(["0", "1", "3", "mid:2", "7", "8", "9"]) == "0, 1, 3, mid:2, 7 to 9"


def test_wandb_gets_an_offline_run_grouped_by_study_with_config_and_layer_as_fields(tiny_config, tmp_path):
    config = tiny_config("tracker.name=wandb", "study=sweep")
    tracker = WandbTracker(config, tmp_path, "mid:1")
    run = tracker._run._run
    assert (run.group, run.project, run.settings.mode) == ("sweep", "onelayer", "offline")
    assert run.config["layer"] == "mid:1" and run.config["algorithm"]["group_size"] == config.algorithm.group_size
    tracker.log(STEP)
    tracker.close()
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
