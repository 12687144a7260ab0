"""What is shipped: the wheel made from the source distribution has every YAML and runs anywhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import gantrain
from gantrain.config import paths

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_version() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{gantrain.__version__}"\n' in text


def test_every_command_has_a_config() -> None:
    assert "train" in paths.commands()


def test_gitignore_is_anchored_where_it_could_swallow_configs() -> None:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    groups = {folder.name for folder in paths.config_dir().iterdir() if folder.is_dir()}
    assert not groups & {line.strip("/") for line in lines if not line.startswith("/")}


@pytest.mark.slow
def test_the_wheel_runs_from_any_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT]
    run(*build, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", "v", cwd=tmp_path)
    python = tmp_path / "v" / "bin" / "python"
    # the new venv sees the packages of the one that runs this test
    [site] = (tmp_path / "v" / "lib").glob("*/site-packages")
    here = Path(pytest.__file__).parent.parent
    (site / "dependencies.pth").write_text(f"{here}\n")
    target = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    run(*target, "--no-index", "--force-reinstall", wheel, cwd=tmp_path)
    text = run(tmp_path / "v" / "bin" / "gantrain", "--cfg", "job", cwd=Path("/"))
    assert re.search(r"^model:\n  _target_: gantrain", text, re.M)
    where = run(
        python, "-c", "from gantrain.config import paths; print(paths.config_dir())", cwd=Path("/")
    )
    installed = Path(where.strip())
    assert installed.is_relative_to(site)
    draw = "from gantrain.pages.render import render; "
    draw += "print(render('comparison.html', title='<t>', head=['h'], rows=[['c']]))"
    assert "<td>c</td>" in run(python, "-c", draw, cwd=Path("/"))  # the templates are in the wheel
    names = {str(file.relative_to(installed)) for file in installed.rglob("*.yaml")}
    assert names == {
        str(file.relative_to(ROOT / "configs")) for file in (ROOT / "configs").rglob("*.yaml")
    }
