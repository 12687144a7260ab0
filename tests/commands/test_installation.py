import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gantrain import __version__
from gantrain.commands import installation
from gantrain.engine import startup
from tests.helpers.command_line import gantrain

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation and a machine without a problem."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(installation, "nvidia_driver", lambda: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 50e9, 50e9))


def rows() -> dict[str, str]:
    return dict(installation.examine().rows)


def problem() -> str:
    [text] = installation.examine().problems
    return text


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    """Let packages have other versions; "": they are missing."""
    true = importlib.metadata.version

    def version(name: str) -> str:
        if versions.get(name) == "":
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or true(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.multi
def test_prints_an_aligned_text_without_a_run(tmp_path: Path) -> None:
    enough = {"GANTRAIN_CACHE": str(tmp_path / "cache")}
    said = gantrain(tmp_path, "doctor", environment=enough, code=0)
    lines = said.splitlines()
    assert lines[0].startswith(f"gantrain        {__version__}, in ")
    assert all(line[14:16] == "  " and line[16] != " " for line in lines[: lines.index("")])
    assert lines[-2:] == ["Problems:", "  none"], said
    assert not (tmp_path / "cache").exists()


def test_names_versions_devices_and_formats() -> None:
    found = rows()
    assert found["torch"].startswith(torch.__version__)
    assert found["NVIDIA driver"] == "none"
    assert found["Precision"] in ("auto takes fp32", "auto takes tf32")
    assert " bf16 instructions" in found["CPU"] and "may be used" in found["Cores"]
    assert found["[safetensors]"].startswith(("safetensors ", "missing safetensors: pip install "))


def test_a_cuda_card_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA H100", total_memory=85_029_158_912, major=9, minor=0)
    monkeypatch.setattr(installation, "nvidia_driver", lambda: "570.86.15")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: (9, 0))
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        found = installation.examine()
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
    assert ("cuda:0", "NVIDIA H100, 85.0 GB, compute 9.0") in found.rows
    assert ("Device", "auto takes cuda") in found.rows
    assert ("Precision", "auto takes tf32") in found.rows
    assert found.problems == []


def test_a_build_for_cpus_beside_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "nvidia_driver", lambda: "570.86.15")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert "NVIDIA driver (570.86.15), but this torch is built for CPUs only" in problem()


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def complain() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old.", stacklevel=1)
        return False

    monkeypatch.setattr(installation, "nvidia_driver", lambda: "470.1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", complain)
    assert "torch says: The NVIDIA driver on your system is too old. If " in problem()


@pytest.mark.parametrize("build", [None, "13.0"])
def test_cards_that_are_hidden_are_no_problem(
    build: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "nvidia_driver", lambda: "570.86.15")
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = installation.examine()
    text = "570.86.15, its cards are hidden by CUDA_VISIBLE_DEVICES"
    assert ("NVIDIA driver", text) in found.rows and found.problems == []


def test_the_driver_is_read_from_its_file_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    file = tmp_path / "version"
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    monkeypatch.setattr(installation, "DRIVER_FILE", file)
    assert installation.nvidia_driver() == "570.86.15"
    monkeypatch.setattr(installation, "DRIVER_FILE", tmp_path / "missing")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installation.nvidia_driver() is None
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 550.54\necho 550.54\n")
    program.chmod(0o755)
    assert installation.nvidia_driver() == "550.54"


def test_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(startup, "import_without_gc", fail)
    found = installation.examine()
    assert ("torch", "cannot be imported") in found.rows
    assert "Device" not in dict(found.rows)
    [text] = found.problems
    assert "(libtorch_cpu.so: cannot open shared object file)" in text
    assert "--force-reinstall 'torch<2.14,>=2.11'" in text


def test_versions_that_gantrain_does_not_work_with(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"torch": "2.14.0+cpu"})
    text = "torch 2.14.0+cpu is installed, and gantrain works with <2.14,>=2.11: pip install "
    assert text + "'torch<2.14,>=2.11'." == problem()
    installed(monkeypatch, {"torch": "2.12.1+cu130"})
    assert installation.examine().problems == []


def test_extras_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"onnxruntime": "", "av": "", "imagecodecs": "2020.1"})
    found = installation.examine()
    extras = dict(found.rows)
    assert extras["[video]"] == "missing av: pip install 'gantrain[video]'"
    assert "onnxruntime" in extras["[onnx]"] and "'gantrain[onnx]'" in extras["[onnx]"]
    assert "[dev]" not in extras and "[docs]" not in extras
    [text] = found.problems  # a missing extra is none
    assert "imagecodecs 2020.1 is installed" in text and "pip install 'gantrain[deep]'." in text


def test_gantrain_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    for function in ("requires", "metadata"):
        monkeypatch.setattr(importlib.metadata, function, missing)
    assert "pip install -e ." in problem()


def test_the_cache_folder_and_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows()["Cache folder"] == f"{tmp_path / 'cache'}: 0.0 GB, writable, 50.0 GB free"
    (tmp_path / "cache/weights").mkdir(parents=True)
    with (tmp_path / "cache/weights/large").open("wb") as file:
        file.truncate(1_500_000_000)  # a file with a hole
    assert rows()["Cache folder"] == f"{tmp_path / 'cache'}: 1.5 GB, writable, 50.0 GB free"


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "file/cache"))
    assert "not writable" in rows()["Cache folder"]
    assert "set GANTRAIN_CACHE=DIR to another folder" in problem()


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_current_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:  # root may write everywhere
        if dir == tmp_path:
            raise PermissionError(13, "Permission denied")

    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(installation.tempfile, "TemporaryFile", lambda dir: _Allowed(refuse(dir)))
    text = f"Current folder {tmp_path} cannot be written (Permission denied); runs go there: work"
    assert problem().startswith(text)


class _Allowed:
    def __init__(self, _: None) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_little_space_is_a_problem_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.main()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 99e9, 1e9))
    with pytest.raises(SystemExit) as ended:
        installation.main()
    assert ended.value.code == 1
    assert "has 1.0 GB of free space, and less than 2.0 GB" in capsys.readouterr().out


def test_no_network_and_no_more_than_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, json; from gantrain.commands import installation; installation.examine(); "
        "print(json.dumps([m for m in sys.modules if m.startswith('gantrain.')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "gantrain.engine.threads" in loaded
    assert not [name for name in loaded if name.startswith(("gantrain.inference", "gantrain.gans"))]
