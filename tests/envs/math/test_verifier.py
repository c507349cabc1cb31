"""Scoring LaTeX: equal is equal however it is written, and nothing a model writes stops the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import math_verify
import pytest
from math_verify.errors import TimeoutException

from envs.math import reward, verifier
from envs.math.verifier import Job, Verifier, judge_latex


@pytest.fixture(scope="module")
def scorer():
    scorer = reward._verifier()
    yield scorer
    scorer.close()


@pytest.mark.parametrize(
    ("text", "answer", "value", "status"),
    [
        (r"So the answer is \boxed{\frac{1}{2}}.", "1/2", 1, "ok"),
        (r"\boxed{0.5}", r"\frac12", 1, "ok"),
        (r"First \boxed{3}, no: \boxed{4}", "4", 1, "ok"),
        (r"\boxed{2\sqrt{3}}", r"\sqrt{12}", 1, "ok"),
        (r"\boxed{(3, \frac{\pi}{2})}", r"\left( 3, \frac{\pi}{2} \right)", 1, "ok"),
        (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}", 1, "ok"),
        ("The total is 42.", "42", 1, "ok"),
        (r"\boxed{1,234}", "1234", 1, "ok"),
        (r"\boxed{7}", "8", 0, "ok"),
        ("I do not know", "8", 0, "malformed"),
        ("", "8", 0, "malformed"),
        ("\x00\ud800 \u202e", "8", 0, "malformed"),
    ],
)
def test_latex(scorer, text, answer, value, status):
    assert scorer.score(Job("latex", text, answer)) == (value, status)


@pytest.mark.parametrize("text", [r"\boxed{\frac{1}{", "{" * 30_000, r"\boxed{" * 2_000, "9" * 30_000, "三" * 30_000])
def test_broken_latex_is_wrong(scorer, text):
    assert scorer.score(Job("latex", text, "8"))[0] == 0


def test_a_tower_of_powers_times_out_and_the_next_answer_is_scored(scorer):
    assert scorer.score(Job("latex", r"\boxed{9^{9^{9^9}}}", r"\frac{1}{2}")) == (0, "verifier_timeout")
    assert scorer.score(Job("latex", r"\boxed{8}", "8")) == (1, "ok")


def test_a_process_that_does_not_answer_is_replaced():
    impatient = Verifier(time_limit_s=0.2)
    assert impatient.score(Job("latex", r"\boxed{9^{9^{9^9}}}", r"\frac{1}{2}")) == (0, "verifier_timeout")
    impatient.time_limit_s = 10
    assert impatient.score(Job("latex", r"\boxed{8}", "8")) == (1, "ok")
    os.kill(impatient._process.pid, signal.SIGKILL)
    assert impatient.score(Job("latex", r"\boxed{8}", "8")) == (0, "verifier_crash")
    impatient.close()


def test_from_another_thread(scorer):
    found = []
    thread = threading.Thread(target=lambda: found.append(scorer.score(Job("latex", r"\boxed{8}", "8"))))
    thread.start()
    thread.join()
    assert found == [(1, "ok")]


def test_from_a_forked_process(scorer):
    scorer.score(Job("latex", r"\boxed{8}", "8"))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(scorer_of_fork, (Job("latex", r"\boxed{9}", "8"),)) == (0, "ok")
    assert scorer.score(Job("latex", r"\boxed{8}", "8")) == (1, "ok")


def scorer_of_fork(job):
    return reward._verifier().score(job)


@pytest.mark.parametrize("name", ["parse", "verify"])
def test_math_verifys_own_time_out_counts_as_wrong(monkeypatch, name):
    genuine = math_verify.parse

    def late(*args, **kwargs):
        if name == "verify" or kwargs.get("raise_on_error"):
            raise TimeoutException("late")
        return genuine(*args, **kwargs)

    monkeypatch.setattr(math_verify, name, late)
    assert judge_latex(r"\boxed{8}", "8") == (0, "verifier_timeout")


def test_ctrl_c_propagates_and_leaves_no_stale_reply(monkeypatch):
    scorer = Verifier()
    scorer.score(Job("latex", r"\boxed{8}", "8"))
    process = scorer._process

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(verifier.json, "loads", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scorer.score(Job("latex", r"\boxed{7}", "8"))
    monkeypatch.undo()
    assert process.poll() is not None
    assert scorer.score(Job("latex", r"\boxed{8}", "8")) == (1, "ok")
    scorer.close()


def test_a_verifier_that_cannot_start_is_loud(monkeypatch):
    monkeypatch.setattr(verifier.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="did not start"):
        Verifier().score(Job("latex", "8", "8"))
