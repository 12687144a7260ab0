"""Batches that are late, missing or broken, and what the training makes of it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.feed import Feed
from gantrain.engine.signals import Action, Interrupted, Signals, handle_signals
from gantrain.errors import ConfigError
from tests.engine.test_trainer import differences, saved, small_cyclegan, trainer


def numbers(nimg: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield {"x": torch.tensor(nimg)}
        nimg += 1


def never() -> Signals:
    return Signals({})


def test_a_batch_is_held_until_it_is_taken() -> None:
    feed = Feed(numbers)
    for nimg in range(3):
        feed.fetch(nimg, never().interruptible)
        feed.fetch(nimg, never().interruptible)
        assert feed.take()["x"] == nimg


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_and_the_batch_comes_later(number: signal.Signals) -> None:
    closed = []

    class Stuck(Iterator):
        def __init__(self, nimg: int) -> None:
            self.nimg = nimg

        def __next__(self) -> dict[str, Tensor]:
            if not closed:
                os.kill(os.getpid(), number)
                signal.pause()  # a disk that does not answer
            return {"x": torch.tensor(self.nimg)}

        def close(self) -> None:
            closed.append(self.nimg)

    feed = Feed(Stuck)
    with handle_signals() as signals:
        feed.fetch(7, signals.interruptible)
        assert closed == [7] and signals.pop_request() is Action.STOP
        with pytest.raises(Interrupted), signals.interruptible():  # it still wants to stop
            pass
    feed.fetch(7, never().interruptible)
    assert feed.take()["x"] == 7


def broken_after(run: object, images: int, error: Exception) -> None:
    stream = run.batches  # type: ignore[attr-defined]

    def batches(nimg: int) -> Iterator[dict[str, Tensor]]:
        for batch in stream(nimg):
            if nimg >= images:
                raise error
            yield batch
            nimg += 2

    run.batches = batches  # type: ignore[attr-defined]


@pytest.mark.parametrize("images", [2, 6])
@pytest.mark.parametrize("error", [ConfigError("a.png is gone."), OSError("Stale file handle")])
def test_lost_images_cost_no_training(tmp_path: Path, images: int, error: Exception) -> None:
    straight, _, _ = trainer(small_cyclegan(), tmp_path / "straight")
    straight.train()
    run, _, snapshots = trainer(small_cyclegan(), tmp_path / "run")
    broken_after(run, images, error)
    with pytest.raises(ConfigError, match=str(error)):
        run.train()
    assert run.saved_nimg == run.nimg == images and snapshots == [images]
    resumed, _, _ = trainer(small_cyclegan(), tmp_path / "run")
    found = CheckpointStore(tmp_path / "run", 99).newest()
    assert found
    resumed.load_state_dict(found[1])
    resumed.train()
    assert differences(straight.state_dict(), resumed.state_dict()) == []


def test_images_that_never_came_leave_no_checkpoint(tmp_path: Path) -> None:
    run, _, _ = trainer(small_cyclegan(), tmp_path)
    broken_after(run, 0, ConfigError("a.png is gone."))
    with pytest.raises(ConfigError, match="gone"):
        run.train()
    assert saved(tmp_path) == []


@pytest.mark.parametrize(
    ("wish", "snapshot"), [(Action.CHECKPOINT, []), (Action.SAVE, [4]), (Action.STOP, [4])]
)
def test_what_an_action_leaves(tmp_path: Path, wish: Action, snapshot: list[int]) -> None:
    run, _, snapshots = trainer(small_cyclegan(), tmp_path, checkpoint_every=100)
    wishes = [wish]
    run.train(lambda: wishes.pop() if run.nimg == 4 and wishes else Action.CONTINUE)
    assert snapshots == [*snapshot, 12][: len(snapshot) + (wish < Action.STOP)]
    assert saved(tmp_path) == ["000000.004", "000000.012"][: 1 + (wish < Action.STOP)]


@pytest.mark.parametrize("error", [ConfigError("no weights"), MemoryError()])
def test_an_evaluation_that_fails_costs_no_images(tmp_path: Path, error: Exception) -> None:
    def evaluate(nimg: int, G: torch.nn.Module) -> tuple[dict[str, float], bool]:
        raise error

    run, _, _ = trainer(small_cyclegan(), tmp_path, evaluate_every=6, checkpoint_every=100)
    run.evaluate = evaluate
    with pytest.raises(type(error)):
        run.train()
    assert saved(tmp_path) == ["000000.006"]
