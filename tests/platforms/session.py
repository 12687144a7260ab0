"""A user's session on a system that a shim plays: every command, in one process.

It prints a line of JSON per command: its name, exit code and output. Run with the folder of the
session as the working directory; see test_session.py.
"""

import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from gantrain.cli.entry import main

SETTINGS = [
    "data.resolution=16", "model.ngf=2", "model.ndf=2", "model.blocks=1", "model.d_layers=1",
    "model.pool_size=3", "train.batch=2", "train.epochs=null", "train.kimg=0.12", "lr.unit=image",
    "checkpoint.every_kimg=0.02", "tracking.every_kimg=0.02", "evaluation.test_images=2",
]  # fmt: skip
TRAIN = [
    "name=größe→1", "data=folder", "data.root=photos", "data.cache=disk", "data.cache_dir=cached",
    "runtime.workers=1", "tracking.to=[tensorboard]", *SETTINGS,
]  # fmt: skip
SWEEP = [
    "-m", "launcher=local", "hydra.launcher.jobs=1", "name=sweep", "seed=3", "data=shapes",
    "data.train_images=8", "data.test_images=2", "tracking.to=[]", *SETTINGS,
]  # fmt: skip
LATENT = [
    "model=dcgan", "name=dots", "data=shapes", "data.train_images=8", "data.resolution=16",
    "model.z_dim=4", "model.g_width=4", "model.d_width=4", "train.epochs=null", "train.kimg=0.008",
    "train.batch=4", "tracking.to=[]", "evaluation.every_kimg=0",
]  # fmt: skip
EXIT_STOPPED = 75


def command(step: str, *words: str) -> None:
    """Run `gantrain words...` and report on it as `step`."""
    sys.argv = ["gantrain", *words]
    written = io.BytesIO()
    console = sys.stdout.encoding
    streams = sys.stdout, sys.stderr
    screen = io.TextIOWrapper(written, console, newline="\n", write_through=True)
    sys.stdout = sys.stderr = screen
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout, sys.stderr = streams
    said = written.getvalue().decode(console)
    print(json.dumps({"step": step, "code": code, "said": said}), flush=True)


@contextlib.contextmanager
def ended_by(number: int, run: Path) -> Iterator[None]:
    """Send this process a signal once the run has a checkpoint."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.002):
            if any(run.glob("checkpoints/checkpoint-*.pt")):
                os.kill(os.getpid(), number)
                return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def session(kind: str) -> None:
    """All of it. On Windows, a console's Ctrl-Break (21) is what another process can send."""
    run = "runs/größe→1"
    command("prepare", "prepare", "data=folder", "data.root=photos", "data.resolution=16")
    with ended_by(21 if kind == "windows" else signal.SIGINT, Path(run)):
        command("stopped", *TRAIN)
    command("again", *TRAIN)
    command("translate", "translate", f"run={run}", "input=photos/testA", "output=translated")
    command("report", "report", f"run={run}")
    command("doctor", "doctor", f"run={run}")
    command("installation", "doctor")
    command("evaluate", "evaluate", f"run={run}", "extractor=random", "metrics=[kid]")
    command("latent", *LATENT)
    command("generate", "generate", "run=runs/dots", "seeds=0-3", "out=generated")
    if kind == "windows":
        with ended_by(signal.SIGINT, Path("sweeps/sweep/run")):
            command("sweep stopped", *SWEEP)
    command("sweep", *SWEEP)


if __name__ == "__main__":
    session(os.environ.get("GANTRAIN_TEST_PLATFORM", ""))
