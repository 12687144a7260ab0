"""scripts/gpu_wheels.sh: what it collects is complete, fits Python 3.12 on Linux and is small.

A program in pip's place stands for the network in the fast tests.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/gpu_wheels.sh"
MACHINE = {"torch", "numpy", "pillow"}  # these, and what they need, are there already
MOST = 30_000_000  # bytes
LINUX_312 = {
    "python_version": "3.12",
    "python_full_version": "3.12.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "extra": "",
}

# A wheel of every name, as large as SIZE says, and numpy; or a failure.
STAND_IN = f"""#!{sys.executable}
import os, pathlib, sys
words = sys.argv[1:]
if words[:3] == ["-m", "pip", "wheel"]:
    sys.exit(0)
assert words[:3] == ["-m", "pip", "download"], words
if "FAULT" in os.environ:
    sys.exit("pip: no such thing")
folder = pathlib.Path(words[words.index("--dest") + 1])
folder.mkdir()
names = words[words.index("--constraint") + 2:]
for name in [*(n for n in names if "=" not in n), "numpy"]:
    size = int(os.environ["SIZE"])
    (folder / f"{{name.replace('-', '_')}}-2.0-py3-none-any.whl").write_bytes(bytes(size))
"""


def collect(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script, run in `folder`."""
    return subprocess.run(
        [str(SCRIPT), *words],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    path = tmp_path / "python"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return str(path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_wheels_take_the_place_of_old_ones(tmp_path: Path, stand_in: str) -> None:
    (tmp_path / "w w").mkdir()
    for name in ("rich-1.0-py3-none-any.whl", "notes.txt"):
        (tmp_path / "w w" / name).touch()
    done = collect(tmp_path, "w w", PYTHON=stand_in, SIZE="100000")
    assert done.returncode == 0, done.stderr
    found = names(tmp_path / "w w")
    assert "rich-2.0-py3-none-any.whl" in found and "notes.txt" in found
    assert "rich-1.0-py3-none-any.whl" not in found and "numpy" not in " ".join(found)
    count = len(found) - 1
    assert f"{count} wheels, {count / 10:.1f} MB, in w w" in done.stdout


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"SIZE": "2000000"}, "more than 30 MB"), ({"FAULT": "1"}, "pip: no such thing")],
)
def test_a_failure_leaves_what_was_there(
    environment: dict[str, str], said: str, tmp_path: Path, stand_in: str
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/rich-1.0-py3-none-any.whl").touch()
    done = collect(tmp_path, PYTHON=stand_in, **environment)
    assert done.returncode == 1
    assert said in done.stderr and not done.stdout
    assert names(tmp_path / "wheels") == ["rich-1.0-py3-none-any.whl"]


def test_more_than_a_folder_is_refused(tmp_path: Path) -> None:
    for words in (("a", "b"), ("--help",)):
        done = collect(tmp_path, *words)
        assert done.returncode == 2 and "usage" in done.stderr
    assert not names(tmp_path)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that holds wheels/, and what was printed."""
    folder = tmp_path_factory.mktemp("collected")
    done = collect(folder)
    if done.returncode:
        ask = [sys.executable, "-m", "pip", "index", "versions", "antlr4-python3-runtime"]
        if subprocess.run(ask, capture_output=True).returncode:
            pytest.skip("pip reaches no package index from here, so there is nothing to collect")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def wheels(folder: Path) -> dict[str, Path]:
    """The wheels by canonical name; one of each."""
    found = sorted((folder / "wheels").glob("*.whl"))
    by_name = {str(parse_wheel_filename(path.name)[0]): path for path in found}
    assert len(by_name) == len(found)
    return by_name


def requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
        facts = HeaderParser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in facts.get_all("Requires-Dist", [])]


def gantrain_needs() -> list[Requirement]:
    """To train and to be tested."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [block] = re.findall(r"^dependencies = \[\n(.*?)^\]", text, flags=re.DOTALL | re.MULTILINE)
    tests = re.findall(r'"(pytest(?:-xdist)?[<>=][^"]*)"', text)
    assert len(tests) == 2
    return [Requirement(line) for line in [*re.findall(r'"(.+?)"', block), *tests]]


@pytest.mark.slow
def test_nothing_is_missing_and_nothing_too_much(collected: tuple[Path, str]) -> None:
    found, reached = wheels(collected[0]), set[str]()
    left = gantrain_needs()
    while left:
        need = left.pop()
        name = str(canonicalize_name(need.name))
        if name in MACHINE or (need.marker and not need.marker.evaluate(LINUX_312)):
            continue
        assert name in found, f"{need} is not there"
        assert need.specifier.contains(parse_wheel_filename(found[name].name)[1]), need
        if name not in reached:
            reached.add(name)
            left += requirements(found[name])
    assert reached == set(found)


@pytest.mark.slow
def test_every_wheel_fits_and_all_are_small(collected: tuple[Path, str]) -> None:
    folder, said = collected
    found = wheels(folder)
    # glibc 2.28 is what torch's own wheels want, so the machine has that or newer.
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
    platforms += [f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")]
    fitting = {*cpython_tags((3, 12), ["cp312"], platforms), *compatible_tags((3, 12), "cp312")}
    for path in found.values():
        assert parse_wheel_filename(path.name)[3] & fitting, path.name
    total = sum(path.stat().st_size for path in found.values())
    assert total < MOST
    assert f"{len(found)} wheels, {total / 1e6:.1f} MB, in wheels." in said
    assert not {path.name for path in (folder / "wheels").iterdir()} - {
        path.name for path in found.values()
    }


def python312() -> str | None:
    """A Python 3.12 that can make environments."""
    candidates = [shutil.which("python3.12"), *Path.home().glob(".pyenv/versions/3.12*/bin/python")]
    for path in candidates:
        # A pyenv shim is there without its Python.
        ask = [str(path), "-c", "import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 12))"]
        if path and subprocess.run(ask, capture_output=True).returncode == 0:
            return str(path)
    return None


@pytest.mark.slow
def test_the_printed_lines_install_them(collected: tuple[Path, str]) -> None:
    python = python312()
    if python is None:
        pytest.skip("there is no Python 3.12 here to install the wheels with")
    folder, said = collected
    subprocess.run([python, "-m", "venv", folder / "bare"], check=True)
    _, install, export = said.splitlines()
    imports = "import hydra, omegaconf, yaml, rich.table, xdist, pytest, google.protobuf, grpc"
    check = f"{imports}; import importlib.util as u; assert u.find_spec('tensorboard')"
    script = (
        f'set -eu; {install}; {export}; cd /; python3 -c "{check}"; python3 -m pytest --version'
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIP_TARGET")}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**clean, "PATH": f"{folder}/bare/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pytest" in done.stdout + done.stderr
