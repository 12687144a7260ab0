import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gantrain.data import loader
from gantrain.data.loader import batches, measure_item
from gantrain.data.sampler import UnpairedSampler
from gantrain.errors import ConfigError


class Numbers:
    """Item p is p itself, with the process that made it."""

    def item(self, position: int) -> dict[str, np.ndarray]:
        value = np.full((1, 2, 3), position % 251, np.uint8)
        signals = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
        ignored = [signal.getsignal(one) == signal.SIG_IGN for one in signals]
        facts = np.array([os.getpid(), all(ignored)])
        return {"a": value, "b": 2 * value, "facts": facts}


def take(count, **settings):
    source = batches(Numbers(), **settings)
    try:
        return [next(source) for _ in range(count)]
    finally:
        source.close()  # pyright: ignore[reportAttributeAccessIssue]


def positions(values):
    return [batch["a"][:, 0, 0, 0].tolist() for batch in values]


def test_batches_are_uint8_and_count_from_start():
    values = take(3, start=5, batch=2)
    assert positions(values) == [[5, 6], [7, 8], [9, 10]]
    assert values[0]["a"].shape == (2, 1, 2, 3) and values[0]["a"].dtype == torch.uint8
    assert (values[0]["b"] == 2 * values[0]["a"]).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_order_is_independent_of_the_workers(workers):
    assert positions(take(20, start=3, batch=2, workers=workers)) == positions(
        take(20, start=3, batch=2)
    )


def test_ranks_split_the_global_batch():
    ranks = [positions(take(3, start=0, batch=4, rank=rank, world=2)) for rank in (0, 1)]
    joined = [first + second for first, second in zip(*ranks, strict=True)]
    assert joined == positions(take(3, start=0, batch=4))
    with pytest.raises(ValueError, match="evenly"):
        batches(Numbers(), start=0, batch=3, world=2)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_sample_is_seen_once_per_pass_over_all_ranks(world):
    count, batch = 10, 6  # a batch may begin in one pass and end in the next
    order = UnpairedSampler(0, count, count)
    seen = [
        place
        for rank in range(world)
        for values in positions(take(10, start=0, batch=batch, rank=rank, world=world))
        for place in values
    ]
    assert sorted(seen) == list(range(60))
    for number in range(6):
        one_pass = [order(place)[0] for place in seen if place // count == number]
        assert sorted(one_pass) == list(range(count))


def test_workers_ignore_signals_and_end_with_the_iterator():
    source = batches(Numbers(), start=0, batch=1, workers=2)
    facts = [next(source)["facts"][0] for _ in range(8)]
    assert {int(process) for process, _ in facts} == {
        child.pid for child in multiprocessing.active_children()
    }
    assert len(facts) == 8 and all(ignored for _, ignored in facts)
    source.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not multiprocessing.active_children()


FORGETFUL = """
import multiprocessing, sys
import numpy as np
from gantrain.data.loader import measure_item, batches
from gantrain.data.sampler import UnpairedSampler

class Zeros:
    def item(self, position):
        return {"a": np.zeros((1, 2, 2), np.uint8)}

source = batches(Zeros(), start=0, batch=1, workers=2)
next(source)
print(*[child.pid for child in multiprocessing.active_children()])
sys.exit("told to stop")
"""


@pytest.mark.multi
def test_a_program_that_ends_without_closing_does_not_hang():
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "told to stop" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.split()) == 2
    for process in done.stdout.split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


def test_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    take(2, start=0, batch=1, workers=1)
    take(2, start=0, batch=1)
    assert torch.equal(state, torch.get_rng_state())


def test_a_fork_beside_other_threads_is_not_warned_of():
    """Python 3.12 would, at every start."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert positions(take(2, start=0, batch=1, workers=1)) == [[0], [1]]
    finally:
        stop.set()
        thread.join()


class Broken(Numbers):
    """Position 3 cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def item(self, position: int) -> dict[str, np.ndarray]:
        if position == 3:
            raise self.error
        return super().item(position)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [ConfigError("x.png is gone.", "y.png too."), OSError(5, "I/O")])
def test_the_error_of_an_item_arrives_as_it_is(workers: int, error: Exception) -> None:
    source = batches(Broken(error), start=0, batch=1, workers=workers)
    try:
        for _ in range(3):
            next(source)
        with pytest.raises(type(error)) as caught:
            next(source)
    finally:
        source.close()
    assert caught.value.args == error.args
    assert getattr(caught.value, "problems", ()) == getattr(error, "problems", ())


class Deadly(Numbers):
    """Position 3 ends its worker."""

    def __init__(self, number: int) -> None:
        self.number = number

    def item(self, position: int) -> dict[str, np.ndarray]:
        if position == 3:
            os.kill(os.getpid(), self.number)
        return super().item(position)


@pytest.mark.multi
@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGKILL, "run out of memory, of which runtime.workers=1 needs less"),
     (signal.SIGBUS, "/dev/shm is full"), (signal.SIGSEGV, "died (signal 11)")],
)  # fmt: skip
def test_a_dead_worker_is_a_sentence(number: int, told: str) -> None:
    handler = signal.getsignal(signal.SIGCHLD)
    source = batches(Deadly(number), start=0, batch=1, workers=2)
    # torch's own handler would raise wherever the program is, also in the middle of a step.
    assert signal.getsignal(signal.SIGCHLD) == handler
    with pytest.raises(ConfigError) as caught:
        for _ in range(5):
            next(source)
    source.close()
    assert told in str(caught.value)


@pytest.mark.multi
def test_a_worker_without_memory_is_told_as_that() -> None:
    class Huge(Numbers):
        def item(self, position: int) -> dict[str, np.ndarray]:
            if position:
                raise MemoryError("Unable to allocate 9 GiB")
            return {"a": np.zeros(1)}

    source = batches(Huge(), start=0, batch=1, workers=1)
    with pytest.raises(MemoryError, match=r"^Unable to allocate 9 GiB$"):
        [next(source) for _ in range(2)]
    source.close()


@pytest.mark.parametrize(("free", "ahead"), [(40, 4), (30, 4), (10, 4), (8, 3), (4, 1)])
def test_workers_load_ahead_what_the_shared_memory_holds(
    free: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=free * 1000 * 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert loader._batches_ahead(1000, workers=2, local_ranks=2) == ahead


@pytest.mark.parametrize("free", [0, 3])
def test_too_little_shared_memory_is_told_before_the_start(
    free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(array.nbytes for array in Numbers().item(0).values()) * 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * size))
    with pytest.raises(ConfigError, match=r"runtime\.workers=0.*--shm-size"):
        batches(Numbers(), start=0, batch=2, workers=2)
    assert not multiprocessing.active_children()
    batches(Numbers(), start=0, batch=2, workers=0).close()


@pytest.mark.multi
def test_a_batch_that_cannot_be_sent_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would print a traceback in the worker and wait for ever here."""

    class Unsendable(Numbers):
        def item(self, position: int) -> dict[str, np.ndarray]:
            return {"a": np.zeros(1)} if position == 0 else {"a": lambda: 0}  # type: ignore[dict-item]

    monkeypatch.setattr(loader, "_collate", lambda items: items[0])
    source = batches(Unsendable(), start=0, batch=1, workers=1)
    with pytest.raises(ConfigError, match="could not hand over a batch, perhaps"):
        for _ in range(3):
            next(source)
    source.close()


def test_the_cost_of_an_item_is_that_of_all_its_images() -> None:
    class Slow:
        def item(self, position: int) -> dict[str, np.ndarray]:
            time.sleep(0.02 if position > 7 else 0.5)  # the first one opens files
            images = {"a": np.zeros((3, 4, 5), np.uint8), "b": np.zeros((1, 8, 2), np.uint8)}
            return {**images, "label": np.zeros(7, np.float32)}

    cost = measure_item(Slow(), 7)
    assert cost.pixels == 36 and 0.02 <= cost.seconds < 0.4
