"""Checks of what a command needs on the machine: a run, a device, a package."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from gantrain.config.paths import runs_like
from gantrain.io import hub, hub_folder

DEVICES = r"auto|cpu|mps|cuda(:\d+)?"


def run_problems(path: str) -> Iterator[str]:
    """Yield a sentence unless `path` is a run directory with snapshots, a file, or of the hub.

    Args:
        path: also hub:OWNER/NAME@REV, or a folder of gantrain export format=hub.
    """
    run = Path(path)
    if hub.is_address(path):
        yield from hub.problems("run", path)
    elif not run.exists():
        yield f"run={path}: there is no such run directory or snapshot file.{runs_like(path)}"
    elif (
        run.is_dir()
        and not hub_folder.find(run)
        and not list((run / "snapshots").glob("snapshot-*.pt"))
    ):
        yield f"run={run} has no snapshots (snapshots/snapshot-*.pt): is it a run directory?"


def home_problems(path: str, fix: str) -> Iterator[str]:
    """Yield a sentence if `path` is a model of the hub, which has no run directory for results.

    Args:
        path: a value of run=.
        fix: the setting that says where they go.
    """
    if hub.is_address(path) or hub_folder.find(Path(path)):
        yield f"run={path} is a model of the hub, not a run directory: add {fix}."


def directory_problems(path: str) -> Iterator[str]:
    """Yield a sentence unless `path` is a run directory."""
    if not (Path(path) / "config.yaml").is_file():
        yield f"run={path} is not a run directory (config.yaml is missing).{runs_like(path)}"


def device_problems(device: str, precision: str = "fp32") -> Iterator[str]:
    """Yield a sentence for a device that does not exist, or cannot compute in `precision`.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: a name as in runtime.precision.
    """
    if not re.fullmatch(DEVICES, device):
        yield f"device={device} is not a device: use auto, cpu, cuda, cuda:N or mps."
    elif precision == "tf32" and device in ("cpu", "mps"):
        yield f"precision=tf32 works on NVIDIA GPUs only, and device={device}: use fp32."


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None
