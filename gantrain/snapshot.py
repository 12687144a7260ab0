"""Snapshots: files with the generators' weights and constructor calls, for use without a config."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.io import hub, hub_folder, safetensors_file
from gantrain.io.files import atomic_write, is_intact
from gantrain.io.module_pickle import PickledModule
from gantrain.io.reference_file import WHOLE_FILE, holds_objects, read_players, split_by_player
from gantrain.io.snapshot_content import find_fault, fit_labels
from gantrain.io.tensors import DIGEST, digest, is_unaltered, named_code
from gantrain.networks.spec import misfit
from gantrain.targets import advice, is_plugin

FORMAT = "gantrain-snapshot-1"
MAX_ARGUMENT = 65536  # of a network: sides and widths
UNBOUNDED = ("channel_base",)  # of which other arguments bound what a network takes
DEPTHS = ("blocks", "downs", "layers", "mapping_layers")  # each has at least one tensor


_UNBUILDABLE = (ImportError, AttributeError, LookupError, TypeError, ValueError, RuntimeError)
_UNBUILDABLE += (ArithmeticError, AssertionError)  # what arguments of the wrong kind lead to


class NoSnapshotError(ConfigError):
    """A folder holds no generators, such as that of a run at its start."""


@dataclass(frozen=True)
class Snapshot:
    """The content of a snapshot file.

    Attributes:
        networks: {name ("ab", "ba", or "G"): generator in eval mode, with images in [-1, 1]}.
        meta: plain values: nimg, ema, model, data (channels, resolution, preprocessing), versions;
            of a model of the hub, "hub": its address with the commit.
        file: that it was read from.
    """

    networks: dict[str, nn.Module]
    meta: dict[str, Any]
    file: Path


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
    content: dict[str, Any] = {"format": FORMAT, "specs": specs, "weights": weights, "meta": meta}
    content[DIGEST] = digest(content)
    with atomic_write(path) as file:
        torch.save(content, file)


def load_snapshot(
    path: str | Path,
    device: str | torch.device = "cpu",
    warn: Callable[[str], None] = warnings.warn,
) -> Snapshot:
    """Load a snapshot.

    Args:
        path: a snapshot or checkpoint, or a run directory, whose newest intact one of these is
            loaded; a generator that gantrain exported as .safetensors, or one of the reference code
            of StyleGAN2, StyleGAN3 or R3GAN (`reference_file`); a folder of gantrain export
            format=hub, or "hub:owner/name@revision".
        device: where to put the networks.
        warn: called with a sentence for each newer file of the run that is damaged.

    Raises:
        NoSnapshotError: the directory holds none.
        ConfigError: the file is damaged or not a snapshot, or it names networks of a package that
            is neither gantrain nor a plug-in; the hub has no such model, or cannot be reached.
    """
    file = Path(path)
    if holds_objects(file):
        return _from_reference(file, read_players(file), device)
    file, content, address = _read(file, warn)
    if "networks" in _note(content):
        content = _from_checkpoint(content)
    if content.get("format") != FORMAT:
        return _from_reference(file, split_by_player(content), device)
    if fault := find_fault(content):
        raise ConfigError(f"{file} is damaged: its {fault} is not what a snapshot holds.")
    networks = {}
    for name, spec in content["specs"].items():
        try:
            network = _rebuild(spec, content["weights"][name])
        except _UNBUILDABLE as fault:
            reason = (str(fault).splitlines() or [type(fault).__name__])[0]
            version = content["meta"].get("versions", {}).get("gantrain", "unknown")
            raise ConfigError(
                f"{file}: {spec['target']} cannot be rebuilt ({reason}). The file was written by "
                f"gantrain {version}: use that version."
            ) from None
        networks[name] = _for_use(network, device)
    labels = content["meta"].get("data", {}).get("labels") or {}
    if not all(
        fit_labels(labels, getattr(network, "label_dim", 0)) for network in networks.values()
    ):
        raise ConfigError(f"{file} is damaged: its labels are not those of its networks.")
    meta = {key: value for key, value in content["meta"].items() if key != "hub"}
    return Snapshot(networks, meta | ({"hub": str(address)} if address else {}), file)


def _for_use(network: nn.Module, device: str | torch.device) -> nn.Module:
    return network.to(device).eval().requires_grad_(False)


def _from_reference(
    file: Path, modules: dict[str, PickledModule], device: str | torch.device
) -> Snapshot:
    """Return the generator of a file of a reference code, averaged if the file holds the average.

    Raises:
        ConfigError: there is none, or its weights fit no generator here.
    """
    from gantrain.networks import reference  # all networks, which few files need

    for name in ("G_ema", "G", WHOLE_FILE):
        if name in modules and (name or reference.is_generator(modules[name].weights)):
            try:
                network = reference.rebuild(modules[name].weights, modules[name].arguments)
            except ConfigError as error:
                raise ConfigError(*(f"{file}: {text}" for text in error.problems)) from None
            meta = {"nimg": 0, "ema": name == "G_ema", "model": {}, "data": {}, "versions": {}}
            return Snapshot({"G": _for_use(network, device)}, meta, file)
    raise ConfigError(
        f"{file} is not a gantrain snapshot (snapshots/snapshot-*.pt of a run), nor a generator of "
        "the reference code of StyleGAN2, StyleGAN3 or R3GAN. For the CycleGAN code's files: "
        "gantrain import."
    )


def _rebuild(spec: dict[str, Any], weights: dict[str, Tensor]) -> nn.Module:
    """Return the network of a constructor call, with its weights.

    A network of gantrain is first built without memory, so that a file cannot ask for more than it
    holds.
    """
    cls, arguments = _network_class(spec["target"]), spec["args"]
    if not is_plugin(spec["target"]):
        for key, value in arguments.items():
            most = len(weights) if key in DEPTHS else MAX_ARGUMENT
            if key not in UNBOUNDED and any(x > most for x in _whole_numbers(value)):
                raise ValueError(f"{key}={value} is out of range")
        if key := misfit(cls, arguments):
            raise ValueError(f"{key}={arguments[key]!r:.60} is not of its kind")
        with torch.device("meta"):
            shapes = {key: x.shape for key, x in cls(**arguments).state_dict().items()}
        if shapes != {key: x.shape for key, x in weights.items()}:
            raise ValueError("its weights have other names or shapes")
    network = cls(**arguments)
    network.load_state_dict(weights)
    return network


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _whole_numbers(item)
    elif isinstance(value, int):
        yield abs(value)


def unreadable(file: Path) -> str:
    """Return the sentence about a file whose content `load_plain_dict` does not return."""
    if is_intact(file):
        try:
            torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            if code := named_code(error):
                return (
                    f"{file} is not a snapshot of gantrain: it names {code}, which is code. Only "
                    "tensors and plain values are read, and nothing of it was run."
                )
    return f"{file} is damaged or not a snapshot: use another one of the same run."


def load_plain_dict(file: Path) -> dict[str, Any] | None:
    """Return the content of a file written by torch.save, with tensors on the CPU.

    Returns:
        None if the file is damaged or altered, or holds anything but a dict of plain values.
    """
    if not is_intact(file):
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a pickle of anything else raises almost anything; it runs nothing
        return None
    return content if isinstance(content, dict) and is_unaltered(content) else None


def _read(
    path: Path, warn: Callable[[str], None]
) -> tuple[Path, dict[str, Any], hub.Address | None]:
    """Return the file that a path or an address leads to, and its content as a snapshot has it.

    And, of a model of the hub, its address with the commit.
    """
    origin = None
    if hub.is_address(path):
        origin, folder = hub.fetch(hub.parse(path))
        try:
            content = hub_folder.read(folder)
        except hub_folder.DamagedWeightsError:
            hub.forget(folder)  # else it would never be downloaded again
            raise
    elif folder := hub_folder.find(path):
        content = hub_folder.read(folder)
    else:
        return *_read_newest(path, warn), None
    return folder / hub_folder.WEIGHTS, {"format": FORMAT, **content}, origin


def _read_newest(path: Path, warn: Callable[[str], None]) -> tuple[Path, dict[str, Any]]:
    """Return a file with generators and its content, see `load_snapshot`."""
    damaged: list[Path] = []
    for file in [path] if path.is_file() else _candidates(path):
        content = _exported(file) if file.suffix == ".safetensors" else load_plain_dict(file)
        if content is None:
            damaged.append(file)
        # Checkpoints of earlier versions do not say how to build their networks.
        elif file == path or file.parent.name == "snapshots" or "networks" in _note(content):
            for torn in damaged:
                warn(f"{torn} is damaged: the older {file.name} is used instead.")
            return file, content
    if damaged:
        snapshots = [file for file in damaged if file.parent.name == "snapshots"]
        raise ConfigError(unreadable((snapshots or damaged)[0]))
    raise NoSnapshotError(f"{path} is neither a snapshot file nor a run directory with snapshots.")


def _exported(file: Path) -> dict[str, Any] | None:
    """Return a .safetensors file like a snapshot's content; of other programs, its tensors."""
    content = safetensors_file.read(file)
    if content is None or content.network is None:
        return dict(content.tensors) if content else None
    specs, weights = {content.network: content.spec}, {content.network: dict(content.tensors)}
    return {"format": FORMAT, "specs": specs, "weights": weights, "meta": {}}


def _candidates(run: Path) -> list[Path]:
    """Return the files of a run that may hold generators, the newest first.

    Checkpoints, of a run that is in training or was killed, only if they are of more images than
    all snapshots.
    """
    snapshots = sorted(run.glob("snapshots/snapshot-*.pt"), reverse=True)
    newest = _images_of(snapshots[0]) if snapshots else ""
    checkpoints = sorted(run.glob("checkpoints/checkpoint-*.pt"), reverse=True)
    return [*(file for file in checkpoints if _images_of(file) > newest), *snapshots]


def _images_of(file: Path) -> str:
    return file.stem.partition("-")[2]


def _note(checkpoint: dict[str, Any]) -> dict[str, Any]:
    note = checkpoint.get("note")
    return note if isinstance(note, dict) else {}


def _from_checkpoint(content: dict[str, Any]) -> dict[str, Any]:
    """Return the generators of a training state as the content of a snapshot."""
    note, average = _note(content), content.get("ema")
    gan = content.get("gan")
    gan = gan if isinstance(gan, dict) else {}
    own = {str(key)[2:]: x for key, x in gan.items() if str(key).startswith("G.")}
    weights = average if isinstance(average, dict) else own
    networks = note.get("networks")
    networks = networks if isinstance(networks, dict) else {}
    specs = {str(key)[2:]: spec for key, spec in networks.items() if str(key).startswith("G.")}
    settings = note.get("settings")
    model = settings.get("model") if isinstance(settings, dict) else None
    meta = {
        "nimg": content.get("nimg", 0),
        "ema": average is not None,
        "model": model or {},
        "data": note.get("data", {}),
        "versions": note.get("versions", {}),
    }
    parts = {name: _part(weights, name) for name in specs}
    if [*specs] == ["G"] and not parts["G"]:  # a player that is one network
        parts["G"] = weights
    return {"format": FORMAT, "specs": specs, "weights": parts, "meta": meta}


def _part(weights: dict[str, Any], name: str) -> dict[str, Any]:
    start = f"{name}."
    return {k[len(start) :]: x for k, x in weights.items() if str(k).startswith(start)}


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
