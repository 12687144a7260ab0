"""Type thousands of random command lines; every exception but an explained one is a fault.

python scripts/fuzz_overrides.py [--count 10000] [--seed 0] [--first 0] [--only N] [--out FILE]

Keys come from all configs, values are of every kind, and every command and form of override is
used. All runs in this process, up to the moment a command would start its work: compose, check,
preflight. Command N of a seed is always the same; --only N repeats it and shows its output.
"""

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import yaml

from gantrain.cli import entry
from gantrain.config import paths, suggestions

LIMIT_S = 60  # an answer that takes longer is a fault, too
GROUPS = ("model", "data", "optimizer", "runtime", "tracking", "experiment", "debug", "sweep")
HYDRA_KEYS = (
    "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.mode", "hydra.job.name",
    "hydra.job.chdir", "hydra.output_subdir", "hydra.verbose", "hydra.launcher.n_jobs",
    "hydra.sweeper.max_batch_size", "hydra.launcher", "hydra/launcher", "hydra/sweeper",
    "hydra/job_logging", "hydra.nothing", "hydra",
)  # fmt: skip
VALUES = (
    "", "null", "None", "~", "true", "no", "0", "1", "-1", "2", "3", "16", "64", "100000", "2.5",
    "-0.5", "1e-3", "1e400", "-inf", "nan", "1_000", "0x10", "007", "9" * 400, "9" * 30, "1" * 5000,
    "x", "auto", "cpu", "cuda:9", "ab", "BtoA", "x.png", "folder", "runs/a", "photos", "photos.zip",
    "../x", "a/b/c", "[]", "{}", "[1]", "[1,2]", "[0.5,0.9]", "[0,1,2,3]", "[[1,2],[3,4]]",
    "[a,[b,{c:d}]]", "[null]", "[true,x]", "[[0,0],[1,1]]", "[[1,0],[0,1]]", "[[0,x]]", "{a:1}",
    "{a:{b:[1]}}", "{1:2}", "{_target_:x}", "{unpaired:x}", "[1,2", "{a", "(", ")", "'x", '"x',
    "'a b'", '"a b"', "a b", " ", "a,b", "0,1", "1,,2", ",", "choice(1,2)", "choice(a,b)",
    "range(0,3)", "interval(0,1)", "glob(*)", "shuffle(1,2)", "sort(2,1)", "int(x)", "str(1)",
    "extend_list(1)", "choice()", "f(x)", "${seed}", "${nowhere}", "${oc.env:HOME}", "${name}",
    "${oc.env:NOT_THERE}", "${hydra:job.name}", "${train}", "${", "$", "$x", "???", "*", "\\",
    "\\\\x", "C:\\x\\", "a\\,b", "ä ö ü", "日本語", "😀", "a\tb", "a\nb", "\x01", "\udc80", "=",
    "a=b", "a:b", "a@b", "#x", "@", "&", "%", "!", "`x`", "-", "--", "a" * 300, "gantrain.x",
    "gantrain.gans.cyclegan.CycleGAN", "torch.optim.SGD", "torch.optim", "os.system", "torch",
    "gantrain.data.folder", "gantrain.data.mnist.MNIST", "gantrain..x", ".", "..", "0-31", "5-1",
    "1-", "[1,x-2]", "2024-01-01", "12:30:00", "1+1", "1.", ".5", "+1", "1e5", "inf",
)  # fmt: skip
WORDS = ("x", "runs/a", "photos", "a b", "--x", "--seed", "-v", "--x=1", "=", "-", "generat", "[")
FLAGS = ("-m", "--multirun", "--help", "--cfg", "--info", "--version", "--resolve", "--cfg=job")


@dataclass
class Fault:
    """A command line that ended in an exception nobody explained."""

    number: int
    argv: list[str]
    error: str
    trace: str


def keys() -> list[str]:
    """Return every dotted key of all config files, with its section where it has one."""
    found: set[str] = {*suggestions.names(), *HYDRA_KEYS, "", ".", "a..b", "x", "ä", "1", "data."}
    for file in sorted(paths.config_dir().rglob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        section = file.parent.name if "@package _global_" not in text else ""
        prefix = f"{section}." if section in ("model", "data", "optimizer", "runtime") else ""
        found |= {prefix + key for key in _dotted(yaml.safe_load(text) or {})}
    return sorted(found)


def _dotted(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        if not prefix and key in ("defaults", "hydra"):
            continue
        yield f"{prefix}{key}"
        yield from _dotted(value, f"{prefix}{key}.")


def command_line(number: int, seed: int, known: list[str]) -> list[str]:
    """Return command line `number` of a campaign.

    Args:
        number: which one.
        seed: of the campaign.
        known: the keys to choose from.
    """
    draw = random.Random(f"{seed}-{number}")
    argv = [draw.choice(paths.commands())] if draw.random() < 0.6 else []
    for group in GROUPS:
        if draw.random() < 0.12:
            argv.append(f"{group}={draw.choice([*_choices(group), *_choices(group), 'null', 'x'])}")
    argv += [_override(draw, known) for _ in range(draw.choice((1, 1, 1, 2, 3, 5)))]
    if draw.random() < 0.1:
        argv.append(draw.choice(WORDS))
    if draw.random() < 0.1:
        argv.append(draw.choice(FLAGS))
    if argv[:1] and argv[0] in paths.commands() and draw.random() < 0.5:
        argv += ["run=runs/a"]
    return argv


def _choices(group: str) -> list[str]:
    return sorted(file.stem for file in (paths.config_dir() / group).glob("*.yaml"))


def _override(draw: random.Random, known: list[str]) -> str:
    key = draw.choice(known)
    if draw.random() < 0.15:
        key = _misspelled(draw, key)
    value = draw.choice(VALUES)
    if draw.random() < 0.1:
        value = ",".join(draw.choice(VALUES) for _ in range(2))
    plain = [f"{key}={value}"] * 8
    special = [
        f"+{key}={value}", f"+{key}={value}", f"++{key}={value}", f"~{key}", f"~{key}={value}",
        f"{key}@{draw.choice(known)}={value}", f"--{key}={value}", f"{key}.x={value}", f"{key}==",
        f"{key}.{draw.choice(known)}={value}", f"+{key}.0={value}", f"{key}[0]={value}", key,
    ]  # fmt: skip
    return draw.choice(plain + special)


def _misspelled(draw: random.Random, key: str) -> str:
    at = draw.randrange(len(key) + 1)
    return draw.choice((key[:at] + key[at + 1 :], key[:at] + "x" + key[at:], key.upper()))


@contextlib.contextmanager
def harmless(folder: Path) -> Iterator[None]:
    """Work in `folder`, with commands that end where their work would begin."""
    commands = {
        f"gantrain.commands.{name}": SimpleNamespace(main=lambda *_: None)
        for name in paths.commands()
    }
    start_sweep = entry._hydra_main

    def start(arguments: Any, task: Any) -> None:
        if task.sweep is None:
            start_sweep(arguments, task)

    previous = signal.signal(signal.SIGALRM, _too_slow)
    before, modules = Path.cwd(), {name: sys.modules.get(name) for name in commands}
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1", "GANTRAIN_CACHE": str(folder / "cache")}
    os.chdir(folder)
    # Not by mock.patch.dict, which would also undo what is imported meanwhile
    sys.modules.update(commands)  # type: ignore[arg-type]
    try:
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(entry, "_hydra_main", start),
            mock.patch.object(sys, "argv", ["gantrain"]),
        ):
            yield
    finally:
        signal.signal(signal.SIGALRM, previous)
        os.chdir(before)
        for name, module in modules.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def furnish(folder: Path) -> None:
    """Put a run, two photos and an archive where the commands look for them."""
    from PIL import Image

    for path in ("runs/a/snapshots", "runs/a/checkpoints", "photos/trainA", "photos/trainB"):
        (folder / path).mkdir(parents=True, exist_ok=True)
    for path in ("photos/trainA/1.png", "photos/trainB/1.png"):
        Image.new("RGB", (64, 64)).save(folder / path)
    (folder / "photos.zip").write_bytes(b"no archive")
    (folder / "runs/a/snapshots/snapshot-000001.pt").write_bytes(b"")
    (folder / "runs/a/config.yaml").write_text("model: {ngf: 8}\n")
    (folder / "runs/a/overrides.yaml").write_text("- data=shapes\n- name=a\n")


def answer(argv: list[str], number: int = 0) -> tuple[Fault | None, str]:
    """Run one command line, within `harmless`; return its fault, if any, and what it printed."""
    output = io.StringIO()
    signal.alarm(LIMIT_S)
    sys.argv = ["gantrain", *argv]
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            entry.main()
    except SystemExit:
        pass
    except BaseException as error:  # whatever it is, it is what the campaign looks for
        if isinstance(error, KeyboardInterrupt):
            raise
        trace = traceback.format_exc()
        return Fault(number, argv, f"{type(error).__name__}: {error}"[:300], trace), trace
    finally:
        signal.alarm(0)
    text = output.getvalue()
    if "Traceback" in text or "Error: \n" in text:
        return Fault(number, argv, "a traceback was printed", text), text
    return None, text


class TooSlow(BaseException):
    """No answer in time. Not an Exception, which gantrain might explain."""


def _too_slow(*_: Any) -> None:
    raise TooSlow(f"no answer within {LIMIT_S} s")


def campaign(count: int, seed: int, first: int = 0) -> list[Fault]:
    """Run `count` command lines and return the faults.

    Args:
        count: how many.
        seed: of the campaign.
        first: number of the first one.
    """
    known, faults = keys(), []
    with tempfile.TemporaryDirectory() as folder, harmless(Path(folder)):
        for number in range(first, first + count):
            furnish(Path(folder))
            fault, _ = answer(command_line(number, seed, known), number)
            faults += [fault] if fault else []
            if fault or number % 500 == 499:
                told = f"{fault.argv} {fault.error}" if fault else f"{len(faults)} faults"
                print(f"{number}: {told!a}", file=sys.__stdout__, flush=True)
    return faults


def main() -> int:
    """Run a campaign; the exit code is 1 if there are faults."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--out", type=Path, help="JSON file for the faults")
    options = parser.parse_args()
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder, harmless(Path(folder)):
            furnish(Path(folder))
            argv = command_line(options.only, options.seed, keys())
            print(ascii(argv), answer(argv)[1], sep="\n")
        return 0
    begin = time.perf_counter()
    faults = campaign(options.count, options.seed, options.first)
    places = Counter(fault.trace.strip().splitlines()[-1][:150] for fault in faults)
    for kind, number in places.most_common():
        print(f"{number:5} {kind!a}")
    print(
        f"{options.count} command lines, {len(faults)} faults, {time.perf_counter() - begin:.0f} s"
    )
    if options.out:
        options.out.write_text(json.dumps([vars(fault) for fault in faults], indent=1))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
