"""The documentation site: generated pages are current, and it builds without a warning."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import draw_architecture, make_reference

ROOT = Path(__file__).parents[1]


def test_generated_pages_are_current() -> None:
    for path, text in make_reference.pages().items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name} is out of date: run python scripts/make_reference.py"
        )


def test_the_picture_of_the_architecture_is_current(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["draw_architecture.py", "--check"])
    assert draw_architecture.main() == 0, capsys.readouterr().out
    monkeypatch.setattr(draw_architecture, "PICTURE", ROOT / "docs" / "nowhere.svg")
    assert draw_architecture.main() == 1
    assert "docs/nowhere.svg is out of date" in capsys.readouterr().out
    drawn = (ROOT / "docs/architecture.svg").read_text()
    parts = {path.stem for path in (ROOT / "gantrain").iterdir() if not path.stem.startswith("_")}
    assert all(f">{name}</text>" in drawn for name in parts)
    assert [name for row in draw_architecture.ROWS for name in row if name not in parts] == []


def test_arrows_that_a_longer_way_replaces_are_left_out() -> None:
    pairs = {("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")}
    assert draw_architecture.reduced(pairs) == {("a", "b"), ("b", "c"), ("d", "c")}


def test_every_key_has_a_type_and_a_meaning() -> None:
    for name in ("train.md", "commands.md"):
        for line in (ROOT / "docs/reference" / name).read_text().splitlines():
            if line.startswith("| `"):
                cells = [cell.strip() for cell in line.replace("\\|", "").strip("|").split("|")]
                assert len(cells) == 4 and cells[2] and cells[3], line


def test_check_tells_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_reference, "OUT", ROOT / "docs" / "nowhere")
    monkeypatch.setattr(sys, "argv", ["make_reference.py", "--check"])
    assert make_reference.main() == 1
    assert "docs/nowhere/train.md is out of date" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="needs the extra gantrain[docs]"
)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "tutorials/first-cyclegan/index.html").is_file()
