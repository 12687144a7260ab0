"""gantrain doctor without a run: what is installed, what the machine offers, and what is wrong.

Imports torch only to ask it, so that an installation with a broken torch is diagnosed, too.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement

from gantrain import __version__
from gantrain.engine import startup
from gantrain.errors import counted
from gantrain.io.cache import cache_home
from gantrain.io.cores import available_cores
from gantrain.tracking.waiting import waiting

SMALL_SPACE = 2e9  # bytes: a few checkpoints of a published StyleGAN2, or the weights of metrics
FOR_DEVELOPERS = ("dev", "docs")  # extras that no command uses
VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "GANTRAIN_CACHE", "SLURM_JOB_ID")
DRIVER_FILE = Path("/proc/driver/nvidia/version")  # on Linux
CPU_FILE = Path("/proc/cpuinfo")
CUDA_BUILDS = "https://pytorch.org/get-started/locally lists the commands"


@dataclass
class Findings:
    """What was found.

    Attributes:
        rows: (name, value).
        problems: sentences with what helps.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return aligned lines, the problems last."""
        width = max(len(name) for name, _ in self.rows)
        lines = [f"{name:{width}}  {value}" for name, value in self.rows]
        found = [f"  - {problem}" for problem in self.problems] or ["  none"]
        return "\n".join([*lines, "", "Problems:", *found])


def main() -> None:
    """Print the versions, devices, extras and folders, and the problems with them.

    Raises:
        SystemExit: 1 if there are problems.
    """
    findings = examine()
    print(findings.text())
    if findings.problems:
        raise SystemExit(1)


def examine() -> Findings:
    """Examine the installation and the machine, without a network."""
    findings = Findings()
    findings.rows += [
        ("gantrain", f"{__version__}, in {Path(__file__).parents[1]}"),
        ("Python", f"{platform.python_version()}, {sys.executable}"),
        ("Platform", platform.platform()),
    ]
    if torch := _import_torch(findings):
        _examine_devices(findings, torch)
    _examine_processor(findings, torch)
    _examine_folder(
        findings,
        "Cache folder",
        cache_home(),
        "downloads and decoded images go there: set GANTRAIN_CACHE=DIR to another folder",
    )
    _examine_folder(
        findings,
        "Current folder",
        Path.cwd(),
        "runs go there: work in another folder, or give out=DIR",
    )
    if variables := [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]:
        findings.rows.append(("Environment", " ".join(variables)))
    _examine_packages(findings)
    return findings


def _import_torch(findings: Findings) -> ModuleType | None:
    try:
        with waiting("loading torch"):
            torch = startup.import_without_gc("torch")
    except Exception as error:  # whatever a damaged installation raises
        findings.rows.append(("torch", "cannot be imported"))
        findings.problems.append(
            f"torch cannot be imported ({_one_line(error)}): install it again with pip install "
            f"--force-reinstall '{_requirement('torch')}'."
        )
        return None
    cuda, hip = torch.version.cuda, torch.version.hip
    build = f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPUs only"
    findings.rows.append(("torch", f"{torch.__version__}, built for {build}"))
    return torch


def _examine_devices(findings: Findings, torch: ModuleType) -> None:
    """Report the GPUs, and what the settings device=auto and precision=auto take."""
    from gantrain.engine.precision import Precision, pick_device

    driver = nvidia_driver()
    # Whoever hides the cards wants to train without them.
    are_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    note = ", its cards are hidden by CUDA_VISIBLE_DEVICES" if driver and are_hidden else ""
    findings.rows.append(("NVIDIA driver", f"{driver or 'none'}{note}"))
    with warnings.catch_warnings(record=True) as complaints:  # about a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        device = pick_device("auto")
    for index in range(count):
        card = torch.cuda.get_device_properties(index)
        text = f"{card.name}, {_gigabytes(card.total_memory)}, compute {card.major}.{card.minor}"
        findings.rows.append((f"cuda:{index}", text))
    findings.rows.append(("Device", f"auto takes {device.type}"))
    findings.rows.append(("Precision", f"auto takes {Precision(device, 'auto').name}"))
    if not driver or are_hidden or count:
        return
    if not torch.version.cuda:
        findings.problems.append(
            f"There is an NVIDIA driver ({driver}), but this torch is built for "
            f"{'ROCm' if torch.version.hip else 'CPUs only'} and trains without the card: install "
            f"a CUDA build ({CUDA_BUILDS})."
        )
    else:
        said = f" torch says: {_one_line(complaints[0].message)}." if complaints else ""
        findings.problems.append(
            f"There is an NVIDIA driver ({driver}), but torch finds no card.{said} If the driver "
            f"is too old for CUDA {torch.version.cuda}, update it or install a build for an older "
            f"CUDA ({CUDA_BUILDS}); in a container, start it with access to the card "
            "(docker run --gpus all)."
        )


def nvidia_driver() -> str | None:
    """Return the version of the NVIDIA driver, or None if there is none."""
    with suppress(OSError):
        text = DRIVER_FILE.read_text("utf-8")
        if version := re.search(r"\d+\.\d+(\.\d+)?", text):
            return version[0]
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        return answer.stdout.partition("\n")[0].strip() or None
    return None


def _examine_processor(findings: Findings, torch: ModuleType | None) -> None:
    cores = f"{available_cores()} of {os.cpu_count()} may be used"
    if hasattr(os, "getloadavg"):
        cores += f", load of the last minute {os.getloadavg()[0]:.1f}"
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        if model := re.search(r"model name\s*: (.+)", CPU_FILE.read_text("utf-8")):
            name = model[1]
    if torch:
        from gantrain.engine.precision import has_bf16_instructions
        from gantrain.engine.threads import available_threads

        name += f", {'with' if has_bf16_instructions() else 'without'} bf16 instructions"
        cores += f", torch uses at most {counted(available_threads(), 'thread')}"
    findings.rows += [("CPU", name), ("Cores", cores)]


def _examine_folder(findings: Findings, name: str, folder: Path, use: str) -> None:
    """Report the space in a folder and whether it can be written.

    Args:
        findings: is added to.
        name: of the folder, for the user.
        folder: need not exist yet.
        use: what for, and what to do if it does not work.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    size = f"{_gigabytes(_size(folder))}, " if name == "Cache folder" else ""
    fault = _write_fault(existing)
    state = "not writable" if fault else "writable"
    findings.rows.append((name, f"{folder}: {size}{state}, {_gigabytes(free)} free"))
    if fault:
        findings.problems.append(f"{name} {folder} cannot be written ({fault}); {use}.")
    elif free < SMALL_SPACE:
        findings.problems.append(
            f"{name} {folder} has {_gigabytes(free)} of free space, and less than "
            f"{_gigabytes(SMALL_SPACE)} may end a training; {use}."
        )


def _write_fault(folder: Path) -> str | None:
    """Return why no file can be made in a folder; None: one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it has just been removed
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _examine_packages(findings: Findings) -> None:
    """Report the packages of each extra, and those whose version gantrain does not work with."""
    for package in _required(""):
        fault = _version_fault(package)
        if fault:
            findings.problems.append(f"{fault}: pip install '{_without_marker(package)}'.")
    for extra in _extras():
        packages = [*_required(extra)]
        missing = [x.name for x in packages if _version(x.name) is None]
        faults = [fault for x in packages if _version(x.name) and (fault := _version_fault(x))]
        command = f"pip install 'gantrain[{extra}]'"
        findings.problems += [f"{fault}: {command}." for fault in faults]
        if missing:
            text = f"missing {', '.join(missing)}: {command}"
        else:
            text = ", ".join(f"{x.name} {_version(x.name)}" for x in packages)
        findings.rows.append((f"[{extra}]", text))
    if not _metadata():
        findings.problems.append(
            "gantrain runs from a folder and is not installed, so that its extras and the versions "
            "of packages that it needs are unknown: pip install -e . in that folder."
        )


def _metadata() -> list[Requirement]:
    """Return what gantrain requires, extras included; []: it is not installed."""
    try:
        return [*map(Requirement, importlib.metadata.requires("gantrain") or [])]
    except importlib.metadata.PackageNotFoundError:
        return []


def _extras() -> list[str]:
    try:
        names = importlib.metadata.metadata("gantrain").get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [name for name in names if name not in FOR_DEVELOPERS]


def _required(extra: str) -> Iterator[Requirement]:
    """Yield what an extra requires in addition; "": what gantrain itself requires."""
    for requirement in _metadata():
        marker = requirement.marker
        is_always = marker is None or marker.evaluate({"extra": ""})
        applies = marker is None or marker.evaluate({"extra": extra})
        if applies and is_always == (extra == ""):
            yield requirement


def _requirement(package: str) -> str:
    """Return gantrain's requirement of a package, as pip takes it."""
    found = [_without_marker(x) for x in _required("") if x.name == package]
    return found[0] if found else package


def _without_marker(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version_fault(requirement: Requirement) -> str | None:
    """Return what is wrong with the installed version of a package, as a clause."""
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return (
        f"{requirement.name} {version} is installed, and gantrain works with "
        f"{requirement.specifier}"
    )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _one_line(message: object) -> str:
    return " ".join(str(message).split()).rstrip(".")
