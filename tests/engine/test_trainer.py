"""The loop without a command line: what it saves, shows and leaves alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gantrain.engine import seeding
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.optim import LearningRate, build_optimizers
from gantrain.engine.phase import NonFiniteGradient
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision
from gantrain.engine.signals import Action
from gantrain.engine.trainer import Trainer
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.cyclegan import CycleGAN
from tests.helpers.command_line import differences


class Recorder:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.grids: list[int] = []
        self.events: list[tuple[int, dict[str, object]]] = []
        self.said: list[str] = []

    def progress(self, nimg: int) -> None:
        self.steps.append(nimg)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        self.rows.append((nimg, values))

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        self.grids.append(nimg)

    def event(self, nimg: int, event: dict[str, object]) -> None:
        self.events.append((nimg, event))

    def say(self, text: str) -> None:
        self.said.append(text)


def noise(nimg: int) -> Iterator[Batch]:
    """uint8 pairs of images, a function of the position; batches of 2."""
    while True:
        generator = torch.Generator().manual_seed(nimg)
        yield {
            domain: torch.randint(0, 256, (2, 3, 16, 16), generator=generator, dtype=torch.uint8)
            for domain in "ab"
        }
        nimg += 2


def trainer(gan: GAN, folder: Path, **plan: object) -> tuple[Trainer, Recorder, list[int]]:
    """A trainer of 12 images, 2 a step; its tracker; the images at which it wrote snapshots."""
    values: dict[str, object] = {
        "seed": 0, "total": 12, "batch": 2, "microbatch": 2, "tick": 4, "grid_every": 0,
        "checkpoint_every": 4, "snapshot_every": 0, "ema_half_life": 0.0, "on_nonfinite": "halt",
        "rate": LearningRate("linear", 12, decay=0.5),
    }  # fmt: skip
    recorder, snapshots = Recorder(), list[int]()
    made = Trainer(
        gan,
        build_optimizers(gan, torch.optim.Adam, {"lr": 1e-2}),
        Precision(torch.device("cpu"), "fp32"),
        TrainingPlan(**{**values, **plan}),  # type: ignore[arg-type]
        batches=noise,
        tracker=recorder,
        checkpoints=CheckpointStore(folder, keep=99),
        snapshot=lambda nimg, _: snapshots.append(nimg),
        preview=next(noise(1000)),
    )
    return made, recorder, snapshots


def small_cyclegan() -> CycleGAN:
    """With everything that a picture shown at the wrong moment could disturb."""
    seeding.seed_all(0, seeding.INIT)
    return CycleGAN(
        ImageSpec({"a": 3, "b": 3}, (16, 16)),
        ngf=2, ndf=2, blocks=1, d_layers=1, norm="batch", dropout=True, pool_size=2,
    )  # fmt: skip


def saved(folder: Path) -> list[str]:
    return [path.name[11:-3] for path in CheckpointStore(folder, 99).paths()]


def test_when_things_happen(tmp_path: Path) -> None:
    plan = {"grid_every": 5, "snapshot_every": 8}
    run, recorder, snapshots = trainer(small_cyclegan(), tmp_path, **plan)
    assert run.train() is Action.CONTINUE
    assert recorder.steps == [2, 4, 6, 8, 10, 12]
    assert [nimg for nimg, _ in recorder.rows] == [4, 8, 12]
    assert recorder.grids == [0, 6, 10, 12]
    assert snapshots == [8, 12]
    assert saved(tmp_path) == ["000000.004", "000000.008", "000000.012"]
    rates = [row["lr/G"] for _, row in recorder.rows]  # of the steps from 2, 6 and 10 images on
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2 * 2 / 6])


def test_the_last_images_are_reported_too(tmp_path: Path) -> None:
    run, recorder, _ = trainer(small_cyclegan(), tmp_path, tick=8)
    run.train()
    assert [nimg for nimg, _ in recorder.rows] == [8, 12]
    every, steps, _ = trainer(small_cyclegan(), tmp_path / "every", tick=2)
    every.train()
    single = [row["loss/D/a"] for _, row in steps.rows]
    assert recorder.rows[1][1]["loss/D/a"] == pytest.approx(sum(single[4:]) / 2)
    assert differences(run.state_dict(), every.state_dict()) == []
    again, recorder, _ = trainer(small_cyclegan(), tmp_path, tick=8)
    again.load_state_dict(run.state_dict())
    again.train()
    assert recorder.rows == []  # nothing was trained


def test_enough_ends_with_a_report_that_holds_the_measurement(tmp_path: Path) -> None:
    run, recorder, snapshots = trainer(small_cyclegan(), tmp_path, tick=8, evaluate_every=6)
    run.evaluate = lambda nimg, _: ({"metric/x": float(nimg)}, True)
    assert run.train() is Action.CONTINUE
    assert [(nimg, row["metric/x"]) for nimg, row in recorder.rows] == [(6, 6.0)]
    assert snapshots == [6] and saved(tmp_path) == ["000000.004", "000000.006"]


def test_pictures_and_files_leave_training_alone(tmp_path: Path) -> None:
    states = []
    for settings in ({}, {"grid_every": 2, "snapshot_every": 2, "checkpoint_every": 2, "tick": 4}):
        run, _, _ = trainer(small_cyclegan(), tmp_path / str(len(states)), **settings)
        run.train()
        states.append(run.state_dict())
    assert differences(states[0], states[1]) == []


@pytest.mark.parametrize("tick", [4, 8])  # the budget is a multiple of it or not
@pytest.mark.parametrize("stop_at", [2, 6, 8, 10])  # on and between ticks
def test_stopping_anywhere_and_going_on_changes_nothing(
    tmp_path: Path, stop_at: int, tick: int
) -> None:
    settings = {"ema_half_life": 4.0, "tick": tick}
    straight, expected, _ = trainer(small_cyclegan(), tmp_path / "straight", **settings)
    straight.train()
    first, before, snapshots = trainer(small_cyclegan(), tmp_path / "run", **settings)
    stop = Action.STOP
    assert first.train(lambda: stop if first.nimg >= stop_at else Action.CONTINUE) is stop
    assert first.nimg == stop_at and snapshots == [stop_at]
    second, after, _ = trainer(small_cyclegan(), tmp_path / "run", **settings)
    found = CheckpointStore(tmp_path / "run", 99).newest()
    assert found
    second.load_state_dict(found[1])
    assert second.train() is Action.CONTINUE
    assert differences(straight.state_dict(), second.state_dict()) == []
    assert losses(before) + losses(after) == losses(expected)


def losses(recorder: Recorder) -> list[tuple[int, dict[str, float]]]:
    return [
        (nimg, {name: value for name, value in row.items() if name.startswith(("loss", "grad"))})
        for nimg, row in recorder.rows
    ]


class Breaks(GAN):
    """Its gradient is NaN in the step from `at` images on."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.G, self.D = nn.Linear(1, 1), nn.Linear(1, 1)
        self.at = at

    def phases(self) -> list[Phase]:
        return [Phase("G", "G", self.losses)]

    def losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        factor = float("nan") if step.nimg == self.at else 1.0
        yield {"x": self.G(torch.ones(1, 1)).mean() * factor}


@pytest.mark.parametrize("snapshot_every", [0, 2])  # either kind of file has to look
@pytest.mark.parametrize("at", [0, 4, 8, 10])
def test_nothing_is_saved_after_a_gradient_that_was_not_finite(
    tmp_path: Path, at: int, snapshot_every: int
) -> None:
    often = {"checkpoint_every": 2, "snapshot_every": snapshot_every, "tick": 100}
    run, _, snapshots = trainer(Breaks(at), tmp_path, **often)
    with pytest.raises(NonFiniteGradient, match=f"phase G was not finite at step {at // 2}"):
        run.train()
    assert snapshots == (list(range(2, at + 1, 2)) if snapshot_every else [])
    assert saved(tmp_path) == [f"000000.{nimg:03d}" for nimg in range(2, at + 1, 2)]
    for path in CheckpointStore(tmp_path, 99).paths():
        for value in torch.load(path, weights_only=True)["gan"].values():
            assert torch.isfinite(value).all()


def test_a_skipped_step_leaves_weights_and_moments(tmp_path: Path) -> None:
    run, recorder, _ = trainer(Breaks(4), tmp_path, on_nonfinite="skip")
    assert run.train() is Action.CONTINUE
    state = run.state_dict()
    assert state["skipped"] == 1
    moments = state["optimizers"]["G"]["state"][0]
    assert moments["step"] == 5 and torch.isfinite(moments["exp_avg"]).all()
    assert [row["progress/skipped_steps"] for _, row in recorder.rows] == [0, 1, 1]
