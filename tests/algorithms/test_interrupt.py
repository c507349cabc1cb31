"""Signals while a step is running."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from algorithms.interrupt import deferred_interrupt, terminated_like_interrupted, unheard_by_children


def test_sigterm_waits_for_the_step_however_often_it_comes():
    before = signal.getsignal(signal.SIGTERM)
    with deferred_interrupt() as stopping:
        assert not stopping()
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            assert stopping()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_a_signal_interrupts_at_once(first):
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGINT)


def test_where_sigterm_is_like_ctrl_c_it_interrupts_and_then_is_what_it_was():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_children_pass_over_sigterm_where_they_are_to():
    with unheard_by_children():
        child = subprocess.Popen(
            [sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1, text=True
        )
    child.stdout.readline()
    child.terminate()
    assert child.communicate("\n") == ("", None)
    assert child.returncode == 0


def test_sigterm_that_comes_while_children_are_started_is_heard_afterwards_as_before():
    with terminated_like_interrupted():
        with pytest.raises(KeyboardInterrupt), unheard_by_children():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what Ray does, in its way
            signal.raise_signal(signal.SIGTERM)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()


def test_another_thread_than_the_main_one_leaves_signals_alone():
    handlers = []

    def look():
        with unheard_by_children(), terminated_like_interrupted():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [before]
