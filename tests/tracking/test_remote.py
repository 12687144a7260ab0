"""Reports to services that are slow, fail, or have got some of them before."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gantrain.tracking import remote
from gantrain.tracking.remote import RemoteSink, ServiceRecord, reason

IMAGE = Image.new("RGB", (2, 2))
ALARM = {"alarm": "collapse", "level": "warning", "where": "G", "text": "t", "advice": "a"}


class Recorder:
    """A service that remembers what it got."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.got: list[Any] = []
        self.fails_at, self.held = fails_at, threading.Event()
        self.held.set()

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        assert self.held.wait(60)
        if nimg == self.fails_at:
            raise ConnectionError("the line is cut\nmore")
        self.got.append(("scalars", nimg, values))

    def grid(self, nimg: int, image: Image.Image) -> None:
        self.got.append(("grid", nimg))

    def event(self, nimg: int, event: dict[str, Any]) -> None:
        self.got.append(("event", nimg, event["alarm"]))

    def end(self, error: BaseException | None) -> None:
        self.got.append(("end", error))


def sink(
    service: Recorder, folder: Path, said: list[str], history: Iterable[dict[str, Any]] = ()
) -> RemoteSink:
    record = ServiceRecord(folder / "trackers" / "x.json", {"project": "p"})
    record.id = "7"
    return RemoteSink("X", service, record, said.append, history)


def test_a_service_gets_all_reports_in_their_order(tmp_path: Path) -> None:
    service, said = Recorder(), list[str]()
    tracker = sink(service, tmp_path, said)
    values = {"loss/G": 1.0}
    tracker.scalars(4, values)
    values["loss/G"] = 2.0  # the report is of before
    tracker.grid(4, IMAGE)
    tracker.event(4, ALARM)
    tracker.event(4, {**ALARM, "where": "D"})  # two at once
    tracker.end(None)
    assert service.got == [
        ("scalars", 4, {"loss/G": 1.0}),
        ("grid", 4),
        ("event", 4, "collapse"),
        ("event", 4, "collapse"),
        ("end", None),
    ]
    assert said == []
    saved = json.loads((tmp_path / "trackers" / "x.json").read_text())
    assert saved["id"] == "7" and saved["sent"]["scalars"] == saved["sent"]["grid"] == 4


def test_a_resumed_run_sends_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    first = sink(Recorder(), tmp_path, [])
    for nimg in (4, 8, 12):  # killed after 12; the last checkpoint is of 8
        first.scalars(nimg, {"x": float(nimg)})
        first.grid(nimg, IMAGE)
    first.end(SystemExit(75))

    service = Recorder()
    rows = [{"nimg": 4, "x": 4.0}, {"nimg": 8, "x": 8.0}]
    second = sink(service, tmp_path, [], rows)
    assert second.record.id == "7"
    for nimg in (12, 16):
        second.scalars(nimg, {"x": float(nimg)})
        second.grid(nimg, IMAGE)
    second.end(None)
    assert service.got == [("scalars", 16, {"x": 16.0}), ("grid", 16), ("end", None)]


def test_a_tracker_that_is_added_later_gets_the_earlier_reports(tmp_path: Path) -> None:
    service = Recorder()
    rows = [{"nimg": 4, "x": 4.0, "y": None}, {"nimg": 8, "x": 8.0}]  # null: was not finite
    sink(service, tmp_path, [], rows).end(None)
    assert service.got[:2] == [("scalars", 4, {"x": 4.0}), ("scalars", 8, {"x": 8.0})]


def test_a_failure_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    service, said = Recorder(fails_at=8), list[str]()
    tracker = sink(service, tmp_path, said)
    for nimg in (4, 8, 12, 16):
        tracker.scalars(nimg, {"x": 1.0})
        tracker.progress(nimg)
    tracker.end(None)
    assert [row[:2] for row in service.got] == [("scalars", 4), ("end", None)]  # it is closed
    [sentence] = said
    assert sentence.startswith("X failed (the line is cut) and gets no more reports")
    # What was not sent counts as not sent.
    assert ServiceRecord(tracker.record.path, {"project": "p"}).sent == {"scalars": 4}


def test_a_slow_service_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_PENDING", 3)
    monkeypatch.setattr(remote, "SECONDS_AT_END", 0.05)
    service, said = Recorder(), list[str]()
    service.held.clear()
    tracker = sink(service, tmp_path, said)
    for nimg in range(1, 9):
        tracker.scalars(nimg, {"x": 1.0})
    tracker.end(None)
    service.held.set()
    assert "has not taken" in said[0] and "slower than the training" in said[1]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"place": {"project": "p"}, "id": 3, "sent": 4}', "\x00"]
)
def test_a_damaged_record_is_a_new_run(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    record = ServiceRecord(file, {"project": "p"})
    assert record.id is None and record.sent == {}


def test_another_project_is_a_new_run(tmp_path: Path) -> None:
    record = ServiceRecord(tmp_path / "x.json", {"project": "p"})
    record.id, record.sent = "7", {"scalars": 3}
    record.save()
    assert ServiceRecord(record.path, {"project": "p"}).id == "7"
    assert ServiceRecord(record.path, {"project": "q"}).id is None


def test_reasons_are_one_short_line() -> None:
    assert reason(ValueError("a\nb")) == "a" and reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x" * 999))) == remote.LONGEST_REASON + 3
