"""Jobs beside a thread that goes on."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gantrain.engine.background import Background
from tests.helpers.command_line import ENVIRONMENT


class Held:
    """A job that begins, and ends when it is let go."""

    def __init__(self, done: list[str], name: str) -> None:
        self.done, self.name = done, name
        self.began, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.began.set()
        assert self.let_go.wait(60)
        self.done.append(self.name)


def fail() -> None:
    raise OSError(28, "No space left on device")


def test_jobs_are_done_in_order_while_the_caller_goes_on() -> None:
    background, done = Background(limit=3), list[str]()
    held = Held(done, "first")
    background.submit(held)
    background.submit(lambda: done.append("second"))
    assert held.began.wait(60) and done == []
    held.let_go.set()
    background.submit(lambda: done.append("third"))
    background.wait()
    assert done == ["first", "second", "third"]


def test_no_more_than_the_limit_are_taken() -> None:
    background, done = Background(limit=2), list[str]()
    jobs = [Held(done, name) for name in "abc"]
    background.submit(jobs[0])
    background.submit(jobs[1])
    taken = threading.Event()
    thread = threading.Thread(target=lambda: (background.submit(jobs[2]), taken.set()))
    thread.start()
    assert not taken.wait(0.1)
    jobs[0].let_go.set()
    assert taken.wait(60) and done == ["a"] and not jobs[2].began.is_set()
    for job in jobs:
        job.let_go.set()
    background.wait()
    assert done == ["a", "b", "c"]


def test_what_fails_is_raised_at_once_and_for_good() -> None:
    background, done = Background(limit=3), list[str]()
    held = Held(done, "first")
    for job in (held, fail, lambda: done.append("after it")):
        background.submit(job)
    background.check()
    held.let_go.set()
    background.finish()
    for call in (background.check, background.wait, lambda: background.submit(print)):
        with pytest.raises(OSError, match="No space left"):
            call()
    assert done == ["first", "after it"]  # a checkpoint is not lost for a grid


def test_an_idle_one_has_no_thread() -> None:
    background = Background()
    for _ in range(20):
        threads: list[threading.Thread] = []
        background.submit(lambda threads=threads: threads.append(threading.current_thread()))
        background.wait()
        threads[0].join(60)
        assert not threads[0].is_alive() and not threads[0].daemon


def test_an_interrupt_ends_the_wait_but_not_the_job() -> None:
    background, done = Background(), list[str]()
    held = Held(done, "job")
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        background.submit(held)
        sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            sender.start()
            background.wait()
    finally:
        signal.signal(signal.SIGINT, handler)
    held.let_go.set()
    background.wait()
    assert done == ["job"]


AT_EXIT = """
import sys, time
from pathlib import Path
from gantrain.engine.background import Background
def job():
    time.sleep(0.5)
    Path(sys.argv[1]).write_text("whole")
Background().submit(job)
raise SystemExit(3)
"""


def test_python_ends_after_the_last_job(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    environment = ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", AT_EXIT, str(file)], env=environment)
    assert ended.returncode == 3 and file.read_text() == "whole"
