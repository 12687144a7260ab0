"""A real Slurm on loopback for a test: started by lab.sh, steered through its commands."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).with_name("lab.sh")
PATIENCE = 240.0  # seconds for anything that is waited for, on a busy machine
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"),
)  # all other states, SIGNALING or PREEMPTED among them, pass


class Unavailable(Exception):
    """No Slurm here; the text says why."""


class Lab:
    """Commands of the cluster.

    Attributes:
        environment: for processes that are to see this cluster, and no other.
    """

    def __init__(self, folder: Path, port: int, grace: int) -> None:
        own = ("SLURM", "LAB", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        self.environment = kept | {
            "LAB": str(folder),
            "LAB_PORT": str(port),
            "LAB_GRACE": str(grace),
            "LAB_CPUS": "8",
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join(
                [str(SCRIPT.parent / "bin"), str(Path(sys.executable).parent), kept["PATH"]]
            ),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """What the command prints; an error if it fails."""
        done = subprocess.run(
            command, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *arguments: str, cwd: Path) -> str:
        """`sbatch arguments` in `cwd`; the number of the job."""
        return self.run("sbatch", "--parsable", *arguments, cwd=cwd).strip()

    def job(self, number: str) -> dict[str, str]:
        """Fields of `scontrol show job`: JobState, Restarts, Reason, ExitCode, ..."""
        line = self.run("scontrol", "-o", "show", "job", number)
        return {word.partition("=")[0]: word.partition("=")[2] for word in line.split()}

    def output(self, number: str) -> str:
        """What the job has printed, in all its turns."""
        file = Path(self.job(number)["StdOut"])
        return file.read_text(errors="replace") if file.exists() else ""

    def wait(self, number: str, condition: Callable[[], bool]) -> None:
        """Until `condition()`, which must come while the job lives."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            fields = self.job(number)
            told = f"job {number} {fields['JobState']}: {self.output(number)}"
            assert fields["JobState"] not in ENDED or condition(), told  # it may have come just now
            assert time.monotonic() < deadline, told
            time.sleep(0.2)

    def until(self, condition: Callable[[], bool], launcher: subprocess.Popen[str]) -> None:
        """Until `condition()`, which must come while the process `launcher` runs."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            ended = launcher.poll() is not None and not condition()
            assert not ended, launcher.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def finish(self, number: str) -> dict[str, str]:
        """Wait for the end, without the two minutes that Slurm holds back a requeued job."""
        fields: dict[str, str] = {}

        def ended() -> bool:
            fields.clear()
            fields.update(self.job(number))
            if fields["JobState"] == "PENDING" and fields["Reason"] == "BeginTime":
                self.release(number)
            return fields["JobState"] == "COMPLETED"

        self.wait(number, ended)
        return fields

    def requeued(self, number: str, times: int = 1) -> None:
        """Wait until the job has been queued again so many times, and waits."""
        self.wait(number, lambda: int(self.job(number)["Restarts"]) >= times)
        self.wait(number, lambda: self.job(number)["JobState"] == "PENDING")

    def release(self, number: str, *changes: str) -> None:
        """Let a requeued job start now."""
        # A node refuses ("Job credential revoked") what starts in the second in which the job ended
        # there. Slurm itself holds a requeued job back for two minutes.
        time.sleep(2)
        self.run("scontrol", "update", f"JobId={number}", "StartTime=now", *changes)


@contextmanager
def started(nodes: int = 1, grace: int = 4) -> Iterator[Lab]:
    """A cluster of `nodes` nodes of eight CPUs; gone, with all its jobs, after the block.

    Args:
        grace: seconds that a preempted job keeps.

    Raises:
        Unavailable: Slurm is not installed and cannot be, or does not start.
    """
    if not (shutil.which("slurmctld", path=_PATH) and shutil.which("munged", path=_PATH)):
        _lab_script("install", environment=dict(os.environ))
    # A short path: that of a socket may have 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="gantrain-slurm-"))
    lab = Lab(folder, _free_port(), grace)
    try:
        # Should this process be killed, the cluster goes, too.
        _lab_script("up", str(nodes), str(os.getpid()), environment=lab.environment)
        yield lab
    finally:
        _lab_script("down", environment=lab.environment)
        shutil.rmtree(folder, ignore_errors=True)


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _lab_script(*arguments: str, environment: dict[str, str]) -> None:
    # Into a file: daemons inherit the other end of a pipe, and reading it would never end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            env=environment | {"PATH": _PATH},
            stdout=output,
            stderr=output,
            timeout=PATIENCE,
        )
        output.seek(0)
        if done.returncode:
            last = output.read().strip().splitlines() or [f"exit code {done.returncode}"]
            raise Unavailable(f"lab.sh {arguments[0]}: {last[-1]}")


def _free_port() -> int:
    """The first of 200 ports, of which those that will be listened on are free now."""
    for start in range(17000 + os.getpid() % 50 * 200, 30000, 200):
        sockets = [socket.socket() for _ in range(3)]
        try:
            for one, port in zip(sockets, (start, start + 10, start + 11), strict=True):
                one.bind(("127.0.0.1", port))
            return start
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise Unavailable("no free ports between 17000 and 30000")
