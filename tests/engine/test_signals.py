"""What each signal asks for, on a machine of one's own and inside a Slurm job."""

import os
import signal
from collections.abc import Iterator

import pytest

from gantrain.engine.signals import LAUNCHED, Action, defer_signals, handle_signals

USER = [signal.SIGUSR1, signal.SIGUSR2]
ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *USER]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither in Slurm nor started by gantrain, and every handler back where it was."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv(LAUNCHED, raising=False)
    before = {number: signal.getsignal(number) for number in ALL}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ALL)
def test_outside_of_slurm_every_signal_stops(number: signal.Signals) -> None:
    with handle_signals() as signals:
        assert signals.pop_request() is Action.CONTINUE and signals.received is None
        send(number)
        assert signals.pop_request() is Action.STOP and signals.received == number
        assert signals.pop_request() is Action.STOP  # not forgotten


@pytest.mark.parametrize("number", USER)
def test_slurm_warning_before_the_time_limit_requeues(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with handle_signals() as signals:
        send(number)
        assert signals.pop_request() is Action.REQUEUE and signals.received == number


def test_slurm_preemption_saves_and_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with handle_signals() as signals:
        for _ in range(2):  # at the beginning of the grace time and at its end
            send(signal.SIGTERM)
            assert signals.pop_request() is Action.SAVE and signals.received == signal.SIGTERM
            assert signals.pop_request() is Action.CONTINUE
        send(signal.SIGINT)  # not a second one: the first Ctrl-C still saves
        assert signals.pop_request() is Action.STOP and signals.received == signal.SIGINT


def test_the_largest_wish_counts_and_names_its_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with handle_signals() as signals:
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM):
            send(number)
        assert signals.pop_request() is Action.REQUEUE and signals.received == signal.SIGUSR2


@pytest.mark.parametrize("first", ALL)
def test_second_sigint_interrupts_at_once(first: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), handle_signals():
        send(first)
        send(signal.SIGINT)


def test_a_started_rank_leaves_the_second_sigint_to_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(LAUNCHED, "1")
    with handle_signals() as signals:
        for _ in range(3):
            send(signal.SIGINT)
        assert signals.pop_request() is Action.STOP


def test_handlers_come_back_also_after_an_error() -> None:
    def mine(number: int, frame: object) -> None:
        raise AssertionError("the block's handler was to be called")

    expected = {number: mine for number in ALL}
    for number, handler in expected.items():
        signal.signal(number, handler)
    with pytest.raises(ZeroDivisionError), handle_signals():
        send(signal.SIGTERM)
        raise ZeroDivisionError
    assert {number: signal.getsignal(number) for number in ALL} == expected


def test_earlier_handlers_of_user_signals_are_remembered() -> None:
    def submitits(number: int, frame: object) -> None:
        raise AssertionError("to be called by requeue only")

    signal.signal(signal.SIGUSR2, submitits)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with handle_signals() as signals:
        send(signal.SIGUSR2)
        assert signals.previous_handlers == {signal.SIGUSR2: submitits}


def test_nohup_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with handle_signals() as signals:
        send(signal.SIGHUP)
        assert signals.pop_request() is Action.CONTINUE
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_an_ignored_signal_is_ignored_again_afterwards() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with handle_signals() as signals:
        send(signal.SIGUSR1)
        assert signals.pop_request() is Action.STOP
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


def test_signals_before_the_training_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for number in ALL:
        signal.signal(number, signal.SIG_DFL)
    defer_signals()
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C need not wait
        assert signal.getsignal(number) is signal.SIG_DFL
    send(signal.SIGTERM)
    with handle_signals() as signals:
        assert signals.pop_request() is Action.SAVE and signals.previous_handlers == {}
    send(signal.SIGUSR1)  # after the block: kept for the next one
    with handle_signals() as signals:
        assert signals.pop_request() is Action.REQUEUE and signals.received == signal.SIGUSR1
    with handle_signals() as signals:
        assert signals.pop_request() is Action.CONTINUE


def test_hold_leaves_submitits_handlers_and_other_machines_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    defer_signals()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def submitits(number: int, frame: object) -> None:
        raise AssertionError("not sent here")

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    signal.signal(signal.SIGUSR2, submitits)
    defer_signals()
    assert signal.getsignal(signal.SIGUSR2) is submitits
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
