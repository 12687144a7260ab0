"""Start Python as on another system, see shim/emulated/__init__.py."""

import subprocess
import sys
import threading
from pathlib import Path

from tests.helpers.command_line import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
SHIM = Path(__file__).parent / "shim"
TIMEOUT = 300  # seconds
SYSTEMS = ("windows", "macos")


def environment(system: str, drive: Path) -> dict[str, str]:
    """Of a process on `system`, whose disk is `drive`; "": on this one, with its own files."""
    kept = {k: v for k, v in ENVIRONMENT.items() if k not in ("PYTHONPATH", "COLUMNS")}
    home = {name: str(drive / "home") for name in ("HOME", "USERPROFILE")}
    home |= {"GANTRAIN_CACHE": str(drive / "cache"), "USERNAME": "me"}
    if not system:
        return kept | home | {"PYTHONPATH": str(ROOT)}
    own = {"GANTRAIN_TEST_PLATFORM": system, "GANTRAIN_TEST_DRIVE": str(drive)}
    console = "cp1252" if system == "windows" else "utf-8"
    own |= {"PYTHONIOENCODING": console, "PYTHONPATH": f"{SHIM}:{ROOT}"}
    return kept | home | own


def start(system: str, drive: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Python with these arguments in the folder `drive`; its output is piped."""
    drive.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=drive,
        env=environment(system, drive),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    timer = threading.Timer(TIMEOUT, process.kill)  # a test that reads its output must end
    timer.daemon = True
    timer.start()
    return process


def run(system: str, drive: Path, program: str) -> str:
    """What a short program prints; it must end well."""
    process = start(system, drive, "-c", program)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
    return said.decode().strip()


def broken_rules(drive: Path) -> str:
    """What was done that the system does not allow."""
    record = Path(f"{drive}-broken-rules")
    return record.read_text(encoding="utf-8") if record.exists() else ""
