"""Signals while a step is running."""

from __future__ import annotations

import signal

import pytest

from algorithms.interrupt import deferred_interrupt


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
