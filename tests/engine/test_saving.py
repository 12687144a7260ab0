"""Files that are written while the training goes on."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.memory import to_cpu
from gantrain.engine.signals import Action
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError
from gantrain.gans.base import Batch
from tests.engine.test_trainer import differences, saved, small_cyclegan, trainer

FULL = OSError(28, "No space left on device")


class HeldStore(CheckpointStore):
    """Writes the checkpoint of `hold` images only when it is let go, or then raises `error`."""

    def __init__(self, folder: Path, hold: int, error: Exception | None = None) -> None:
        super().__init__(folder, keep=99)
        self.hold, self.error = hold, error
        self.began, self.let_go = threading.Event(), threading.Event()
        self.order: list[tuple[str, int]] = []
        self.writing = False

    def save(self, nimg: int, state: dict[str, Any]) -> Path:
        self.writing = True
        if nimg == self.hold:
            self.began.set()
            assert self.let_go.wait(60)
            if self.error:
                raise self.error
        time.sleep(0.02)
        path = super().save(nimg, state)
        self.order.append(("checkpoint", nimg))
        self.writing = False
        return path


def held_trainer(
    folder: Path, hold: int, error: Exception | None = None, **plan: object
) -> tuple[Trainer, HeldStore]:
    """A trainer whose averages, pools and sums are saved, too; and its store."""
    run, recorder, _ = trainer(small_cyclegan(), folder, ema_half_life=4.0, **plan)
    store = HeldStore(folder, hold, error)
    run.checkpoints = run.saver.checkpoints = store
    recorder.grid = lambda nimg, columns: store.order.append(("grid", nimg))
    return run, store


def at(nimg: int, run: Trainer, do: Callable[[], object]) -> Callable[[], Action]:
    """What to poll before each step: `do()` once the run is at so many images."""

    def poll() -> Action:
        if run.nimg == nimg:
            do()
        return Action.CONTINUE

    return poll


@pytest.mark.parametrize("by_clock", [False, True])
def test_a_checkpoint_written_late_holds_the_state_of_its_step(
    tmp_path: Path, by_clock: bool
) -> None:
    straight, _, _ = trainer(small_cyclegan(), tmp_path / "straight", ema_half_life=4.0, tick=8)
    straight.train(lambda: Action.STOP if straight.nimg == 4 else Action.CONTINUE)
    at_once = straight.checkpoints.newest()
    straight.train()

    every = 100 if by_clock else 4
    run, store = held_trainer(tmp_path / "run", hold=4, tick=8, checkpoint_every=every)
    wishes = [Action.CHECKPOINT] * by_clock

    def poll() -> Action:
        if run.nimg == 4 and wishes:
            return wishes.pop()
        if run.nimg == 6:  # the weights have moved on
            assert store.began.wait(60)
            assert run.saver.saved_nimg == -1 and saved(tmp_path / "run") == []
            store.let_go.set()
        return Action.CONTINUE

    run.train(poll)
    assert differences(run.state_dict(), straight.state_dict()) == []
    late = CheckpointStore(tmp_path / "run", 99)
    for path in late.paths()[1:]:
        path.unlink()
    found = late.newest()
    assert found and at_once and found[1]["nimg"] == 4
    assert differences(found[1], at_once[1]) == []

    resumed, _, _ = trainer(small_cyclegan(), tmp_path / "run", ema_half_life=4.0, tick=8)
    resumed.load_state_dict(found[1])
    resumed.train()
    assert differences(resumed.state_dict(), straight.state_dict()) == []


@pytest.mark.parametrize("ema_half_life", [0.0, 4.0])
def test_a_snapshot_written_late_holds_the_weights_of_its_step(
    tmp_path: Path, ema_half_life: float
) -> None:
    plan = {"ema_half_life": ema_half_life, "snapshot_every": 4, "checkpoint_every": 0}
    run, _, _ = trainer(small_cyclegan(), tmp_path, **plan)
    began, let_go = threading.Event(), threading.Event()
    at_once, late, threads = dict[int, Any](), dict[int, Any](), list[threading.Thread]()

    def snapshot(nimg: int, G: torch.nn.Module) -> None:
        threads.append(threading.current_thread())
        began.set()
        assert let_go.wait(60)
        late[nimg] = to_cpu(G.state_dict(), copy=True)

    def poll() -> Action:
        at_once[run.nimg] = to_cpu(run.generator.state_dict(), copy=True)
        if run.nimg == 8:  # the weights have moved on
            assert began.wait(60) and not late
            let_go.set()
        return Action.CONTINUE

    run.snapshot = snapshot
    run.train(poll)
    assert list(late) == [4, 8, 12] and run.saver.saved_nimg == 12
    assert differences(late[4], at_once[4]) == [] and differences(late[8], at_once[8]) == []
    assert differences(late[12], to_cpu(run.generator.state_dict())) == []
    assert [thread is threading.main_thread() for thread in threads] == [False, False, True]


def test_a_snapshot_that_fails_ends_the_training(tmp_path: Path) -> None:
    run, _, _ = trainer(small_cyclegan(), tmp_path, snapshot_every=8)

    def snapshot(nimg: int, G: torch.nn.Module) -> None:
        raise FULL

    run.snapshot = snapshot
    with pytest.raises(OSError, match="No space left"):
        run.train()
    assert run.nimg >= 8 and "000000.004" in saved(tmp_path)


def test_a_copy_shares_nothing_with_the_state() -> None:
    weight = torch.arange(4.0)
    state = {"a": weight, "b": [{"c": (weight, [1])}], "d": {1, 2}}
    copy = to_cpu(state, copy=True)
    expected = {"a": weight.clone(), "b": [{"c": (weight.clone(), [1])}], "d": {1, 2}}
    assert differences(copy, expected) == []
    weight += 1
    state["b"][0]["c"][1].append(2)
    state["d"].add(3)
    assert differences(copy, expected) == []


def test_a_second_checkpoint_waits_for_the_first(tmp_path: Path) -> None:
    run, store = held_trainer(tmp_path, hold=-1, checkpoint_every=2)
    collect, beside_a_write = run._collect, list[bool]()

    def collected() -> dict[str, Any]:
        beside_a_write.append(store.writing)
        return collect()

    run._collect = collected  # type: ignore[method-assign]
    run.train()
    assert beside_a_write == [False] * 6 and len(saved(tmp_path)) == 6


def test_files_are_written_in_their_order(tmp_path: Path) -> None:
    run, store = held_trainer(tmp_path, hold=-1, grid_every=2)
    run.train()
    *before, last, grid = store.order
    expected = [("grid", n) for n in range(0, 12, 2)]
    expected.insert(3, ("checkpoint", 4))
    expected.insert(6, ("checkpoint", 8))
    assert before == expected
    assert (last, grid) == (("checkpoint", 12), ("grid", 12))


def test_a_grid_is_not_changed_by_what_follows(tmp_path: Path) -> None:
    run, recorder, _ = trainer(small_cyclegan(), tmp_path, grid_every=6, batch=2)
    expected: list[Batch] = []
    shown: list[Batch] = []
    draw = run.gan.preview

    def preview(G: torch.nn.Module, images: Batch) -> Batch:
        expected.append(draw(G, images))
        return {name: x.clone() for name, x in expected[-1].items()}

    run.gan.preview = preview  # type: ignore[method-assign]
    recorder.grid = lambda nimg, columns: shown.append(columns)
    run.train()
    assert len(shown) == 3
    for pixels, columns in zip(shown, expected, strict=True):
        for name, x in columns.items():
            assert pixels[name].dtype == torch.uint8
            assert torch.equal(pixels[name], ((x + 1) * 127.5).round().to(torch.uint8))


@pytest.mark.parametrize("error", [FULL, RuntimeError("PytorchStreamWriter failed")])
def test_a_write_that_fails_ends_the_training_at_the_next_step(
    tmp_path: Path, error: Exception
) -> None:
    run, store = held_trainer(tmp_path, hold=8, error=error)

    def fail() -> None:
        store.let_go.set()
        run.saver.background.finish()

    with pytest.raises(type(error)) as caught:
        run.train(at(8, run, fail))
    assert caught.value is error
    assert run.nimg == 10 and run.saver.saved_nimg == 4 and saved(tmp_path) == ["000000.004"]


def test_a_last_write_that_fails_is_not_announced(tmp_path: Path) -> None:
    run, store = held_trainer(tmp_path, hold=12, error=FULL)
    store.let_go.set()
    with pytest.raises(OSError, match="No space left"):
        run.train()
    assert run.saver.saved_nimg == 8


def test_a_grid_that_fails_ends_the_training(tmp_path: Path) -> None:
    run, store = held_trainer(tmp_path, hold=-1, grid_every=10)

    def grid(nimg: int, columns: Batch) -> None:
        if nimg:
            raise FULL

    run.tracker.grid = grid  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space left"):
        run.train()
    assert run.nimg >= 10 and store.order[:2] == [("checkpoint", 4), ("checkpoint", 8)]


def test_lost_images_are_told_when_the_file_is_there(tmp_path: Path) -> None:
    """The sentence about them says what is saved."""
    run, store = held_trainer(tmp_path, hold=4, checkpoint_every=4)
    stream = run.batches

    def batches(nimg: int) -> Iterator[Batch]:
        yield from (batch for batch, _ in zip(stream(nimg), range(2), strict=False))
        threading.Timer(0.2, store.let_go.set).start()
        raise ConfigError("a.png is gone.")

    run.batches = batches
    with pytest.raises(ConfigError, match="gone"):
        run.train()
    assert run.saver.saved_nimg == 4 and saved(tmp_path) == ["000000.004"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_nothing_is_being_written_when_a_training_has_failed(
    tmp_path: Path, error: BaseException
) -> None:
    run, store = held_trainer(tmp_path, hold=4)

    def fail() -> None:
        threading.Timer(0.2, store.let_go.set).start()
        raise error

    with pytest.raises(type(error)):
        run.train(at(6, run, fail))
    assert not store.writing and saved(tmp_path) == ["000000.004"]


def test_data_workers_are_started_beside_no_write(tmp_path: Path) -> None:
    run, _ = held_trainer(tmp_path, hold=-1, grid_every=2)
    stream, drawing, seen = run.batches, list[int](), list[bool]()

    def grid(nimg: int, columns: Batch) -> None:
        drawing.append(nimg)
        time.sleep(0.1)
        drawing.remove(nimg)

    def batches(nimg: int) -> Iterator[Batch]:
        seen.append(bool(drawing))
        return stream(nimg)

    run.tracker.grid, run.batches = grid, batches  # type: ignore[method-assign]
    run.train()
    assert seen == [False] and not drawing
