"""Every command and every snippet of the documentation is run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command_line import gantrain

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
# What makes a documented command small: any size of network is the same code.
SMALL = [
    "model.ngf=2", "model.ndf=2", "model.blocks=1", "train.epochs=null", "train.kimg=0.004",
    "lr.unit=image", "data.resolution=32", "tracking.tensorboard=false", "evaluation.test_images=1",
]  # fmt: skip


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), flags=re.DOTALL)


def documented() -> list[str]:
    """Every line that begins with gantrain, in code blocks and in tables."""
    lines: list[str] = []
    for document in DOCUMENTS:
        lines += [line for block in blocks(document, "bash") for line in block.splitlines()]
        lines += re.findall(r"`(gantrain [^`]+)`", document.read_text())
    found = [line.split("  #")[0].strip() for line in lines if line.startswith("gantrain ")]
    return list(dict.fromkeys(found))


COMMANDS = documented()
SHOWS = ("--help", "--cfg", "--info")  # print something and train nothing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the pictures the documents speak of, and the runs as they come into being."""
    home = tmp_path_factory.mktemp("readme")
    values = np.random.default_rng(0)
    for root in ("my_photos", "datasets/horse2zebra"):
        for name in ("trainA", "trainB", "testA", "testB"):
            path = home / root / name
            path.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(values.integers(0, 256, (40, 48, 3), np.uint8)).save(
                    path / f"{i}.png"
                )
    return home


def test_the_documents_name_commands() -> None:
    assert len(COMMANDS) > 12
    assert "gantrain name=stripes" in COMMANDS


@pytest.mark.multi
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, folder: Path) -> None:
    words = shlex.split(command)[1:]
    if any(word in SHOWS for word in words):
        assert gantrain(folder, *words).strip()
        return
    typed = {word.partition("=")[0] for word in words}
    small = [word for word in SMALL if word.partition("=")[0] not in typed]
    if any(word.startswith("resume=runs/") for word in words):
        small = []  # the run as it was begun: already small
    gantrain(folder, *[w for w in words if not w.startswith("train.kimg=")], *small)


@pytest.mark.multi
def test_python_snippets_of_the_readme(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (folder / "runs/stripes").exists():  # when this test runs alone
        gantrain(folder, "name=stripes", *SMALL)
    monkeypatch.chdir(folder)
    for snippet in blocks(ROOT / "README.md", "python"):
        scope: dict[str, object] = {}
        exec(snippet, scope)
        assert scope["y"].shape == scope["x"].shape  # type: ignore[attr-defined]


def test_the_readme_names_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    for marker, command in (("run", ".venv/bin/gantrain"), ("tests", ".venv/bin/python -m pytest")):
        block = text.split(f"<!-- {marker} -->\n```bash\n")[1].split("```")[0]
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert block.strip().endswith(command)


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\"]+)\"", document.read_text()):
            target = document.parent / (link[0] or link[1])
            assert target.exists(), f"{document.name}: {target}"
