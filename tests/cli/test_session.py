"""Ctrl-C, lost readers and long waits."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantrain.cli import session
from gantrain.errors import ConfigError
from gantrain.tracking import waiting
from tests.helpers.command_line import ENVIRONMENT, TINY


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """As in a terminal; the background of a script ignores the signal."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def send_interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def test_an_interrupted_command_says_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    streams = sys.stdout, sys.stderr
    assert session.run(lambda: [send_interrupt(), 0][1]) == 130
    assert capsys.readouterr() == ("", "Interrupted.\n")
    assert (sys.stdout, sys.stderr) == streams
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler  # until Python's end


def test_a_command_that_was_not_interrupted_leaves_the_handler() -> None:
    assert session.run(lambda: 7) == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("raised", [True, False])
def test_a_command_that_minds_an_interrupt_has_its_own_code(raised: bool) -> None:
    def command() -> int:
        try:
            send_interrupt()
        except KeyboardInterrupt:  # as a sweep that waits for its jobs
            if raised:
                raise SystemExit(75) from None
        return 75

    assert session.run(command) == 75


def test_whatever_an_interrupted_import_raises_is_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> int:
        try:
            send_interrupt()
        except KeyboardInterrupt:
            raise ImportError("numpy._core.multiarray failed to import") from None
        return 0

    assert session.run(command) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize("swallowed", [True, False])
def test_what_a_library_makes_of_an_interrupt_is_not_explained(
    swallowed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        try:
            send_interrupt()
        except KeyboardInterrupt:
            if not swallowed:
                raise ConfigError("'NoneType' object has no attribute 'x'") from None
        return 0

    assert session.run(command, lambda error: 2) == 130
    assert capsys.readouterr() == ("", "Interrupted.\n")


def test_a_problem_is_explained() -> None:
    def command() -> int:
        raise ConfigError("wrong")

    explained: list[ConfigError] = []
    assert session.run(command, lambda error: explained.append(error) or 2) == 2
    assert explained[0].problems == ("wrong",)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(75)])
def test_other_errors_pass(error: BaseException) -> None:
    def command() -> int:
        raise error

    with pytest.raises(type(error)):
        session.run(command)


def test_an_ignored_signal_stays_ignored() -> None:
    """As in the background of a script, where the terminal's Ctrl-C is not meant."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert session.run(lambda: [os.kill(os.getpid(), signal.SIGINT), 7][1]) == 7
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


STUBBORN = """
import os, signal, sys, time
from gantrain.cli import session
def command():
    try:
        print("here", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(60)
sys.exit(session.run(command))
"""
SLOW_EXIT = """
import atexit, sys, time
from gantrain.cli import session
def command():
    print("here", flush=True)
    time.sleep(60)
@atexit.register
def slow():
    print("ending", flush=True)
    time.sleep(60)
sys.exit(session.run(command))
"""


@pytest.mark.multi
@pytest.mark.parametrize(("program", "said"), [(STUBBORN, ""), (SLOW_EXIT, "ending\n")])
def test_a_second_interrupt_ends_the_process(program: str, said: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout and process.stdout.readline() == "here\n"
    assert process.stderr
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "Interrupted.\n"
    assert not said or process.stdout.readline() == said
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130 and process.stderr.read() == ""


IMPORTING = """
import sys, time
from gantrain.cli import session
from gantrain.engine import startup
def command():
    startup.import_without_gc("slow_module")
    return 0
sys.exit(session.run(command))
"""


def test_an_interrupted_import_raises_nothing(tmp_path: Path) -> None:
    """C++ code that is importing aborts the process when Python raises in it."""
    (tmp_path / "slow_module.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for _ in range(10**6): pass\n"
        "except KeyboardInterrupt:\n"
        "    os._exit(134)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING],
        env=ENVIRONMENT | {"PYTHONPATH": f"{Path(__file__).parents[2]}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.multi
@pytest.mark.ci
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.2, 2.0, 4.0])
def test_ctrl_c_at_any_moment_of_a_start(tmp_path: Path, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gantrain", *TINY, "train.kimg=100"],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT, 75), said
    assert "Traceback" not in said and ("Interrupted." in said or "state is saved" in said)


@pytest.mark.multi
@pytest.mark.parametrize("command", ["--help", "evaluate --help", "train --cfg job model=dcgan"])
def test_a_reader_that_goes_away(tmp_path: Path, command: str) -> None:
    done = run_gantrain(command, tmp_path, lost_pipe())
    assert done.returncode == 0 and done.stderr == ""


def test_a_full_disk_behind_the_output_is_told(tmp_path: Path) -> None:
    done = run_gantrain("--help", tmp_path, os.open("/dev/full", os.O_WRONLY))
    assert done.returncode == 1
    assert done.stderr == "The output could not be written (No space left on device).\n"


def lost_pipe() -> int:
    """A pipe to write to whose reader has gone already."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def run_gantrain(command: str, folder: Path, stdout: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-m", "gantrain", *command.split()],
            cwd=folder,
            env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(stdout)


def test_a_long_wait_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(waiting, "LATER_SECONDS", 0.05)
    count = threading.active_count()
    with waiting.waiting("reading the images"):
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2 and lines[0] == "Still reading the images (0 s)."
    time.sleep(0.1)
    assert capsys.readouterr().err == "" and threading.active_count() == count


def test_a_short_wait_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting.waiting("reading the images"):
        pass
    assert capsys.readouterr() == ("", "")
