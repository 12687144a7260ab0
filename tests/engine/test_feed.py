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
from gantrain.engine.trainer import Trainer
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


def broken_after(run: object, images: int, error: BaseException) -> None:
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
    assert run.saver.saved_nimg == run.nimg == images and snapshots == [images]
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


def evaluated_run(folder: Path, fails_at: int) -> tuple[Trainer, list[int], list[int]]:
    """A trainer with the state in `folder`, if any; what it evaluates; what it snapshots."""
    options = {"evaluate_every": 6, "snapshot_every": 6, "checkpoint_every": 100}
    run, _, snapshots = trainer(small_cyclegan(), folder, **options)
    evaluated: list[int] = []

    def evaluate(nimg: int, G: torch.nn.Module) -> tuple[dict[str, float], bool]:
        if nimg == fails_at:
            raise ConfigError("no weights")
        evaluated.append(nimg)
        return {"metric": nimg}, False

    run.evaluate = evaluate
    if found := CheckpointStore(folder, 99).newest():
        run.load_state_dict(found[1])
    return run, evaluated, snapshots


@pytest.mark.parametrize("failing", [6, 12])  # 12 is the end of the run
def test_an_evaluation_that_failed_is_done_after_a_resume(tmp_path: Path, failing: int) -> None:
    straight, every_evaluation, every_snapshot = evaluated_run(tmp_path / "straight", -1)
    straight.train()
    first, before, early = evaluated_run(tmp_path / "run", failing)
    with pytest.raises(ConfigError, match="no weights"):
        first.train()
    resumed, after, late = evaluated_run(tmp_path / "run", -1)
    resumed.train()
    assert before + after == every_evaluation == [6, 12]
    assert early + late == every_snapshot == [6, 12]
    states = [run.state_dict() for run in (straight, resumed)]
    parts = states[0].keys() if failing == 6 else ["gan", "nimg", "owing"]  # no step, no new lr
    assert differences(*({key: state[key] for key in parts} for state in states)) == []


def test_what_has_been_done_after_a_resume_is_no_longer_owed(tmp_path: Path) -> None:
    first, _, _ = evaluated_run(tmp_path, 6)
    with pytest.raises(ConfigError, match="no weights"):
        first.train()
    resumed, evaluated, _ = evaluated_run(tmp_path, -1)
    broken_after(resumed, 0, KeyboardInterrupt())  # before its first step
    with pytest.raises(KeyboardInterrupt):
        resumed.train()
    again, more, _ = evaluated_run(tmp_path, -1)
    again.train()
    assert (evaluated, more) == ([6], [12])
