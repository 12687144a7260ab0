"""What runs elsewhere agrees with what is here: the workflow, .ci/run, Dockerfile, conda."""

import re
import shutil
import stat
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from gantrain.config import paths

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
CLASSIFIERS = {"ubuntu": "POSIX :: Linux", "macos": "MacOS", "windows": "Microsoft :: Windows"}
STUB = "#!/usr/bin/env bash\n"


def classified(kind: str) -> set[str]:
    start = f"{kind} :: "
    return {text.removeprefix(start) for text in PROJECT["classifiers"] if text.startswith(start)}


def jobs() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]


def scripts() -> list[str]:
    return [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]


def test_the_matrix_is_what_the_project_says_it_supports() -> None:
    matrix = jobs()["tests"]["strategy"]["matrix"]
    versions = matrix["python"]
    assert all(isinstance(version, str) for version in versions)  # 3.10 would be 3.1
    assert set(versions) == classified("Programming Language :: Python")
    assert PROJECT["requires-python"] == f">={versions[0]}"
    systems = [name.removesuffix("-latest") for name in matrix["os"]]
    assert {CLASSIFIERS[name] for name in systems} == classified("Operating System")
    assert len(systems) == len(CLASSIFIERS)


def test_all_runners_call_the_one_script() -> None:
    steps = jobs()["tests"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    assert jobs()["tests"]["defaults"]["run"]["shell"] == "bash"
    assert (ROOT / ".ci" / "run").is_file()
    [python] = [step["with"] for step in steps if "setup-python" in step.get("uses", "")]
    assert python["python-version"] == "${{ matrix.python }}"
    assert (ROOT / python["cache-dependency-path"]).is_file()


def test_actions_have_a_version() -> None:
    used = [step["uses"] for job in jobs().values() for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name) for name in used)


def stub(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(f"{STUB}{text}\n", encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("system", "python", "bin"),
    [("Linux", "python3", ".venv/bin"), ("MINGW64_NT-10.0", "python", ".venv/Scripts")],
)
def test_the_script_runs_the_command_of_the_readme(
    system: str, python: str, bin: str, tmp_path: Path
) -> None:
    """With stand-ins that write down how they are called."""
    stubs, checkout, log = tmp_path / "stubs", tmp_path / "checkout", tmp_path / "log"
    stubs.mkdir()
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / "README.md", checkout)
    shutil.copy(ROOT / ".ci" / "run", checkout / ".ci")
    stub(stubs, "uname", f"echo {system}")
    stub(stubs, "git", r"printf 'README.md\0'")
    note = f'echo "$0 $*" >> {log}'
    tools = "\n".join(
        f"cp {stubs}/note {bin}/{name}" for name in ("pip", "python", "ruff", "pyright")
    )
    stub(stubs, "note", note)
    stub(stubs, python, f"{note}\nmkdir -p {bin}\n{tools}")
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        ["bash", ".ci/run"],
        cwd=checkout,
        env={"PATH": f"{stubs}:/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *called = log.read_text(encoding="utf-8").splitlines()
    assert first == f"{stubs}/{python} -m venv .venv"
    assert called == [
        f"{bin}/pip install -e .[dev]",
        f"{bin}/python -m pytest",
        f"{bin}/python -m pytest -n 3 -m ci and not slow and not gpu",
        f"{bin}/ruff check .",
        f"{bin}/ruff format --check .",
        f"{bin}/pyright --pythonpath {bin}/python",
    ]
    assert not any((tmp_path / "tmp").iterdir())


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = [line.partition(" ")[::2] for line in joined.splitlines() if line.strip()]
    return [(name, value.strip()) for name, value in pairs]


def values(name: str) -> list[str]:
    return [value for key, value in instructions() if key == name]


def copied() -> list[str]:
    return [source for value in values("COPY") for source in value.split()[:-1]]


def kept_by_dockerignore(name: str) -> bool:
    kept = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and fnmatch(name, line.lstrip("!")):
            kept = line.startswith("!")
    return kept


def test_the_image_is_made_of_what_is_here() -> None:
    assert all((ROOT / source).exists() and kept_by_dockerignore(source) for source in copied())
    kept = [path.name for path in ROOT.iterdir() if kept_by_dockerignore(path.name)]
    assert sorted(kept) == sorted(copied())
    read = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml"}
    assert read <= set(copied())  # what a wheel is made of


def test_the_image_takes_any_wheels_of_torch_and_known_extras() -> None:
    arguments = dict(value.split("=", 1) for value in values("ARG"))
    assert arguments["TORCH_INDEX"] == "https://download.pytorch.org/whl/cpu"
    assert set(arguments["EXTRAS"].split(",")) <= PROJECT["optional-dependencies"].keys()
    assert arguments["PYTHON"] in classified("Programming Language :: Python")
    assert values("FROM") == ["python:${PYTHON}-slim"]
    [torch, gantrain, _] = values("RUN")
    assert '--extra-index-url "${TORCH_INDEX}"' in torch
    assert 'pip install "/source[${EXTRAS}]"' in gantrain and "rm -rf /source" in gantrain
    program = re.search(r'python -c "(.*?)" >', torch)
    assert program
    text = program[1].replace("/source/", f"{ROOT}/")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    if sys.version_info >= (3, 11):
        assert done.stdout.strip() in PROJECT["dependencies"], done.stderr


def test_the_image_runs_gantrain_as_a_user() -> None:
    names = [name for name, _ in instructions()]
    assert values("ENTRYPOINT") == ['["gantrain"]'] and "gantrain" in PROJECT["scripts"]
    [user] = values("USER")
    assert user != "root" and names.index("USER") > max(
        i for i, name in enumerate(names) if name == "RUN"
    )
    assert values("VOLUME") == ['["/data", "/work/runs", "/work/cache"]']
    assert values("WORKDIR") == ["/work"]
    assert "PIP_NO_CACHE_DIR=1" in values("ENV")[0]


def test_conda_installs_what_the_project_says() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, by_pip = content["dependencies"]
    assert python.removeprefix("python=") in classified("Programming Language :: Python")
    assert pip == "pip" and content["name"] == PROJECT["name"]
    [command] = by_pip["pip"]
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", command)
    assert extras and set(extras[1].split(",")) <= PROJECT["optional-dependencies"].keys()


def test_what_the_container_runs_is_a_command() -> None:
    runs = [text for text in scripts() if text.startswith("docker run")]
    assert len(runs) == 2
    for text in runs:
        words = text.split()[text.split().index("gantrain") + 1 :]
        known = {"--version", *paths.commands()}
        assert all("=" in word or word in known for word in words), text
    [build] = [text for text in scripts() if text.startswith("docker build")]
    given = re.findall(r"--build-arg (\w+)=", build)
    assert set(given) <= {value.partition("=")[0] for value in values("ARG")}
