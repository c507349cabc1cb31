"""Worker processes: what an environment can do to itself, and what must not follow from it."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from gymnasium.error import ResetNeeded
from patient import Patient, begun

import envs
from envs.dispatch import EnvProcessError
from envs.pool import Pool, shared
from envs.remote import RemoteEnv, step_all
from envs.worker import RemoteError, RemoteTraceback


@pytest.fixture(scope="module")
def pool():
    with Pool(processes=2, timeout_s=30) as pool:
        yield pool


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descriptors():
    return sorted(os.listdir("/proc/self/fd"), key=int)


def eventually(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_a_remote_task_keeps_the_contract(pool):
    envs.check_task(partial(RemoteEnv, Patient, pool), actions=["go", "win"], items=1)


def test_it_plays_as_the_task_itself(pool):
    env, itself = begun(pool), Patient()
    itself.reset(seed=0, options={"split": "train", "index": 0})
    assert [env.step(word) for word in ("go", "babble", "win")] == [itself.step(word) for word in ("go", "go", "win")]
    assert (env.size("train"), env.source("train"), env.card) == (5, "generated", Patient.card)
    assert env.demonstration("train", 0) == ["win"]
    env.reward_weights = {"outcome": 3.0}
    env.reset(seed=0)
    assert env.step("win")[1] == 3.0


def test_a_registered_task_is_made_by_its_id(pool):
    make = partial(envs.make, "onelayer/math-v0", dataset="easy")
    options = {"split": "test", "index": 3}
    assert RemoteEnv(make, pool).reset(seed=1, options=options) == make().reset(seed=1, options=options)


def test_what_it_raises_is_raised_here_with_its_traceback(pool):
    env = begun(pool)
    with pytest.raises(KeyError, match="broken on purpose") as caught:
        env.step("raise")
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in _do" in str(caught.value.__cause__)
    with pytest.raises(ResetNeeded):
        env.step("go")
    with pytest.raises(ValueError, match="no split 'test'; valid: train"):
        env.reset(options={"split": "test"})
    assert env.reset(seed=0)[0]


def test_what_cannot_be_sent_is_said(pool):
    with pytest.raises(RemoteError, match="OddError: 1 and 2"):
        begun(pool).step("odd")
    with pytest.raises(TypeError, match="step returned what cannot be sent"):
        begun(pool).step("unpicklable")
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        RemoteEnv(lambda: Patient(), pool)
    with pytest.raises(TypeError, match=r"must be an envs\.TaskEnv, not str"):
        RemoteEnv(str, pool)
    assert len(begun(pool).step("large")[4]["it"]) == 3_000_000


def test_what_its_constructor_does_is_raised_by_ours(pool):
    with pytest.raises(ValueError, match="no reward term 'speed'"):
        RemoteEnv(partial(Patient, reward_weights={"speed": 1.0}), pool)
    with pytest.raises(EnvProcessError, match="exit code 7 in <build>"):
        RemoteEnv(partial(Patient, "exit 7"), pool)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("exit 3", r"(?s)Patient ended with exit code 3 in step\n  \| one last word"),
        ("quit", r"(?s)Patient ended with exit code 1 in step.*it quits"),
        (f"kill {int(signal.SIGKILL)}", r"was killed by SIGKILL \(out of memory\?\) in step"),
        (f"kill {int(signal.SIGSEGV)}", r"(?s)was killed by SIGSEGV in step.*in _do"),
        ("sleep 100", r"(?s)took longer than 1 s and was killed in step.*in _do\n.*in _act"),
        ("deaf", r"took longer than 1 s and was killed in step"),
        (f"kill {int(signal.SIGSTOP)}", r"took longer than 1 s and was killed in step"),
    ],
)
def test_a_process_that_dies_or_hangs_is_told_and_replaced(pool, action, message):
    env = begun(pool, timeout_s=1)
    with pytest.raises(EnvProcessError, match=message):
        env.step(action)
    with pytest.raises(ResetNeeded):
        env.step("go")
    env.reset(seed=0, options={"index": 2})
    assert env.step("go")[0].startswith("turn 1")


def test_the_others_in_a_process_that_dies_do_not_notice():
    with Pool(processes=1) as pool:
        quiet, seeded, unseeded, fatal = (begun(pool, i, seed=None if i == 2 else 5) for i in range(4))
        itself = begun(pool, 1, seed=5)
        assert seeded.step("go") == itself.step("go")
        with pytest.raises(EnvProcessError):
            fatal.step("exit 1")
        assert seeded.step("go") == itself.step("go")
        with pytest.raises(EnvProcessError, match="cannot be repeated, because it began without a seed"):
            unseeded.step("go")
        assert unseeded.reset()[0]
        assert quiet.size("train") == 5


def test_one_that_comes_back_different_is_refused():
    with Pool(processes=1) as pool:
        changing, fatal = begun(pool), begun(pool)
        changing.step("pid")
        with pytest.raises(EnvProcessError):
            fatal.step("exit 1")
        with pytest.raises(EnvProcessError, match="not deterministic"):
            changing.step("go")


def test_processes_work_at_the_same_time_and_their_time_outs_do_not_add_up():
    with Pool(processes=2) as pool:
        pair = [begun(pool, timeout_s=3), begun(pool, timeout_s=3)]
        spans = [outcome.get()[4]["it"] for outcome in step_all(pair, ["sleep 1"] * 2)]
        assert max(start for start, _ in spans) < min(end for _, end in spans)
        began = time.monotonic()
        assert all("took longer than 3 s" in str(outcome.error) for outcome in step_all(pair, ["sleep 99"] * 2))
        assert time.monotonic() - began < 5.5


def test_a_batch_has_an_outcome_for_each(pool):
    many = [begun(pool, timeout_s=1.5) for _ in range(4)]
    outcomes = step_all(many, ["sleep 99", "exit 1", "go", "raise"])
    assert [type(outcome.error) for outcome in outcomes] == [EnvProcessError, EnvProcessError, type(None), KeyError]
    assert outcomes[2].get()[0].startswith("turn 1")
    with pytest.raises(ValueError, match="as many actions"):
        step_all(many, ["go"])


def test_a_rollout_loses_the_broken_episodes_and_no_others(pool):
    from agents.agent import Agent  # here, so that workers, which import this file, do not import torch
    from agents.episode import Start
    from agents.rollout import rollout
    from agents.sampler import Generation
    from agents.tiny_tokenizer import make_tokenizer
    from conf.schema import TaskConfig

    class Scripted:
        def generate(self, requests, sampling):
            words = ["win", "sleep 9", "exit 1", "raise", "win"]
            prompts = [tokenizer.decode(request.prompt_ids) for request in requests]
            answers = [tokenizer.encode(words[int(re.search(r"\d", prompt)[0])]) for prompt in prompts]
            return [Generation(ids, [-0.5] * len(ids), [0.1] * len(ids), truncated=False) for ids in answers]

    tokenizer = make_tokenizer()
    task = TaskConfig(name="patient", env_id="-", prompt="qa", max_turns=1)
    agent = Agent(tokenizer, task)
    starts = [Start("train", index, group=index, sample=0, sampling_seed=index) for index in range(5)]
    make_env = partial(RemoteEnv, Patient, pool, 1.0)
    episodes = rollout(starts, make_env, agent, Scripted(), agent.sampling(1.0), task.max_turns)
    assert [episode.status for episode in episodes] == ["done", "env_error", "env_error", "env_error", "done"]
    assert [episode.success for episode in episodes] == [True, False, False, False, True]
    assert episodes[1].error.startswith("EnvProcessError: the process of Patient took longer")


def test_nothing_is_left_when_it_is_closed(tmp_path):
    gc.collect()
    before = descriptors()
    pool = Pool(processes=2)
    assert pool.pids() == []
    testament = tmp_path / "testament"
    heir = RemoteEnv(partial(Patient, f"bequeath {testament}"), pool)
    for round_ in range(3):
        env = begun(pool)
        with pytest.raises(EnvProcessError):
            env.step(f"exit {round_}")
    assert heir.size("train") == 5  # built again, had its process died of the others
    child = begun(pool).step("child")[4]["it"]
    pids = pool.pids()
    assert all(map(alive, [*pids, child]))
    pool.close()
    pool.close()
    assert testament.read_text() == "closed"
    assert eventually(lambda: not any(map(alive, [*pids, child])))
    assert descriptors() == before
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "a zombie"
    heir.close()
    with pytest.raises(RuntimeError, match="closed"):
        heir.size("train")


def test_an_environment_is_closed_with_its_last_reference(pool, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    env = RemoteEnv(partial(Patient, f"bequeath {one}"), pool)
    env.close()
    env.close()
    assert one.exists()
    forgotten = RemoteEnv(partial(Patient, f"bequeath {other}"), pool)
    del forgotten
    gc.collect()
    for _ in range(2):  # told with the next call to its worker, whichever of the two that is
        begun(pool)
    assert other.exists()


@pytest.mark.parametrize("end", ["return", "sys.exit(1)", "os.kill(os.getpid(), 9)", "time.sleep(100)"])
def test_no_worker_outlives_its_caller(end):
    code = (
        "import os, sys, time\n"
        "from patient import begun\n"
        "from envs.pool import Pool\n"
        "def main():\n"
        "    pool = Pool(2)\n"
        "    env, other = begun(pool), begun(pool)\n"
        "    print(*pool.pids(), env.step('child')[4]['it'], flush=True)\n"
        f"    {end}\n"
        "main()\n"
    )
    root, here = Path(__file__).parents[2], Path(__file__).parent
    caller = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{here}"},
    )
    assert caller.stdout is not None
    with caller, caller.stdout:
        pids = [int(word) for word in caller.stdout.readline().split()]
        assert len(pids) == 3
        if "sleep" in end:
            caller.kill()
    assert eventually(lambda: not any(map(alive, pids)))


def test_ctrl_c_does_not_mix_up_answers():
    def interrupt(*_):
        raise KeyboardInterrupt

    with Pool(processes=1) as pool:
        env, other = begun(pool), begun(pool, 1)
        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                env.step("sleep 5")
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert other.step("go")[0].startswith("turn 1")
        assert env.reset(seed=0, options={"index": 4})[0].startswith("4: turn 0")


def test_a_fork_does_not_touch_its_parents_workers():
    with Pool(processes=1) as pool:
        env = begun(pool)
        child = os.fork()
        if child == 0:
            try:
                env.step("go")
            except RuntimeError:
                pool.close()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert env.step("go")[0].startswith("turn 1")


def test_a_pool_of_nothing_is_refused():
    for wrong in ((0, 1.0), (1, 0.0), (1, -2.0)):
        with pytest.raises(ValueError, match="processes >= 1 and timeout_s > 0"):
            Pool(*wrong)
    assert shared() is shared()
