"""The inference file: generator weights and how to rebuild the networks; needs no config."""

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
from gantrain.targets import is_plugin

FORMAT = "gantrain-snapshot-1"


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot file holds, ready to use.

    networks: name ("ab", "ba", or "G") to module in eval mode, image [-1, 1] to image [-1, 1].
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
    """Write atomically. `specs` are the networks' constructor calls (`networks.spec`)."""
    weights = {name: net.state_dict() for name, net in networks.items()}
    content = {"format": FORMAT, "specs": specs, "weights": weights, "meta": meta}
    with atomic_write(path) as file:
        torch.save(content, file)


def load_snapshot(path: str | Path, device: str | torch.device = "cpu") -> Snapshot:
    """Read a snapshot file, or the newest whole one of a run directory (with a warning if it is
    not the newest).

    Raises:
        ConfigError: no such file, a torn file, not a snapshot, or networks of an unknown package.
    """
    file = find_snapshot(Path(path))
    content = load_plain_dict(file)
    if content is None:
        raise ConfigError(f"{file} is damaged or not a snapshot; use another one of the same run.")
    if content.get("format") != FORMAT:
        raise ConfigError(f"{file} is not a gantrain snapshot (snapshots/snapshot-*.pt of a run).")
    networks = {}
    for name, spec in content["specs"].items():
        try:
            network = _network_class(spec["target"])(**spec["args"])
            network.load_state_dict(content["weights"][name])
        except (ImportError, AttributeError, TypeError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            version = content["meta"].get("versions", {}).get("gantrain", "unknown")
            raise ConfigError(
                f"{file}: {spec['target']} cannot be rebuilt ({why}); it was written by gantrain "
                f"{version}, use that version."
            ) from None
        networks[name] = network.to(device).eval().requires_grad_(False)
    return Snapshot(networks, content["meta"])


def load_plain_dict(file: Path) -> dict[str, Any] | None:
    """Content of a file of torch.save's, on the CPU; None if torn or no dict of plain values."""
    if not is_intact(file):
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, pickle.UnpicklingError):
        return None
    return content if isinstance(content, dict) else None


def find_snapshot(path: Path, say: Callable[[str], None] = warnings.warn) -> Path:
    """`path` itself if it is a file, else the newest whole snapshot of the run directory `path`.

    say: told if a newer one is damaged. Where all are, the newest is returned: reading it tells.
    """
    if path.is_file():
        return path
    found = sorted((path / "snapshots").glob("snapshot-*.pt"), reverse=True)
    if not found:
        raise ConfigError(f"{path} is neither a snapshot file nor a run directory with snapshots.")
    whole = next((file for file in found if is_intact(file)), found[0])
    if whole != found[0]:
        say(f"{found[0]} is damaged: {whole.name}, an older one, takes its place.")
    return whole


def _network_class(target: str) -> type[nn.Module]:
    """The class named in a file, from gantrain.networks or a plug-in the user has named, only."""
    module, _, name = target.rpartition(".")
    own = target.startswith("gantrain.networks.")
    if not own and not is_plugin(target):
        raise ConfigError(
            f"The snapshot wants the class {target}; only gantrain's own networks are loaded. "
            f"If you trust it, set GANTRAIN_PLUGINS={target.partition('.')[0]}."
        )
    cls = getattr(importlib.import_module(module), name)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ConfigError(f"The snapshot's {target} is not a network class.")
    return cls
