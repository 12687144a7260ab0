"""Snapshots: files with the generators' weights and constructor calls, for use without a config."""

import importlib
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gantrain.errors import ConfigError
from gantrain.io.files import atomic_write, is_intact
from gantrain.targets import advice, is_plugin

FORMAT = "gantrain-snapshot-1"


@dataclass(frozen=True)
class Snapshot:
    """The content of a snapshot file.

    Attributes:
        networks: {name ("ab", "ba", or "G"): generator in eval mode, with images in [-1, 1]}.
        meta: plain values: nimg, ema, model, data (channels, resolution, preprocessing), versions.
    """

    networks: dict[str, nn.Module]
    meta: dict[str, Any]


def save_snapshot(
    path: Path,
    networks: dict[str, nn.Module],
    specs: dict[str, dict[str, Any]],
    meta: dict[str, Any],
) -> None:
    """Write a snapshot file atomically.

    Args:
        path: the file.
        networks: the generators by name.
        specs: their constructor calls by name (`networks.spec`).
        meta: plain values about the run.
    """
    weights = {name: net.state_dict() for name, net in networks.items()}
    content = {"format": FORMAT, "specs": specs, "weights": weights, "meta": meta}
    with atomic_write(path) as file:
        torch.save(content, file)


def load_snapshot(path: str | Path, device: str | torch.device = "cpu") -> Snapshot:
    """Load a snapshot.

    Args:
        path: a snapshot file, or a run directory, whose newest intact snapshot is loaded (with a
            warning if newer ones are damaged).
        device: where to put the networks.

    Raises:
        ConfigError: there is no such file, it is damaged or not a snapshot, or it names networks
            of a package that is neither gantrain nor a plug-in.
    """
    file = find_snapshot(Path(path))
    content = load_plain_dict(file)
    if content is None:
        raise ConfigError(f"{file} is damaged or not a snapshot: use another one of the same run.")
    if content.get("format") != FORMAT:
        raise ConfigError(f"{file} is not a gantrain snapshot (snapshots/snapshot-*.pt of a run).")
    networks = {}
    for name, spec in content["specs"].items():
        try:
            network = _network_class(spec["target"])(**spec["args"])
            network.load_state_dict(content["weights"][name])
        except (ImportError, AttributeError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            version = content["meta"].get("versions", {}).get("gantrain", "unknown")
            raise ConfigError(
                f"{file}: {spec['target']} cannot be rebuilt ({reason}). The file was written by "
                f"gantrain {version}: use that version."
            ) from None
        networks[name] = network.to(device).eval().requires_grad_(False)
    return Snapshot(networks, content["meta"])


def load_plain_dict(file: Path) -> dict[str, Any] | None:
    """Return the content of a file written by torch.save, with tensors on the CPU.

    Returns:
        None if the file is damaged, or holds anything but a dict of plain values.
    """
    if not is_intact(file):
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, pickle.UnpicklingError):
        return None
    return content if isinstance(content, dict) else None


def find_snapshot(path: Path, warn: Callable[[str], None] = warnings.warn) -> Path:
    """Return the path of a snapshot file.

    Args:
        path: a snapshot file, which is returned as it is, or a run directory.
        warn: called with a sentence if the newest snapshot of the run is damaged.

    Returns:
        The newest intact snapshot, or the newest one if all are damaged: loading it then fails
        with an explanation.

    Raises:
        ConfigError: there is no snapshot.
    """
    if path.is_file():
        return path
    files = sorted((path / "snapshots").glob("snapshot-*.pt"), reverse=True)
    if not files:
        raise ConfigError(f"{path} is neither a snapshot file nor a run directory with snapshots.")
    intact = next((file for file in files if is_intact(file)), files[0])
    if intact != files[0]:
        warn(f"{files[0]} is damaged: the older {intact.name} is used instead.")
    return intact


def _network_class(target: str) -> type[nn.Module]:
    """Return the class named in a snapshot, if it is from gantrain.networks or a plug-in."""
    module, _, name = target.rpartition(".")
    is_own = target.startswith("gantrain.networks.")
    if not is_own and not is_plugin(target):
        raise ConfigError(
            f"The snapshot needs the class {target}, but only networks of gantrain and of packages "
            f"named in GANTRAIN_PLUGINS are loaded.{advice(target)}"
        )
    cls = getattr(importlib.import_module(module), name)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ConfigError(f"The snapshot needs {target}, which is not a network class.")
    return cls
