"""``run.py`` as a user runs it: to the end, again, killed, interrupted, and asked for what cannot be."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import pytest
from command_line import ROOT, Command

from evaluation.results import read_result

VOLATILE = ("tokens_per_second", "peak_memory_bytes")
LONG = ("steps=6", "checkpoint_every=2", "algorithm.groups_per_step=8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def words(runs, tiny_words):
    return [*tiny_words, f"runs_dir={runs}"]


@pytest.fixture
def begin(words, tmp_path):
    """``begin("layer=2")``: start ``python run.py`` on the tiny model, with the usual words and these."""

    def start(*more):
        flags = [word for word in more if word.startswith("-")]
        return Command(tmp_path / "output", "run.py", *flags, *words, *(word for word in more if word not in flags))

    return start


@pytest.fixture
def finish(begin):
    """The same, to its end: exit code and output."""

    def run(*more):
        command = begin(*more)
        return command.end(), command.output

    return run


def cell_of(runs, study, layer="1"):
    return runs / study / "math" / "tiny" / "grpo" / f"layer={layer}" / "seed=0"


@pytest.fixture(scope="module")
def first(words):
    """The command itself, in a shell's way: no process of ours has imported anything for it."""
    command = [sys.executable, "run.py", *words, "study=first"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_first_command_ends_with_the_table_and_says_what_to_run_next(first, runs):
    assert first.returncode == 0, first.stderr
    table = first.stdout[first.stdout.index("step 2") :]
    for text in ("before", "after", "gain, paired", "[95 % interval]", str(cell_of(runs, "first")), "python run.py -m"):
        assert text in table
    assert "Traceback" not in first.stderr
    assert (cell_of(runs, "first") / "result.json").exists()


def test_the_same_command_again_finds_it_finished(first, finish, runs):
    before = (cell_of(runs, "first") / "result.json").read_bytes()
    code, output = finish("study=first")
    assert code == 0
    assert f"finished before, nothing to do: {cell_of(runs, 'first')}" in output
    assert (cell_of(runs, "first") / "result.json").read_bytes() == before


def test_a_study_with_other_settings_is_refused_by_key(first, finish, runs):
    before = (cell_of(runs, "first") / "result.json").read_bytes()
    code, output = finish("study=first", "steps=3", "algorithm.clip_ratio=0.1")
    assert code == 1
    assert "Differs: algorithm.clip_ratio: 0.2 there, 0.1 here; steps: 2 there, 3 here" in output
    assert (cell_of(runs, "first") / "result.json").read_bytes() == before


def test_a_sweep_goes_on_past_a_failed_cell_and_the_report_reads_it(finish, runs, tmp_path):
    code, output = finish("-m", "study=sweep", "layer=base,foo,full,99,0")
    assert code != 0
    assert "layer='foo' does not parse; valid: base, full" in output
    assert "layer=99 is out of range; this model has 4 blocks, 0 to 3" in output
    finished = {path.parts[-3] for path in runs.glob("sweep/**/result.json")}
    assert finished == {"layer=0", "layer=base", "layer=full"}

    report = Command(tmp_path / "report", "-m", "evaluation.report", str(runs / "sweep"))
    assert report.end() == 0, report.output
    (row,) = [line for line in report.output.splitlines() if line.strip().startswith("0 ")]
    assert "n/a" in row or "[" in row


# --- cut off and resumed ---


@pytest.fixture(scope="module")
def uninterrupted(words, runs, tmp_path_factory):
    """Six steps in one go."""
    command = Command(tmp_path_factory.mktemp("log") / "output", "run.py", *words, *LONG, "study=straight")
    assert command.end() == 0, command.output
    return cell_of(runs, "straight")


def steps_of(cell):
    file = cell / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def assert_bit_for_bit(cell, expected):
    """Metrics, weights, answers and scores; not times and memory."""

    def lasting(step):
        return {key: value for key, value in step.items() if not key.startswith("seconds") and key not in VOLATILE}

    assert list(map(lasting, steps_of(cell))) == list(map(lasting, steps_of(expected)))
    weights = "checkpoint/step=000006/trained.safetensors"
    assert (cell / weights).read_bytes() == (expected / weights).read_bytes()
    assert (cell / "episodes.jsonl").read_text() == (expected / "episodes.jsonl").read_text()
    assert json.loads((cell / "audit.json").read_text()) == json.loads((expected / "audit.json").read_text())
    scores = [
        dataclasses.replace(
            read_result(folder / "result.json"),
            study="",
            overrides=[],
            seconds=0.0,
            seconds_per_phase={},
            tokens_per_second=0.0,
            peak_memory_bytes=0,
            finished_at="",
        )
        for folder in (cell, expected)
    ]
    assert scores[0] == scores[1]


def test_a_run_killed_twice_ends_bit_for_bit_like_one_that_was_not(begin, finish, runs, uninterrupted):
    cell = cell_of(runs, "killed")
    early = begin(*LONG, "study=killed").signal_when(signal.SIGKILL, lambda: (cell / "episodes.jsonl").exists())
    assert not list(cell.glob("checkpoint/step=*"))
    late = begin(*LONG, "study=killed").signal_when(signal.SIGKILL, lambda: len(steps_of(cell)) >= 3)
    assert early == late == -signal.SIGKILL
    assert not (cell / "result.json").exists()
    code, output = finish(*LONG, "study=killed")
    assert code == 0, output
    assert "resuming after step" in output
    assert_bit_for_bit(cell, uninterrupted)


def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_completes(begin, finish, runs, uninterrupted):
    cell = cell_of(runs, "interrupted")
    command = begin(*LONG, "study=interrupted")
    assert command.signal_when(signal.SIGINT, lambda: len(steps_of(cell)) >= 1) == 130
    assert "the same command resumes" in command.output
    assert "Traceback" not in command.output
    assert not (cell / "result.json").exists()
    (checkpoint,) = (cell / "checkpoint").glob("step=*")
    done = int(checkpoint.name.removeprefix("step="))
    assert 1 <= done < 6
    code, output = finish(*LONG, "study=interrupted")
    assert code == 0, output
    assert f"resuming after step {done}" in output
    assert_bit_for_bit(cell, uninterrupted)


# --- what cannot be ---


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("layer=99", "layer=99 is out of range; this model has 4 blocks, 0 to 3"),
        ("layer=foo", "layer='foo' does not parse; valid: base, full, a block number"),
        ("task=nope", "task/nope"),
        ("model=nope", "model/nope"),
        ("algorithm=nope", "algorithm/nope"),
        ("algorithm.group_size=1", "algorithm.group_size=1 is not valid"),
        ("model.path={empty}", "no config.json, no tokenizer"),
        ("model.n_blocks=30", "model.n_blocks=30, but the weights in"),
        ("task.env_id=onelayer/nope-v0", "onelayer/math-v0"),
        ("task.kwargs.dataset=nope", "easy, two_digit"),
        ("++task.reward_weights.nope=1", "its terms: outcome, format"),
        ("task.prompt=nope", "task.prompt='nope' is unknown; valid: qa, chat"),
        ("task.stop=[zebra]", "task.stop: no token of this vocabulary contains 'zebra'"),
        ("task.eval_split=nope", "valid: train, test"),
        ("runner.device=abacus", "runner.device='abacus' is unknown; valid: auto, cpu"),
        ("runner.dtype=int4", "runner.dtype='int4' is unknown; valid: auto, float32, bfloat16"),
        ("tracker.name=nope", "valid: console, wandb"),
        ("runner.max_tokens_per_pass=8", "runner.max_tokens_per_pass"),
        ("algorithm.advantage=nope", "algorithm.advantage=nope is unknown; valid: grpo"),
        ("stepz=3", "stepz"),
        ("steps=many", "'many'"),
    ],
)
def test_bad_input_is_named_and_leaves_no_result(finish, tmp_path, word, named):
    (tmp_path / "empty").mkdir()
    code, output = finish(f"runs_dir={tmp_path / 'runs'}", word.format(empty=tmp_path / "empty"))
    assert code == 1
    assert named in output
    assert "Traceback" not in output
    assert not list(tmp_path.rglob("result.json"))


def test_a_mistake_does_not_claim_the_study(finish, tmp_path):
    runs = f"runs_dir={tmp_path / 'runs'}"
    assert finish(runs, "task.kwargs.dataset=nope")[0] == 1
    code, output = finish(runs, "layer=base")
    assert code == 0, output
