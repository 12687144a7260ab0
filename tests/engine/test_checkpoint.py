import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.errors import ConfigError
from gantrain.io.files import is_intact, kimg_label


def state(n: int) -> dict[str, object]:
    return {"nimg": n, "weights": torch.full((1000,), float(n))}


def store_of_two(folder: Path) -> tuple[CheckpointStore, Path]:
    store = CheckpointStore(folder, keep=5)
    store.save(1000, state(1000))
    return store, store.save(2000, state(2000))


def test_label_sorts_by_images() -> None:
    counts = [0, 999, 1000, 12_500, 9_999_999, 25_000_000]
    assert kimg_label(12_500) == "000012.500"
    assert sorted(map(kimg_label, counts)) == [kimg_label(n) for n in counts]


def test_the_newest_few_stay(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=2)
    for n in (500, 1500, 2500, 11_000):
        store.save(n, state(n))
    assert [p.name for p in store.paths()] == [
        "checkpoint-000002.500.pt",
        "checkpoint-000011.000.pt",
    ]
    found = store.newest()
    assert found and found[1]["nimg"] == 11_000


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_torn_file_is_passed_over(tmp_path: Path, share: float) -> None:
    store, path = store_of_two(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    found = store.newest()
    assert found and found[1]["nimg"] == 1000


def test_a_flipped_bit_anywhere_never_gives_a_wrong_state(tmp_path: Path) -> None:
    small = {"nimg": 2000, "weights": torch.arange(20.0)}
    store = CheckpointStore(tmp_path, keep=5)
    store.save(1000, {"nimg": 1000})
    path = store.save(2000, small)
    whole = path.read_bytes()
    passed_over = 0
    directory = whole.index(b"PK\x01\x02")  # what the zip says about its records: every byte
    positions = [*range(0, directory, 5), *range(directory, len(whole))]
    for position in positions:
        torn = bytearray(whole)
        torn[position] ^= 1 << position % 8
        path.write_bytes(torn)
        found = store.newest()
        assert found
        if found[1]["nimg"] == 2000:  # a bit that says nothing, such as padding
            assert torch.equal(found[1]["weights"], small["weights"])
        passed_over += found[1]["nimg"] == 1000
    assert passed_over > len(positions) / 3


def test_a_record_marked_as_a_folder_is_passed_over(tmp_path: Path) -> None:
    store, path = store_of_two(tmp_path)
    whole = bytearray(path.read_bytes())
    record = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"/data/0"))
    whole[record + 38] |= 0x10  # torch would skip reading it and return memory as it was
    path.write_bytes(whole)
    found = store.newest()
    assert found and found[1]["nimg"] == 1000


def test_a_file_cut_at_any_byte_is_passed_over(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=5)
    store.save(1000, {"nimg": 1000})
    path = store.save(2000, {"nimg": 2000, "weights": torch.arange(20.0)})
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 5), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        found = store.newest()
        assert found and found[1]["nimg"] == 1000


def test_a_torn_later_file_never_pushes_out_a_good_one(tmp_path: Path) -> None:
    store, torn = store_of_two(tmp_path)
    torn.write_bytes(b"PK")
    store.keep = 1
    store.save(1500, state(1500))  # resumed at 1000, stopped before 2000
    assert [kimg_label(1500) in p.name for p in store.paths()] == [True]
    found = store.newest()
    assert found and found[1]["nimg"] == 1500


def test_leftovers_of_a_killed_writer_are_cleared(tmp_path: Path) -> None:
    store, _ = store_of_two(tmp_path)
    left = tmp_path / ".checkpoint-000003.000.pt.4711.tmp"
    left.write_bytes(b"PK")
    assert len(store.paths()) == 2  # never taken for a checkpoint
    CheckpointStore(tmp_path, keep=5)
    assert not left.exists()


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    store, path = store_of_two(tmp_path)
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"pickle|local object"):  # Python 3.13 words it anew
        store.save(2000, {"nimg": 2000, "weights": lambda: None})
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    store, path = store_of_two(tmp_path)
    whole = bytearray(path.read_bytes())
    position = whole.index(torch.full((4,), 2000.0).numpy().tobytes())  # inside the weights
    whole[position] ^= 1
    path.write_bytes(whole)
    assert not is_intact(path)
    found = store.newest()
    assert found and found[1]["nimg"] == 1000


def test_nothing_whole_is_an_error_and_nothing_there_is_not(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    assert store.newest() is None
    store.save(1, state(1)).write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"Of 1 checkpoint in .*, none is intact"):
        store.newest()


def test_checkpoints_hold_no_code(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    path = store.save(1, {})
    torch.save({"nimg": CheckpointStore}, path)  # a class: needs unpickling of code
    with pytest.raises(ConfigError, match=r"names .*CheckpointStore, which is code"):
        store.newest()


WRITER = """
import sys, torch
from pathlib import Path
from gantrain.engine.checkpoint import CheckpointStore
store = CheckpointStore(Path(sys.argv[1]), keep=2)
n = int(sys.argv[2])
while True:
    n += 1
    store.save(n, {"nimg": n, "weights": torch.full((2_000_000,), float(n))})
    print(n, flush=True)
"""


@pytest.mark.multi
@pytest.mark.ci
def test_a_writer_killed_at_any_moment_leaves_a_whole_state(tmp_path: Path) -> None:
    last = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(last)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        written = int(process.stdout.readline())  # at least one is there
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        written = int(rest[-1]) if rest else written
        store = CheckpointStore(tmp_path, keep=2)  # clears what the killed writer left
        assert not list(tmp_path.glob(".*.tmp"))
        assert all(is_intact(path) for path in store.paths())  # whole or not there
        found = store.newest()
        assert found is not None
        n = found[1]["nimg"]
        assert n in (written, written + 1)  # +1: renamed, not yet printed
        assert torch.equal(found[1]["weights"], torch.full((2_000_000,), float(n)))
        last = n
