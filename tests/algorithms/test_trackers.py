"""What happens to the lines of ``metrics.jsonl`` when a run is cut off and resumed."""

import json

from algorithms.trackers import MetricsFile


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
