import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import gantrain


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that was stopped after two reports."""
    path = tmp_path / "run"
    (path / "grids").mkdir(parents=True)
    (path / "config.yaml").write_text("{}")
    reports = [{"nimg": 2, "loss/G": 1.5}, {"nimg": 4, "loss/G": 0.5}]
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in reports))
    return path


def test_history_and_the_newest_grid(run: Path) -> None:
    for number, color in ((2, 10), (4, 200)):
        Image.new("RGB", (4, 3), (color, 0, 0)).save(run / f"grids/grid-000000.00{number}.png")
    opened = gantrain.run(run)
    assert opened.history == [{"nimg": 2, "loss/G": 1.5}, {"nimg": 4, "loss/G": 0.5}]
    assert opened.grid().size == (4, 3) and opened.grid().getpixel((0, 0)) == (200, 0, 0)
    assert opened.result == {}


def test_what_is_missing_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(gantrain.ConfigError, match="has no grids"):
        gantrain.run(run).grid()
    with pytest.raises(gantrain.ConfigError, match="is not a run directory"):
        gantrain.run(run / "grids")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(gantrain.ConfigError, match="pip install pandas"):
        gantrain.run(run).table()


def test_the_table_is_made_of_the_history(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(DataFrame=lambda data: ("frame", data))
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    opened = gantrain.run(run)
    assert opened.table() == ("frame", opened.history)
