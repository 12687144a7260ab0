"""When a row of numbers is an alarm."""

import math
from typing import Any

import pytest

from gantrain.health.alarms import Alarm, AlarmMonitor

GOOD = {
    "logit_real": 1.0, "logit_fake": 0.0, "logit_held": 0.9, "separation": 0.9, "overfit": 0.1,
    "overfit_sigma": 1.0, "diversity": 0.9, "copy": 0.5, "luma": 0.6, "hidden": 1.1,
}  # fmt: skip
TOTAL = 100_000


def row(place: str = "ab", **changed: float) -> dict[str, float | None]:
    signals = {f"health/{place}/{name}": x for name, x in {**GOOD, **changed}.items()}
    losses = {"loss/D/b": 0.01, "loss/G/adversarial_b": 0.9, "loss/D/real": 0.005,
              "loss/D/fake": 0.004, "loss/G/adversarial": 5.0}  # fmt: skip
    return {**signals, **losses, "progress/skipped_steps": 0.0, "progress/data_wait": 0.02}


def alarms(
    *rows: dict[str, Any], begin: int = TOTAL // 2, p_bound: float | None = None
) -> list[Alarm]:
    monitor = AlarmMonitor(TOTAL, p_bound)
    return [a for i, one in enumerate(rows) for a in monitor.update(begin + 1000 * i, one)]


def test_a_healthy_run_is_left_in_peace() -> None:
    for place in ("ab", "ba", "image"):
        assert alarms(*[row(place)] * 30, begin=0, p_bound=0.8) == []
    assert alarms(*[{"loss/G/adversarial": 1.0}] * 30) == []  # no probes


@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("collapse", {"diversity": 0.05}),
        ("inverted", {"luma": -0.7}),
        ("copying", {"copy": 0.01}),
        ("hidden", {"hidden": 6.0}),
        ("d_too_strong", {"separation": 1.0}),
        ("overfit", {"overfit": 0.8, "overfit_sigma": 9.0}),
    ],
)
def test_three_bad_probes_in_a_row_are_one_alarm(name: str, signals: dict[str, float]) -> None:
    bad, good = row(**signals), row()
    assert alarms(bad, bad, good, bad, bad) == []
    (found,) = alarms(*[bad] * 20)
    assert found.alarm == name and found.where == "ab" and found.text and found.advice
    assert " a to b" in found.text
    # Gone for as long as it takes, it may come again.
    assert [a.alarm for a in alarms(*[bad] * 3, *[good] * 2, *[bad] * 3)] == [name]
    assert [a.alarm for a in alarms(*[bad] * 3, *[good] * 3, *[bad] * 3)] == [name, name]


def test_reports_without_a_probe_lie_between() -> None:
    bad, none = row(diversity=0.05), {"loss/D/b": 0.2}
    assert [a.alarm for a in alarms(bad, none, none, bad, none, bad)] == ["collapse"]


def test_what_is_normal_in_the_beginning() -> None:
    same = row(diversity=0.05, copy=0.0, hidden=9.0)
    assert alarms(*[same] * 10, begin=0) == []  # networks that have learnt nothing yet
    fallen = [row(diversity=0.9), *[row(diversity=0.05)] * 3]
    assert [a.alarm for a in alarms(*fallen, begin=0)] == ["collapse"]  # but falling back is not


def test_a_strong_d_is_none_while_nobody_listens() -> None:
    """A first stage without adversarial loss: D learns alone."""
    bad = row(separation=1.0)
    silent = {k: x for k, x in bad.items() if not k.startswith("loss/G/adversarial")}
    assert alarms(*[silent] * 9) == []
    assert alarms(*[{**bad, "loss/D/b": -3.0}] * 9) == []  # a critic has no zero
    single = row("image", separation=1.0)
    assert [a.alarm for a in alarms(*[single] * 3)] == ["d_too_strong"]
    pairs = {k: x for k, x in single.items() if not k.startswith("loss/D/")}
    for loss, names in ((0.01, ["d_too_strong"]), (0.3, [])):  # R3GAN has one loss of pairs
        rows = [{**pairs, "loss/D/adversarial": loss}] * 3
        assert [a.alarm for a in alarms(*rows)] == names
    assert alarms(*[{**single, "loss/D/real": -0.5}] * 3) == []


def test_overfitting_must_be_beyond_chance() -> None:
    assert alarms(*[row(overfit=0.9, overfit_sigma=2.0)] * 9) == []


def test_skipped_steps_waiting_and_the_bound_of_ada() -> None:
    skipped = [{**row(), "progress/skipped_steps": float(n)} for n in (0, 0, 2, 3, 5, 6)]
    found = alarms(*skipped)
    assert [a.text[:2] for a in found] == ["2 ", "5 "] and {a.alarm for a in found} == {"skipped"}
    waiting = {**row(), "progress/data_wait": 0.6}
    assert alarms(*[waiting] * 9) == []
    assert [a.alarm for a in alarms(*[waiting] * 30)] == ["data_wait"]
    bound = {**row(), "augment/p": 0.8}
    assert [a.alarm for a in alarms(*[bound] * 30, p_bound=0.8)] == ["ada_bound"]
    assert alarms(*[bound] * 30) == alarms(*[{**bound, "augment/p": 0.7}] * 30, p_bound=0.8) == []


@pytest.mark.parametrize("nothing", [math.nan, None])
def test_numbers_that_are_none_raise_nothing(nothing: float | None) -> None:
    broken = {key: nothing for key in row()}
    assert alarms(*[broken] * 9) == []


def test_what_still_holds() -> None:
    monitor = AlarmMonitor(TOTAL)
    for i in range(3):
        monitor.update(TOTAL // 2 + i, row(luma=-0.9, diversity=0.01))
    assert sorted(monitor.active()) == ["collapse/ab", "inverted/ab"]
    monitor.update(TOTAL, row(luma=-0.9))
    assert monitor.active() == ["inverted/ab"]
