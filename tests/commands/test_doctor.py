"""Health as a user sees it: lines, events, and gantrain doctor."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.command_line import TINY, gantrain, rows

WATCHED = [option for option in TINY if not option.startswith("data.test_images")]
WATCHED += ["data.test_images=8", "lr.schedule=constant", "tracking.every_kimg=0.002"]
WATCHED += ["tracking.health_every_kimg=0.004", "tracking.health_images=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 12 images, runs/whole."""
    folder = tmp_path_factory.mktemp("doctor")
    said = gantrain(folder, *WATCHED, "train.kimg=0.012", "name=whole")
    assert "  health ab: D real/fake/held " in said and " · ba: D real/fake/held " in said
    return folder


def test_probes_are_reported_every_so_often_and_resume_exactly(home: Path) -> None:
    found = rows(home / "runs/whole")
    assert [row["nimg"] for row in found if "health/ab/luma" in row] == [4, 8, 12]
    gantrain(home, *WATCHED, "train.kimg=0.006", "name=two")
    gantrain(home, "resume=runs/two", "train.kimg=0.012")
    assert rows(home / "runs/two") == found


@pytest.mark.ci
def test_ranks_see_the_same(home: Path) -> None:
    gantrain(home, *WATCHED, "train.kimg=0.012", "name=one", "train.batch=2", "train.microbatch=1")
    gantrain(home, *WATCHED, "train.kimg=0.012", "name=ranks", "train.batch=2", "runtime.devices=2")
    one, ranks = (rows(home / f"runs/{name}") for name in ("one", "ranks"))
    assert sum("health/ba/hidden" in row for row in ranks) == 3
    for a, b in zip(one, ranks, strict=True):
        for key in (key for key in a if key.startswith("health/")):
            assert b[key] == pytest.approx(a[key], rel=1e-3, abs=1e-4), key


def test_a_healthy_run(home: Path) -> None:
    said = gantrain(home, "doctor", "run=runs/whole", "samples=6", "device=cpu")
    assert "Latest probe, at 0.012 kimg" in said and "No alarms." in said
    figures = [line for line in said.splitlines() if line.startswith("    ")]
    assert len(figures) > 4 and all("  " in line.strip() for line in figures)  # each has its note
    assert re.search(
        r"^    diversity \d\.\d\d +how much fakes differ, .* near 1 is good$", said, re.M
    )
    assert "a to b: 0 of 6 are nearer to a training image than" in said
    assert "of 8 held-out images, and" in said and "(50% is normal): nothing suspicious." in said
    width, height = Image.open(home / "runs/whole/doctor.png").size
    assert width > 4 * 96 and height > 6 * 96
    quick = gantrain(home, "doctor", "run=runs/whole", "samples=0")
    assert "No alarms." in quick and "nearer" not in quick


def test_alarms_are_events_in_the_log_and_on_the_page(home: Path) -> None:
    """A run whose reports are made to look ill."""
    gantrain(home, *WATCHED, "train.kimg=0.004", "name=ill")
    run = home / "runs/ill"
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    last["health/ab/luma"] = -0.8
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({**last, "nimg": nimg}) + "\n" for nimg in (5, 6, 7))
    said = gantrain(home, "doctor", "run=runs/ill", "samples=0", code=1)
    assert "ALARM at 0.007 kimg, inverted: Translations a to b are negatives" in said
    assert "model.lambda_identity" in said and "(gone since)" not in said


def test_a_number_that_is_not_finite_is_traced(home: Path) -> None:
    said = gantrain(home, *WATCHED, "train.kimg=0.012", "name=nan", "optimizer.lr=1e25", code=1)
    assert "The gradient of phase" in said and "was not finite at step" in said
    (event,) = map(json.loads, (home / "runs/nan/events.jsonl").read_text().splitlines())
    assert event["alarm"] == "nonfinite" and event["level"] == "critical"
    assert "the first " in event["text"] and "aten." in event["text"]
    assert " in G.ab.model" in event["text"] or " in D." in event["text"]
    doctor = gantrain(home, "doctor", "run=runs/nan", code=1)
    assert event["text"] in doctor and "No snapshot yet" in doctor
    gantrain(home, "report", "run=runs/nan")
    assert "nonfinite" in (home / "runs/nan/report.html").read_text()


def test_skipped_steps_are_traced_too(home: Path) -> None:
    options = ["train.kimg=0.006", "name=skip", "optimizer.lr=1e25", "train.on_nonfinite=skip"]
    said = gantrain(home, *WATCHED, *options)
    events = [
        json.loads(line)
        for line in (home / "runs/skip/events.jsonl").read_text().split("\n")
        if line
    ]
    assert {"nonfinite", "skipped"} <= {event["alarm"] for event in events}
    assert "The step was skipped." in said
    assert "phase D was not finite at step 1: 'fake_" in said and " of the batch was not" in said


def test_wrong_words_and_missing_runs(home: Path) -> None:
    said = gantrain(home, "doctor", "run=nowhere", code=2)
    assert "run=nowhere is not a run" in said
    said = gantrain(home, "doctor", "run=runs/whole", "samples=-1", "device=gpu", code=2)
    assert "samples" in said
    (home / "runs/old").mkdir()
    for file in ("config.yaml", "result.json"):
        (home / f"runs/old/{file}").write_bytes((home / f"runs/whole/{file}").read_bytes())
    said = gantrain(home, "doctor", "run=runs/old")
    assert "No health probes in" in said and "No snapshot yet" in said
