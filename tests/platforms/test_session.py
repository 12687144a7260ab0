"""A whole session on Windows and macOS, as far as Linux can play them: the same numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.command_line import differences, final_state, gantrain, rows
from tests.platforms import emulation, session

pytestmark = [pytest.mark.ci, pytest.mark.multi]
RUN = "größe→1"
STOPPED = {"windows": ("stopped", "sweep stopped"), "macos": ("stopped",)}


def make_photos(folder: Path) -> None:
    """Noise of sizes that must be resized."""
    values = np.random.default_rng(0)
    for name in ("trainA", "trainB", "testA", "testB"):
        path = folder / "photos" / name
        path.mkdir(parents=True)
        for i in range(6):
            pixels = values.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(path / f"{i}.png")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs on this system, without workers, without a stop."""
    folder = tmp_path_factory.mktemp("plain")
    make_photos(folder)
    gantrain(folder, *session.TRAIN, "runtime.workers=0")
    single = [text for text in session.SWEEP[1:] if "launcher" not in text]
    gantrain(folder, *single)
    return folder


@pytest.fixture(scope="module", params=emulation.SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def drive(system: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(system) / "drive"
    make_photos(folder)
    return folder


@pytest.fixture(scope="module")
def steps(system: str, drive: Path) -> dict[str, dict[str, Any]]:
    """The session's commands: exit code and output of each."""
    process = emulation.start(system, drive, "-m", "tests.platforms.session")
    said, _ = process.communicate(timeout=300)
    text = said.decode()
    assert process.returncode == 0, text
    return {row["step"]: row for row in map(json.loads, text.splitlines())}


def test_every_command_works(system: str, drive: Path, steps: dict[str, dict[str, Any]]) -> None:
    codes = {name: step["code"] for name, step in steps.items()}
    expected = {name: 75 if name in STOPPED[system] else 0 for name in codes}
    assert codes == expected, "\n".join(str(step["said"]) for step in steps.values())
    assert len(codes) == (12 if system == "windows" else 11)
    assert emulation.broken_rules(drive) == ""


def test_stopped_and_resumed_it_is_the_run_of_this_system(
    drive: Path, plain: Path, steps: dict[str, dict[str, Any]]
) -> None:
    assert "Resuming at" in steps["again"]["said"]
    pairs = [(f"runs/{RUN}", f"runs/{RUN}"), ("sweeps/sweep/run", "runs/sweep")]
    for ours, theirs in pairs:
        assert rows(drive / ours) == rows(plain / theirs)
        states = [final_state(drive / ours), final_state(plain / theirs)]
        for state in states:
            state.pop("note")  # settings and versions
        assert differences(*states) == []


def test_text_is_that_of_this_system(system: str, drive: Path, plain: Path) -> None:
    """What is read elsewhere has the same bytes: no other line ends, no other encoding."""
    for name in ("metrics.jsonl", "config.yaml", "overrides.yaml"):
        content = (drive / "runs" / RUN / name).read_bytes()
        assert b"\r" not in content and content.decode("utf-8")
    ours, theirs = ((top / "runs" / RUN / "overrides.yaml").read_bytes() for top in (drive, plain))
    assert ours == theirs.replace(b"- runtime.workers=0\n", b"")


def test_what_the_console_lacks_is_escaped(system: str, steps: dict[str, dict[str, Any]]) -> None:
    shown = "größe\\u21921" if system == "windows" else RUN
    assert f"Run directory: runs/{shown}" in steps["stopped"]["said"].replace("\\\\u", "\\u")


def test_memory_is_known(system: str, drive: Path, steps: dict[str, dict[str, Any]]) -> None:
    lines = (drive / "runs" / RUN / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    used = json.loads(lines[-1])["resources/memory_gb"]
    assert 0.1 < used < 4
