import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from gantrain.data.loader import batches
from gantrain.data.sampler import UnpairedSampler


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
from gantrain.data.loader import batches
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
