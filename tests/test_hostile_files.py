"""Files of a stranger are data: nothing is run, imported or written outside, no traceback.

Each case changes one file of a whole run, sweep, snapshot or data set, and gives it to the commands
that read it. docs/reference/foreign-files.md says what each file may hold.
"""

import json
import os
import pickle
import shutil
import signal
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from gantrain.cli import entry
from tests.helpers.command_line import TINY
from tests.helpers.saved_sets import IMAGE, images_of, save

RUN = Path("runs/r")
OUTSIDE = Path("outside")
SNAPSHOT = "snapshots/snapshot-000000.004.pt"
CHECKPOINT = "checkpoints/checkpoint-000000.004.pt"
RESUME = "resume=runs/r train.kimg=0.005"
READERS = (RESUME, "report run=runs/r", "compare runs/r", "doctor run=runs/r")
LOADERS = (
    "translate run=runs/r input=in output=o",
    "export run=runs/r output=ex",
    "doctor run=runs/r",
)
STARTERS = (f"{' '.join(TINY)} name=new train.kimg=0.001 init_from=runs/r",)
CANARY = """
import pathlib
pathlib.Path("outside/imported").write_text("x")
class Net: pass
def f(*args, **kwargs): pathlib.Path("outside/called").write_text("x")
"""
Change = Callable[[], object]


class _Touch:
    """Its pickle runs a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch outside/executed",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and two images, which the cases get copies of."""
    folder = tmp_path_factory.mktemp("whole")
    home, argv = Path.cwd(), sys.argv
    os.chdir(folder)
    try:
        sys.argv = ["gantrain", *TINY, "name=r", "train.kimg=0.004", "checkpoint.every_kimg=0.002"]
        assert entry.main() == 0
        Path("in").mkdir()
        Image.new("RGB", (16, 16)).save("in/x.png")
        OUTSIDE.mkdir()
        (OUTSIDE / "precious").write_text("keep")
        Path("canary.py").write_text(CANARY)
    finally:
        os.chdir(home)
        sys.argv = argv
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.syspath_prepend(str(tmp_path / "place"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return tmp_path / "place"


def answers(commands: tuple[str, ...] | str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the commands, each as a user would; an error that is no sentence fails the test."""
    codes = []
    for command in (commands,) if isinstance(commands, str) else commands:
        monkeypatch.setattr(sys, "argv", ["gantrain", *command.split()])
        try:
            codes.append(entry.main())
        except SystemExit as error:  # doctor: 1 after an alarm
            codes.append(int(error.code or 0))
    return codes


def assert_harmless() -> None:
    assert [path.name for path in OUTSIDE.iterdir()] == ["precious"]
    assert (OUTSIDE / "precious").read_text() == "keep"
    assert "canary" not in sys.modules
    assert not Path("elsewhere").exists()


OVERRIDES = [
    "+hydra.callbacks.x={_target_: canary.f}",
    "++hydra.callbacks.x._target_=canary.f",
    "hydra.searchpath=[pkg://canary]",
    "hydra.run.dir=elsewhere",
    "hydra.sweep.dir=elsewhere",
    "hydra.job.env_set={PATH: elsewhere}",
    "hydra.mode=MULTIRUN",
    "hydra.output_subdir=elsewhere",
    "hydra/job_logging=default",
    "+hydra/callbacks=x",
    "hydra.job_logging={version: 1, handlers: {a: {class: canary.f}}}",
    "~hydra",
    "model@hydra.callbacks.x=cyclegan",
    "experiment=../../in/evil",
    "+experiment=/etc/evil",
    "data=[folder,../evil]",
    "seed=1,2",
    "seed=choice(1,2)",
    "name=${oc.env:HOME}",
    "objective=${hydra:runtime.cwd}",
    "objective=${oc.decode:x}",
    r"objective=$\{oc.env:HOME\}",
    r"data.url=x/$\{oc.env:HOME\}",
    r"model.augment_spec=[{a: [$\{oc.env:HOME\}]}]",
    r"++model={$\{oc.env:HOME\}: 1}",
    "++data={cache: disk, cache_dir: elsewhere}",
    "+data.more={data: {cache_dir: elsewhere}}",
    "+train.x=1",
    "+own=1",
    "model._target_=canary.Net",
    "data._target_=gantrain.io.files.write_text",
    "++model={_target_: canary.Net}",
    "train.batch=[8",
    "no assignment",
    "--config-dir=in",
    "seed=99999999999999999999999",
    "model.ngf={a: {_target_: canary.f}}",
    "seed=1\x00",
    "name=a\u202eb",
]


@pytest.mark.parametrize("line", OVERRIDES)
def test_saved_overrides(place: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    saved = json.loads(json.dumps((RUN / "overrides.yaml").read_text().splitlines()))
    (RUN / "overrides.yaml").write_text("\n".join([*saved, f"- {json.dumps(line)}"]))
    before = (RUN / "config.yaml").read_text()
    assert answers(RESUME, monkeypatch) == [2]
    assert (RUN / "config.yaml").read_text() == before
    answers(("report run=runs/r", "compare runs/r"), monkeypatch)
    assert_harmless()


@pytest.mark.parametrize(
    "line", ["out=elsewhere", "name=../elsewhere", "out=/proc/x", "+data.cache_dir=elsewhere"]
)
def test_a_run_stays_where_it_is(place: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    with (RUN / "overrides.yaml").open("a") as file:
        file.write(f"- {json.dumps(line)}\n")
    assert answers(RESUME, monkeypatch) == [0]
    assert (RUN / "checkpoints" / "checkpoint-000000.005.pt").exists()
    assert_harmless()


BOMB = "".join(
    ["a0: &a0 [x]\n", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))]
)
TEXTS = {
    "tag": "!!python/object/apply:os.system ['touch outside/executed']",
    "module": "!!python/module:canary",
    "aliases": BOMB,
    "deep": "[" * 20000,
    "nul": "a: \x00",
    "number": "5",
    "list of numbers": "[1, 2]",
    "date": "[2001-99-99]",
    "digits": "[" + "9" * 5000 + "]",
    "keys": "{? [a] : 1}",
    "mapping": "{train: 5, data: [], model: {_target_: 3}, derived: {plan: {total: x}}}",
    "float budget": "{derived: {plan: {total: 1.0e+400}}, model: {}, data: {}}",
    "string": "hello",
    "empty": "",
}


@pytest.mark.parametrize(
    "file", ["overrides.yaml", "config.yaml", "environment.json", "result.json"]
)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_documents(place: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str) -> None:
    (RUN / file).write_text(text)
    codes = answers(READERS[:3], monkeypatch)
    assert set(codes) <= {0, 2}
    assert_harmless()


VALUES = [
    None, True, "x", [], {}, -1, 1e400, float("nan"), 2**70, [[1]], {"a": {"b": 1}}, "\x00",
    "9" * 5000,
]  # fmt: skip
ROWS = {
    "metrics.jsonl": {"nimg": 2, "loss/G/gan_ab": 1.0, "health/ab/sharpness": 0.5},
    "evaluations.jsonl": {
        "nimg": 2, "name": "kid", "metric": "kid", "value": 1.0, "protocol": {}, "training": True,
    },
    "events.jsonl": {"nimg": 2, "alarm": "nonfinite", "level": "critical", "text": "t"},
    "result.json": {
        "nimg": 4, "metrics": {"a": 1.0}, "objective": {"name": "a", "value": 1.0}, "pairs": {},
    },
}  # fmt: skip


@pytest.mark.parametrize("file", ROWS)
def test_every_value_of_a_wrong_type(
    place: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    rows = [{**ROWS[file], key: value} for key in ROWS[file] for value in VALUES]
    lines = [json.dumps(row) for row in rows]
    lines += ["[" * 20000, "\x00", "{", "5", "[]", '"x"', json.dumps(ROWS[file])]
    for text in lines[::4] if file == "result.json" else ["\n".join(lines)]:
        (RUN / file).write_text(text)
        commands = READERS[1:2] if file == "result.json" else (*READERS[1:], RESUME)
        assert set(answers(commands, monkeypatch)) <= {0, 1, 2}
    assert_harmless()


def _alter(file: str, change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the content of a file of torch, with a digest that fits again."""

    def apply() -> None:
        content = torch.load(RUN / file, weights_only=True)
        content.pop("sha256")
        change(content)
        torch.save(content, RUN / file)

    return apply


def _set(file: str, *path: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return _alter(file, change)


def _squeeze(file: str) -> None:
    """Replace a file by one that expands to 100 times its size."""
    with zipfile.ZipFile(RUN / file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}." + b"\0" * 10_000_000)


def _raw(file: str, content: bytes) -> Change:
    return lambda: (RUN / file).write_bytes(content)


SPEC = ("specs", "ab")
WEIGHTS: dict[str, Change] = {
    f"{part} {name}": change
    for part, file in (("snapshot", SNAPSHOT), ("checkpoint", CHECKPOINT))
    for name, change in {
        "pickle in a zip": lambda file=file: torch.save({"x": _Touch()}, RUN / file),
        "bare pickle": _raw(file, pickle.dumps(_Touch())),
        "older pickle": lambda file=file: torch.save(
            {"x": _Touch()}, RUN / file, _use_new_zipfile_serialization=False
        ),
        "bomb": lambda file=file: _squeeze(file),
        "garbage": _raw(file, b"\0" * 1000),
        "empty": _raw(file, b""),
        "list": lambda file=file: torch.save([1], RUN / file),
        "dict": lambda file=file: torch.save({}, RUN / file),
    }.items()
}
WEIGHTS |= {
    "class of os": _set(SNAPSHOT, *SPEC, "target", value="os.system"),
    "class of a module": _set(SNAPSHOT, *SPEC, "target", value="canary.Net"),
    "class with dots": _set(SNAPSHOT, *SPEC, "target", value="gantrain.networks.resnet..x"),
    "function": _set(SNAPSHOT, *SPEC, "target", value="gantrain.networks.layers.init_weights"),
    "target of a number": _set(SNAPSHOT, *SPEC, "target", value=5),
    "too wide": _set(SNAPSHOT, *SPEC, "args", "ngf", value=10**12),
    "wide": _set(SNAPSHOT, *SPEC, "args", "ngf", value=60000),
    "too deep": _set(SNAPSHOT, *SPEC, "args", "blocks", value=10**9),
    "text for a number": _set(SNAPSHOT, *SPEC, "args", "ngf", value="x"),
    "arguments in a list": _set(SNAPSHOT, *SPEC, "args", value=[1]),
    "no networks": _set(SNAPSHOT, "specs", value={}),
    "weights of texts": _set(SNAPSHOT, "weights", "ab", value={"x": "y"}),
    "weights in a list": _set(SNAPSHOT, "weights", value=[]),
    "meta of a number": _set(SNAPSHOT, "meta", value=3),
    "model of a number": _set(SNAPSHOT, "meta", "model", value=3),
    "target of a model": _set(SNAPSHOT, "meta", "model", value={"_target_": 3}),
    "data in a list": _set(SNAPSHOT, "meta", "data", value=[1]),
    "labels of a number": _set(SNAPSHOT, "meta", "data", value={"labels": {"names": 3}}),
    "range of texts": _set(SNAPSHOT, "meta", "data", value={"value_range": "ab", "depth": "x"}),
    "range in a dict": _set(SNAPSHOT, "meta", "data", value={"value_range": {}, "depth": []}),
    "versions in a list": _set(SNAPSHOT, "meta", "versions", value=[]),
    "images of a text": _set(SNAPSHOT, "meta", "nimg", value="x"),
    "gan of a number": _set(CHECKPOINT, "gan", value=5),
    "gan without tensors": _set(CHECKPOINT, "gan", value={"G.ab.x": 1}),
    "optimizers of texts": _set(CHECKPOINT, "optimizers", value={"G": "x", "D": "y"}),
    "optimizer without groups": _set(CHECKPOINT, "optimizers", value={"G": {}, "D": {}}),
    "unknown player": _set(CHECKPOINT, "optimizers", value={"os": {"param_groups": []}}),
    "count of a text": _set(CHECKPOINT, "nimg", value="x"),
    "index of a text": _set(CHECKPOINT, "index", value="x"),
    "ranks of numbers": _set(CHECKPOINT, "ranks", value=[1]),
    "no ranks": _set(CHECKPOINT, "ranks", value=[]),
    "note of a text": _set(CHECKPOINT, "note", value="x"),
    "settings in a list": _set(CHECKPOINT, "note", "settings", value=[]),
    "measured of a number": _set(CHECKPOINT, "measured", value=1),
}


@pytest.mark.parametrize("change", WEIGHTS.values(), ids=WEIGHTS)
def test_weights(place: Path, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    for older in (CHECKPOINT, SNAPSHOT):  # nothing else that could be used instead
        for file in (RUN / older).parent.glob("*.pt"):
            if file.name != Path(older).name:
                file.unlink()
    change()
    codes = answers((*LOADERS, RESUME, *STARTERS), monkeypatch)
    assert 2 in codes or codes[:2] == [0, 0], codes
    assert_harmless()


def test_a_flipped_bit_with_a_right_crc_is_noticed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (SNAPSHOT, CHECKPOINT):
        content = torch.load(RUN / file, weights_only=True)
        node = content["weights"]["ab"] if "weights" in content else content["gan"]
        tensor = next(x for x in node.values() if x.numel())
        tensor.view(-1)[0] += 1e-3
        torch.save(content, RUN / file)
    assert answers("translate run=runs/r input=in output=o", monkeypatch) == [2]
    assert "damaged" in capsys.readouterr().err


LINKS = [
    ".lock", "log.txt", "metrics.jsonl", "events.jsonl", "evaluations.jsonl", "result.json",
    "config.1.yaml", "grids/grid-000000.005.png", "tensorboard", "checkpoints", "grids",
    "snapshots",
]  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_links_out_of_a_run(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    link = RUN / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.parent.mkdir(exist_ok=True)
    is_folder = name in ("tensorboard", "checkpoints", "grids", "snapshots")
    link.symlink_to((OUTSIDE if is_folder else OUTSIDE / "precious").absolute())
    assert answers(RESUME, monkeypatch) == [2]
    answers(READERS[1:], monkeypatch)
    assert_harmless()


PIPES = [
    "metrics.jsonl", "evaluations.jsonl", "result.json", "config.1.yaml", "log.txt", ".lock",
    SNAPSHOT, CHECKPOINT,
]  # fmt: skip


@pytest.fixture
def in_time() -> Iterator[None]:
    """Let a test that waits for ever fail."""

    def fail(*_: object) -> None:
        raise AssertionError("this waits for ever")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("name", PIPES)
def test_pipes_and_devices_are_not_read(
    place: Path, in_time: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (RUN / name).unlink(missing_ok=True)
    os.mkfifo(RUN / name)
    assert answers((RESUME,), monkeypatch) == [2]
    assert set(answers(READERS[1:], monkeypatch)) <= {0, 2}
    assert_harmless()


@pytest.mark.parametrize("kind", ["loop", "folder", "link to the log"])
def test_a_lock_that_is_no_file(place: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (RUN / ".lock").unlink(missing_ok=True)
    if kind == "folder":
        (RUN / ".lock").mkdir()
    else:
        (RUN / ".lock").symlink_to(".lock" if kind == "loop" else "log.txt")
    assert answers((RESUME,), monkeypatch) == [2]
    assert set(answers(READERS[1:], monkeypatch)) <= {0, 2}
    assert_harmless()


def test_the_lock_of_another_machine_says_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (RUN / ".lock").write_bytes(b"99999999999999999999 \x00host\nrm -rf /\n")
    assert answers(RESUME, monkeypatch) == [0]


SWEEPS: dict[str, Any] = {
    "job elsewhere": [{"name": "../../elsewhere", "overrides": ["seed=1"]}],
    "job at the root": [{"name": "/elsewhere", "overrides": ["seed=1"]}],
    "job of a number": [{"name": 5, "overrides": ["seed=1"]}],
    "overrides in a text": [{"name": "seed-1", "overrides": "seed=1"}],
    "overrides of numbers": [{"name": "seed-1", "overrides": [1]}],
    "jobs in a dict": {"name": "x"},
    "deep": "[" * 20000,
}


@pytest.mark.parametrize("jobs", SWEEPS.values(), ids=SWEEPS)
def test_sweeps(place: Path, monkeypatch: pytest.MonkeyPatch, jobs: Any) -> None:
    folder = Path("sweeps/s")
    (folder / "failed").mkdir(parents=True)
    text = json.dumps({"command": ["x"], "common": ["hydra.run.dir=elsewhere"], "jobs": jobs})
    (folder / "sweep.json").write_text(jobs if isinstance(jobs, str) else text)
    sweep = f"{' '.join(TINY)} -m name=s seed=1 train.kimg=0.001"
    assert answers(("compare sweeps/s", sweep), monkeypatch) == [2, 2]
    assert_harmless()


@pytest.mark.parametrize(
    "value", [[], {"seed-1": 5}, {"seed-1": {"job_id": "--help"}}, "x", {"seed-1": {"job_id": "1"}}]
)
@pytest.mark.parametrize("file", ["jobs.json", "failed/seed-1.json"])
def test_records_of_a_sweep(
    place: Path, monkeypatch: pytest.MonkeyPatch, file: str, value: Any
) -> None:
    folder = Path("sweeps/s")
    (folder / "failed").mkdir(parents=True)
    jobs = [{"name": "seed-1", "overrides": ["seed=1"]}]
    (folder / "sweep.json").write_text(json.dumps({"command": [], "common": [], "jobs": jobs}))
    (folder / file).write_text(json.dumps(value))
    assert answers("compare sweeps/s", monkeypatch) == [0]


@pytest.mark.parametrize("name", ["jobs.json", ".claims", "failed", "logs", "table.csv"])
def test_links_out_of_a_sweep(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = Path("sweeps/s")
    folder.mkdir(parents=True)
    target = OUTSIDE if name in (".claims", "failed", "logs") else OUTSIDE / "precious"
    (folder / name).symlink_to(target.absolute())
    sweep = f"{' '.join(TINY)} -m name=s seed=1 train.kimg=0.001"
    assert answers(sweep, monkeypatch) == [2]
    assert_harmless()


def _zip(names: list[str]) -> None:
    with zipfile.ZipFile("set.zip", "w") as archive:
        for name in names:
            archive.write("in/x.png", name)


DATA: dict[str, Change] = {
    "paths that climb": lambda: _zip([f"trainA/../../outside/{i}.png" for i in range(3)]),
    "absolute paths": lambda: _zip([f"/{os.getcwd()}/outside/{i}.png" for i in range(3)]),
    "no zip": lambda: Path("set.zip").write_bytes(pickle.dumps(_Touch())),
    "cut short": lambda: (_zip(["trainA/x.png"]), os.truncate("set.zip", 90)),
}


@pytest.mark.parametrize("change", DATA.values(), ids=DATA)
def test_data_sets(place: Path, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    change()
    tiny = " ".join(text for text in TINY if not text.startswith("data"))
    start = f"{tiny} data=folder data.resolution=16 data.root=set.zip name=z train.kimg=0.001"
    assert answers((start, "prepare root=set.zip"), monkeypatch) == [2, 2]
    assert_harmless()


def _saved(path: str | None = None, **state: Any) -> None:
    """A set of Hugging Face's datasets whose second image is a path, and whose type is a pickle."""
    content = Path("in/x.png").read_bytes()
    extension = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(_Touch()),
    }
    columns = {"image": images_of([content, None if path else content], [None, path])}
    field = pa.field("image", columns["image"].type, metadata=extension)
    save(Path("set"), columns, {"image": IMAGE}, schema=pa.schema([field]))
    written = json.loads(Path("set/state.json").read_text())
    Path("set/state.json").write_text(json.dumps({**written, **state}))


def _pipe(name: str) -> None:
    _saved()
    Path("set", name).unlink()
    os.mkfifo(Path("set", name))


SAVED: dict[str, tuple[Change, int]] = {
    "a pickle as a type": (_saved, 0),
    "a path that climbs": (lambda: _saved("../in/x.png"), 2),
    "an absolute path": (lambda: _saved(os.path.abspath("in/x.png")), 2),
    "a file that climbs": (lambda: _saved(_data_files=[{"filename": "../in/x.png"}]), 2),
    "another format": (lambda: _saved(_data_files=[{"filename": "state.json"}]), 2),
    "a pipe as data": (lambda: _pipe("data-00000-of-00001.arrow"), 2),
    "a pipe as JSON": (lambda: _pipe("dataset_info.json"), 2),
}


@pytest.mark.parametrize(("change", "code"), SAVED.values(), ids=SAVED)
def test_saved_sets(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: Change, code: int
) -> None:
    change()
    command = "prepare data=hf data.root=set data.resolution=16"
    assert answers(command, monkeypatch) == [code]
    assert_harmless()


def test_arrays_of_objects_and_long_headers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("w.npz", w=np.array([_Touch()], dtype=object))
    Path("long.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    Path("deep.safetensors").write_bytes(struct.pack("<Q", 20000) + b"[" * 20000)
    codes = answers(
        (
            "generate run=runs/r w=w.npz",
            *(STARTERS[0].replace("runs/r", f"{name}.safetensors") for name in ("long", "deep")),
        ),
        monkeypatch,
    )
    assert codes == [2, 2, 2]
    assert_harmless()


@pytest.mark.parametrize("flag", ["--experimental-rerun x.pickle", "--experimental-rerun=x.pickle"])
def test_hydra_s_flag_for_pickles_is_none(
    place: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    Path("x.pickle").write_bytes(pickle.dumps(_Touch()))
    assert answers(flag, monkeypatch) == [2]
    assert_harmless()
