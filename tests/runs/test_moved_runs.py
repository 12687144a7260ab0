"""Runs that began on another system."""

from pathlib import Path

import pytest

from gantrain.io.names import local_path
from gantrain.runs.resume import config_diff
from tests.helpers.command_line import TINY, gantrain, rows
from tests.helpers.picture_sets import write_set


def test_a_path_of_windows_leads_to_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "pics").mkdir(parents=True)
    assert local_path(r"my\pics") == Path("my/pics")
    assert local_path(r"my\none") == Path(r"my\none")
    assert local_path("~/x") == Path.home() / "x"
    (tmp_path / r"my\pics").mkdir()  # a name here
    assert local_path(r"my\pics") == Path(r"my\pics")


def test_slashes_are_no_difference() -> None:
    old, new = {"data": {"root": r"my\pics", "x": 1}}, {"data": {"root": "my/pics", "x": 2}}
    assert config_diff(old, new) == ["data.x: 1 -> 2"]


@pytest.mark.multi
def test_a_run_from_windows_goes_on_here(tmp_path: Path) -> None:
    write_set(tmp_path / "my" / "pics")
    tiny = [text for text in TINY if not text.startswith(("data", "evaluation"))]
    settings = [*tiny, "data.resolution=16", "train.kimg=0.004"]
    gantrain(tmp_path, "data=folder", "data.root=my/pics", "name=run", *settings)
    run = tmp_path / "runs" / "run"
    for name in ("config.yaml", "overrides.yaml"):
        text = (run / name).read_text(encoding="utf-8")
        assert "root=my/pics" in text or "root: my/pics" in text
        moved = text.replace("my/pics", r"my\pics").replace("\n", "\r\n")
        (run / name).write_bytes(moved.encode())
    said = gantrain(tmp_path, "resume=runs/run", "train.kimg=0.008")
    assert "Resuming at 0.004 kimg" in said and "Warning: the images" not in said
    assert rows(run)[-1]["nimg"] == 8
