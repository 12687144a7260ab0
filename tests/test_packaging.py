"""What is shipped: the wheel made from the source distribution has every YAML and runs anywhere."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gantrain
from gantrain.config import paths

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=own)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_version() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{gantrain.__version__}"\n' in text


def test_every_command_has_a_config() -> None:
    assert "train" in paths.commands()


def test_gitignore_is_anchored_where_it_could_swallow_configs() -> None:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    groups = {folder.name for folder in paths.config_dir().iterdir() if folder.is_dir()}
    assert not groups & {line.strip("/") for line in lines if not line.startswith("/")}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel that the source distribution makes."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    run(*build, cwd=folder)
    [wheel] = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", "v", cwd=folder)
    python = folder / "v" / "bin" / "python"
    # the new venv sees the packages of the one that runs this test
    here = Path(pytest.__file__).parent.parent
    (site_of(folder / "v") / "dependencies.pth").write_text(f"{here}\n", encoding="utf-8")
    target = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    run(*target, "--no-index", "--force-reinstall", wheel, cwd=folder)
    return folder / "v"


def site_of(environment: Path) -> Path:
    [site] = (environment / "lib").glob("*/site-packages")
    return site


@pytest.mark.slow
def test_the_wheel_runs_from_any_folder(environment: Path) -> None:
    python = environment / "bin" / "python"
    text = run(environment / "bin" / "gantrain", "--cfg", "job", cwd=Path("/"))
    assert re.search(r"^model:\n  _target_: gantrain", text, re.M)
    where = run(
        python, "-c", "from gantrain.config import paths; print(paths.config_dir())", cwd=Path("/")
    )
    installed = Path(where.strip())
    assert installed.is_relative_to(site_of(environment))
    draw = "from gantrain.pages.render import render; "
    draw += "print(render('comparison.html', title='<t>', head=['h'], rows=[['c']]))"
    assert "<td>c</td>" in run(python, "-c", draw, cwd=Path("/"))  # the templates are in the wheel
    names = {str(file.relative_to(installed)) for file in installed.rglob("*.yaml")}
    assert names == {
        str(file.relative_to(ROOT / "configs")) for file in (ROOT / "configs").rglob("*.yaml")
    }


@pytest.fixture
def read_only(environment: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder of which only runs/ can be written; so cannot the installation."""
    (tmp_path / "runs").mkdir()
    folders = [f for f in site_of(environment).rglob("*") if f.is_dir()]
    folders += [site_of(environment), environment, tmp_path]
    for folder in folders:
        folder.chmod(0o555)
    yield tmp_path
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_it_trains_where_only_the_runs_can_be_written(environment: Path, read_only: Path) -> None:
    """As in a container: no variables, no programs to call, no home."""
    python = environment / "bin" / "python"
    bare = ["env", "-i", "PATH=", f"HOME={read_only / 'none'}", "OMP_NUM_THREADS=1"]
    bare = [shutil.which(bare[0]) or "", *bare[1:]]
    if os.geteuid() == 0:  # who may write everywhere, unless that right is given up
        setpriv = shutil.which("setpriv") or pytest.skip("root, and there is no setpriv")
        bare = [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *bare]

    def inside(*words: str | Path) -> str:
        return run(*bare, *words, cwd=read_only)

    for place in (read_only, site_of(environment)):
        attempt = f"open({str(place / 'x')!r}, 'w')"
        with pytest.raises(AssertionError, match="PermissionError"):
            inside(python, "-c", attempt)
    gantrain = environment / "bin" / "gantrain"
    settings = ["model=dcgan", "data=shapes", "data.train_images=8", "data.resolution=16"]
    settings += ["model.z_dim=4", "model.g_width=4", "model.d_width=4", "train.epochs=null"]
    settings += ["train.batch=4", "name=dots", "evaluation.every_kimg=0"]
    inside(gantrain, *settings, "train.kimg=0.008")  # two steps
    inside(gantrain, "generate", "run=runs/dots", "seeds=0-3")
    said = inside(gantrain, "resume=runs/dots", "train.kimg=0.016")
    assert "Resuming at 0.008 kimg" in said
    assert len([*(read_only / "runs" / "dots" / "snapshots").glob("*.pt")]) == 2
    assert {path.name for path in read_only.iterdir()} == {"runs"}
