"""scripts/gpu_check.py without a card: the runner, the table, and a rehearsal of all parts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.gpu_parts import fir, memory, suite, table, training
from scripts.gpu_parts.runner import share
from scripts.gpu_parts.task import Task, append, read
from scripts.gpu_parts.trace import summed, union

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/gpu_check.py"
GOOD = "def run(task):\n    task.check('it runs', True)\n    task.figure('speed', 2.0, 'm/s')\n"
CRASH = "import os\ndef run(task):\n    print('about to crash', flush=True)\n    os.abort()\n"
HANG = """
import subprocess, sys, time
def run(task):
    task.figure('before', 1)
    child = [sys.executable, '-c', 'import time; time.sleep(600)']
    print('child', subprocess.Popen(child, start_new_session=True).pid, flush=True)
    time.sleep(600)
"""


def command(out: Path, *options: str) -> list[str]:
    return [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--out", str(out), *options]


def check(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out, *options), capture_output=True, text=True, cwd=out.parent)


def with_parts(folder: Path, **sources: str) -> list[str]:
    """Options that run these parts, in the order of their names, and no others."""
    folder.mkdir()
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return ["--extra", str(folder), "--only", ",".join(sources)]


def states(out: Path) -> dict[str, tuple[str, str]]:
    """{part: (state, detail)}"""
    lines = [line for line in read(out / "result.jsonl") if line["kind"] == "part"]
    return {line["part"]: (line["state"], line["detail"]) for line in lines}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def a_task(folder: Path, **settings: Any) -> Task:
    given: dict[str, Any] = {
        "part": "p", "module": "m", "device": "cpu", "quick": True, "deadline": 0.0,
        "results": str(folder / "result.jsonl"), "out": str(folder), "scratch": str(folder),
    }  # fmt: skip
    return Task(**{**given, **settings})


def test_a_part_that_crashes_does_not_stop_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    parts = with_parts(tmp_path / "parts", a_crash=CRASH, b_good=GOOD)
    done = check(out, *parts, "--minutes", "1")
    assert done.returncode == 1
    assert states(out)["a_crash"] == ("failed", "crashed with SIGABRT")
    assert states(out)["b_good"] == ("passed", "")
    text = (out / "table.md").read_text()
    assert "| a_crash | failed: crashed with SIGABRT |" in text
    assert "about to crash" in text and "about to crash" in (out / "log.txt").read_text()
    assert "| it runs | ok |" in text and "| speed | 2 | m/s |" in text


@pytest.mark.skipif(not Path("/proc").exists(), reason="children are found through /proc")
@pytest.mark.ci
def test_a_part_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    out = tmp_path / "out"
    parts = with_parts(tmp_path / "parts", a_hang=HANG, b_good=GOOD)
    done = check(out, *parts, "--minutes", "0.25")
    assert done.returncode == 1
    state, detail = states(out)["a_hang"]
    assert state == "timed out" and detail.startswith("timed out after ")
    assert states(out)["b_good"] == ("passed", "")
    text = (out / "table.md").read_text()
    assert "| a_hang | timed out after " in text
    assert "| before | 1 |" in text  # what it had reported stays
    child = next(x for x in (out / "log.txt").read_text().splitlines() if x.startswith("child"))
    assert not alive(int(child.split()[1]))


def test_without_time_a_part_is_not_run_and_that_is_no_success(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = check(out, *with_parts(tmp_path / "parts", a_good=GOOD), "--minutes", "0.1")
    assert done.returncode == 1
    assert states(out) == {"a_good": ("not run", "no time left")}
    assert "| a_good | not run: no time left |" in (out / "table.md").read_text()


def test_a_signal_keeps_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    parts = with_parts(tmp_path / "parts", a_good=GOOD, b_hang=HANG, c_good=GOOD)
    with subprocess.Popen(
        command(out, *parts, "--minutes", "5"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("b_hang: at most"):
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
    assert process.returncode == 1
    found = states(out)
    assert found["a_good"][0] == "passed" and found["b_hang"][0] == "stopped"
    assert found["c_good"] == ("not run", "stopped by SIGTERM")
    assert "| c_good | not run: stopped by SIGTERM |" in (out / "table.md").read_text()


def test_a_failed_check_fails_its_part_and_a_skipped_part_is_none(tmp_path: Path) -> None:
    out = tmp_path / "out"
    bad = "def run(task):\n    task.check('sky', False, 'it is green')\n"
    skip = "from gpu_parts.task import Skipped\ndef run(task):\n    raise Skipped('needs CUDA')\n"
    done = check(out, *with_parts(tmp_path / "parts", a_bad=bad, b_skip=skip), "--minutes", "1")
    assert done.returncode == 1
    assert states(out)["a_bad"] == ("failed", "1 of its checks failed")
    assert states(out)["b_skip"] == ("skipped", "needs CUDA")
    assert "| sky | FAILED | it is green |" in (out / "table.md").read_text()
    assert "FAILED a_bad: sky: it is green" in done.stdout


def test_a_result_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "result.jsonl").write_text("mine\n")
    done = check(tmp_path)
    assert done.returncode == 1 and "already holds a result" in done.stderr
    assert (tmp_path / "result.jsonl").read_text() == "mine\n"


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = check(tmp_path / "out", "--only", "roofs,rooves")
    assert done.returncode == 1 and "there is no part rooves" in done.stderr


def test_time_goes_by_value_and_what_is_left_is_divided() -> None:
    assert share([10, 10], 40) == 20  # twice what all want: twice of it each
    assert share([10, 60], 40) == 10  # less than all want: the first has what it wants
    assert share([60], 40) == 40  # the last has what remains
    assert share([60], 29) == 0  # less than half of what it wants: it does not begin
    assert share([30, 10, 20], 600) == 300


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    file = tmp_path / "result.jsonl"
    append(file, {"part": "a", "kind": "fact", "name": "x", "value": "1"})
    with file.open("a") as stream:
        stream.write('{"part": "a", "kind": "fig')
    append(file, {"part": "b", "kind": "fact", "name": "y", "value": "2"})
    assert [line["part"] for line in read(file)] == ["a", "b"]
    assert len(file.read_text().splitlines()) == 3


def test_rows_of_a_table_have_a_column_for_each_figure(tmp_path: Path) -> None:
    task = a_task(tmp_path)
    task.figure("step", 12.3456789, "ms", of="fp32")
    task.figure("peak", 3, "GB", of="fp32")
    task.figure("step", 4.0, "ms", "fast", of="bf16")
    task.figure("alone | here", None)
    append(tmp_path / "result.jsonl", {"part": "", "kind": "fact", "name": "card", "value": "H"})
    assert table.markdown(read(tmp_path / "result.jsonl")).splitlines() == [
        "# gantrain on a GPU", "",
        "- card: H", "",
        "| part | state | s | limit s | checks passed |",
        "| --- | --- | --- | --- | --- |", "",
        "## p", "",
        "|  | step ms | peak GB | detail |",
        "| --- | --- | --- | --- |",
        "| fp32 | 12.346 | 3 |  |",
        "| bf16 | 4 |  | fast |", "",
        "| figure | value | unit | detail |",
        "| --- | --- | --- | --- |",
        "| alone \\| here | - |  |  |",
    ]  # fmt: skip


def test_a_profile_is_counted_from_its_trace() -> None:
    def event(kind: str, name: str, start: float, length: float) -> dict[str, Any]:
        return {"ph": "X", "cat": kind, "name": name, "ts": start, "dur": length}

    found = summed(
        [
            event("kernel", "gemm", 0, 1000),
            event("kernel", "add", 500, 1000),  # on another stream
            event("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)", 3000, 500),
            event("gpu_memcpy", "Memcpy DtoH (Device -> Pinned)", 3500, 500),
            event("cuda_runtime", "cudaLaunchKernel", 0, 5),
            event("cuda_runtime", "cudaStreamSynchronize", 0, 5),
            event("cuda_runtime", "cudaDeviceSynchronize", 0, 5),
            event("cpu_op", "aten::mm", 0, 5),
            {"ph": "M", "name": "process_name"},
        ]
    )
    assert found.kernels == 2 and found.busy_ms == 2.5 and found.waits == 1
    assert found.copies == {"HtoD": 1, "DtoH": 1} and found.pageable == 1
    assert found.top.most_common(2) == [("gemm", 1.0), ("add", 1.0)]
    assert found.calls["cudaLaunchKernel"] == 1


def test_spans_that_overlap_count_once() -> None:
    assert union([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert union([]) == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tests/test_gpu.py::test_a[bf16-0.1] PASSED   [ 16%]", ("test_a[bf16-0.1]", "PASSED")),
        ("tests/test_gpu.py::test_b[x y z] FAILED [ 33%]", ("test_b[x y z]", "FAILED")),
        ("tests/test_gpu.py::test_c ERROR [ 33%]", ("test_c", "ERROR")),
        ("FAILED tests/test_gpu.py::test_b - assert", None),
        ("2 passed in 0.1s", None),
    ],
)
def test_pytest_lines_are_read(line: str, expected: tuple[str, str] | None) -> None:
    found = suite.verdict(line)
    assert found == (expected and (f"tests/test_gpu.py::{expected[0]}", expected[1]))


@pytest.mark.parametrize(
    ("code", "said", "good"),
    [
        (2, "Error: The batch of 4096 does not fit: try train.microbatch=2048.\n", True),
        (1, "Error: try train.microbatch=2048.\n", False),
        (2, "Traceback (most recent call last):\nError: try train.microbatch=2048.\n", False),
        (2, "Error: CUDA out of memory.\n", False),
        (0, "", False),
    ],
)
def test_out_of_memory_is_one_sentence(tmp_path: Path, code: int, said: str, good: bool) -> None:
    memory.check_message(a_task(tmp_path), "b", code, said)
    assert all(line["ok"] for line in read(tmp_path / "result.jsonl")) == good


def pack_of(folder: Path, *pictures: str) -> Path:
    for picture in pictures:
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        (folder / picture).touch()
    return folder


@pytest.mark.parametrize(
    ("content", "stylegan", "cyclegan"),
    [
        ("photos/1.jpg others/2.jpg notes.txt", ".", None),
        ("trainA/1.jpg trainB/1.jpg", "trainB", ("trainA", "trainB")),
        ("A/1.jpg B/1.jpg faces/1.png", "faces", ("A", "B")),
        ("set/trainA/1.jpg set/trainB/1.jpg one/1.png", "one", ("set/trainA", "set/trainB")),
        ("trainA/x/1.jpg trainB/1.jpg one/1.jpg", "one", ("trainA", "trainB")),
        ("notes.txt", None, None),
    ],
)
def test_a_pack_is_used_by_those_whom_it_suits(
    tmp_path: Path, content: str, stylegan: str | None, cyclegan: tuple[str, str] | None
) -> None:
    pack = pack_of(tmp_path, *content.split())
    one = [f"data.root={pack / stylegan}"] if stylegan else []
    two = [f"data.root_{d}={pack / f}" for d, f in zip("ab", cyclegan or (), strict=False)]
    for name, roots in (("StyleGAN", one), ("CycleGAN", two)):
        expected = ["data=folder", *roots, "data.held_out=8"] if roots else ["data=shapes"]
        assert training.data_overrides(name, pack) == expected


def test_without_a_pack_shapes_are_trained_on() -> None:
    assert training.data_overrides("CycleGAN", None) == ["data=shapes"]


@pytest.mark.parametrize("shape", fir.SHAPES, ids=lambda shape: shape.name)
def test_all_ways_are_the_filter(shape: fir.Shape) -> None:
    x = torch.randn(2, 3, 9 if shape.side % 2 else 8, 8, dtype=torch.float64)
    taps = torch.tensor(fir.TAPS, dtype=torch.float64)
    expected = fir.by_gantrain(x, shape.kind)
    torch.testing.assert_close(fir.by_slices(x, shape.kind), expected)
    torch.testing.assert_close(fir.by_convolution(x, shape.kind, taps), expected)


@pytest.mark.slow
def test_the_whole_rehearsal_passes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        command(out, "--minutes", "60"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, (out / "table.md").read_text()
    lines = [json.loads(line) for line in (out / "result.jsonl").read_text().splitlines()]
    parts = [line for line in lines if line["kind"] == "part"]
    assert len(parts) == 12 and {part["state"] for part in parts} <= {"passed", "skipped"}
    assert all(line["ok"] for line in lines if line["kind"] == "check")
    files = sorted(path.name for path in out.iterdir())
    assert files == ["cyclegan.png", "log.txt", "result.jsonl", "stylegan.png", "table.md"]
