"""The emulated systems do refuse what the real ones refuse: otherwise their tests say nothing."""

import sys
from pathlib import Path

import pytest

from tests.platforms import emulation

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can play others")

REFUSED = """
import builtins, multiprocessing, os, shutil, sys, tempfile
from pathlib import Path

def kind_of_error(function, *args):
    try:
        function(*args)
    except Exception as error:
        return type(error).__name__
    return "fine"

def replace_open():
    Path("a").write_text("1", "utf-8")
    Path("b").write_text("2", "utf-8")
    with open("b", "rb"):
        os.replace("a", "b")

def remove_mapped():
    import mmap
    Path("c").write_bytes(b"123")
    with open("c", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        os.remove("c")
    finally:
        mapped.close()

def remove_closed():
    Path("d").write_bytes(b"")
    os.remove("d")

def other_case():
    Path("e").write_bytes(b"")
    Path("E").write_bytes(b"")

def fork():
    multiprocessing.get_context("fork").Process(target=print)

def newline():
    Path("lines").write_text("x\\n", "utf-8")
    assert Path("lines").read_bytes() == b"x\\r\\n"

checks = dict(
    replace_open=replace_open, remove_mapped=remove_mapped, remove_closed=remove_closed,
    other_case=other_case, fork=fork, newline=newline,
    reserved=lambda: open("aux.txt", "w"), character=lambda: os.mkdir("a:b"),
    dot=lambda: os.mkdir("folder."), long=lambda: open("x" * 250, "w"),
    link=lambda: os.symlink("a", "z"), kernel=lambda: open("/proc/meminfo"),
    shm=lambda: shutil.disk_usage("/dev/shm"), disk=lambda: shutil.disk_usage("."),
    affinity=lambda: os.sched_getaffinity(0), fcntl=lambda: __import__("fcntl"),
)
print({name: kind_of_error(check) for name, check in checks.items()})
"""


@pytest.mark.parametrize("system", ["", *emulation.SYSTEMS])
def test_files_and_processes(system: str, tmp_path: Path) -> None:
    found = eval(emulation.run(system, tmp_path / "drive", REFUSED))
    fine = dict.fromkeys(found, "fine") | {"newline": "AssertionError"}
    macos = {
        "other_case": "FileExistsError", "fork": "AssertionError", "kernel": "FileNotFoundError",
        "shm": "FileNotFoundError", "affinity": "AttributeError",
    }  # fmt: skip
    windows = macos | {
        "replace_open": "PermissionError", "remove_mapped": "PermissionError",
        "link": "PermissionError", "long": "FileNotFoundError", "reserved": "OSError",
        "character": "OSError", "dot": "OSError", "fcntl": "ModuleNotFoundError",
        "newline": "fine", "fork": "ValueError",
    }  # fmt: skip
    expected = {"": fine, "macos": fine | macos, "windows": fine | windows}
    assert found == expected[system]
    if system == "windows":
        assert "The file name is not valid" in emulation.broken_rules(tmp_path / "drive")


VIEW = """
import gantrain.io.processes as module
import signal
print(module.sys.platform, module.os.name, hasattr(module.os, "fork"))
print(hasattr(module.signal, "SIGHUP"), hasattr(module.signal, "SIGBREAK"))
for number in (signal.SIGUSR1, signal.SIGTERM):
    try:
        module.signal.signal(number, lambda *_: print("handled"))
        module.signal_self(number)
    except ValueError as error:
        print(error)
"""


def test_gantrain_sees_windows(tmp_path: Path) -> None:
    said = emulation.run("windows", tmp_path / "drive", VIEW).splitlines()
    assert said == ["win32 nt False", "False True", "invalid signal value: 10", "handled"]


def test_text_without_an_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gantrain").mkdir()
    text = "from pathlib import Path\ndef f(): Path('x').write_text('1')\n"
    (tmp_path / "gantrain" / "__init__.py").write_text(text, encoding="utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import gantrain\ntry: gantrain.f()\nexcept AssertionError as error: print(error)"
    )
    said = emulation.run("windows", tmp_path / "drive", program)
    assert said == "gantrain opens x without an encoding"
