"""`init_from`: start a run from the weights of another, and nothing else of it."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gantrain.errors import ConfigError, counted, format_value
from gantrain.gans.base import GAN
from gantrain.io import safetensors_file
from gantrain.io.files import is_intact
from gantrain.io.module_pickle import PickledModule
from gantrain.io.reference_file import PLAYERS, holds_objects, read_players, split_by_player
from gantrain.networks.reference import CONSTANT_FILTERS
from gantrain.snapshot import FORMAT, load_plain_dict

Weights = dict[str, Tensor]
DATA_ARGUMENTS = ("resolution", "channels", "label_dim", "in_channels", "out_channels")
ANOTHER_KIND = "is another kind of network in the file"
EXPORTED = {"latest_net_G_A": "G.ab", "latest_net_G_B": "G.ba"}  # by gantrain export format=pth


@dataclass(frozen=True)
class Saved:
    """A network in a file.

    Attributes:
        weights: its state dict.
        arguments: those that it was built with; {}: unknown.
        kind: its class, such as "module.Class"; "": unknown.
    """

    weights: Weights
    arguments: dict[str, Any] = field(default_factory=dict)
    kind: str = ""


def load_weights(gan: GAN, path: Path) -> list[str]:
    """Copy weights from a file into the GAN's networks.

    Args:
        gan: the new model. Networks that the file does not hold keep their weights.
        path: a snapshot (generators), a checkpoint (generators and discriminators), a run
            directory (its newest checkpoint, else its imported weights, else its newest snapshot),
            a file of the model's reference code (`reference_file`), or one generator, as
            `gantrain export` writes it.

    Returns:
        The names of the networks that were loaded ("G.ab", "D.a", ...).

    Raises:
        ConfigError: there is nothing to read, or shapes differ.
    """
    own = gan.networks()
    saved = _read(_find_file(path), own)
    # A snapshot has no discriminators: a part of the networks is enough, but not none.
    shared = [name for name in own if name in saved]
    # Nor all but the generators, as of a model of the other direction.
    has_generators = any(name.startswith("G.") for name in shared)
    if not shared or (not has_generators and any(name.startswith("G.") for name in saved)):
        # A checkpoint offers two readings of its names; the ones that it describes are meant.
        known = [name for name in saved if saved[name].kind] or saved
        raise ConfigError(
            f"init_from={path} holds the networks {', '.join(known)}, but this model has "
            f"{', '.join(own)}."
        )
    misfits = {name: text for name in shared if (text := _misfit(own[name], saved[name]))}
    if misfits:
        # Before the first copy, so that a refused file changes nothing.
        settings = set(inspect.signature(type(gan)).parameters)
        raise ConfigError(_explain(path, misfits, own, saved, settings))
    for name in shared:
        own[name].load_state_dict(saved[name].weights)
    return shared


def saved_networks(path: Path) -> dict[str, Weights]:
    """Return the weights of all networks of a run, by names such as "G.ab", "D.b", "F.F".

    Args:
        path: a run directory, or one of its snapshots and checkpoints.

    Raises:
        ConfigError: there is nothing to read.
    """
    file = _find_file(path)
    content = load_plain_dict(file) or {}
    state = content.get("gan")
    if not isinstance(state, dict):
        return {name: saved.weights for name, saved in _read(file, {}).items()}
    specs = _dict(_dict(content.get("note")).get("networks"))
    # Imported weights have no record, and all of them names of two parts.
    names = specs or dict.fromkeys(".".join(key.split(".")[:2]) for key in state)
    found = _checkpoint_networks(state, {name.partition(".")[0] for name in names})
    return {name: found[name] for name in names if name in found}


def _find_file(path: Path) -> Path:
    """Return the file to read: `path` itself, or the best one of a run directory."""
    if path.is_file():
        return path
    # Checkpoints first: only they hold discriminators, and weights without averaging.
    for pattern in ("checkpoints/checkpoint-*.pt", "weights.pt", "snapshots/snapshot-*.pt"):
        intact = [file for file in sorted(path.glob(pattern)) if is_intact(file)]
        if intact:
            return intact[-1]
    raise ConfigError(
        f"init_from={path} is neither a file of weights nor a run directory that holds one."
    )


def _read(file: Path, own: dict[str, nn.Module]) -> dict[str, Saved]:
    """Return {network name ("G.ab"): what is saved of it} from any of the files of `load_weights`.

    Args:
        file: a snapshot, a checkpoint or plain tensors.
        own: the networks of the model, one of which plain tensors may be.
    """
    if holds_objects(file):
        return _plain(_reference_networks(read_players(file), own))
    exported: safetensors_file.Content | None = None
    if file.suffix == ".safetensors":
        exported = safetensors_file.read(file)
        content: dict[str, Any] | None = dict(exported.tensors) if exported else None
    else:
        content = load_plain_dict(file)
    if content is None:
        raise ConfigError(f"init_from={file} is damaged, or is not a snapshot or checkpoint.")
    if exported and exported.network:
        return {f"G.{exported.network}": _described(exported.tensors, exported.spec)}
    modules = split_by_player(content)
    if networks := _reference_networks(modules, own) or _single_network(file, content, own):
        return _plain(networks)
    if content.get("format") == FORMAT and _is_nested(content.get("weights")):
        return _with_arguments(
            {f"G.{name}": weights for name, weights in content["weights"].items()},
            {f"G.{name}": spec for name, spec in _dict(content.get("specs")).items()},
        )
    if isinstance(content.get("gan"), dict):
        specs = _dict(_dict(content.get("note")).get("networks"))
        players = {name.partition(".")[0] for name in (*own, "G.", "D.")}
        return _with_arguments(_checkpoint_networks(content["gan"], players), specs)
    raise ConfigError(
        f"init_from={file} is not a snapshot or checkpoint of gantrain: give a file from "
        "snapshots/ or checkpoints/ of a run, the run directory, a file of gantrain export, or a "
        ".pth or .safetensors file with tensors named G.*, D.*, G_ema.*."
    )


def _with_arguments(networks: dict[str, Weights], specs: dict[str, Any]) -> dict[str, Saved]:
    return {name: _described(w, specs.get(name)) for name, w in networks.items()}


def _described(weights: Weights, spec: Any) -> Saved:
    return Saved(weights, _arguments(spec), _kind(spec))


def _kind(spec: Any) -> str:
    """Return the class of a recorded constructor call; "": unknown."""
    return str(_dict(spec).get("target", ""))


def _arguments(spec: Any) -> dict[str, Any]:
    """Return the arguments of a recorded constructor call; {}: unknown."""
    return _dict(_dict(spec).get("args"))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_nested(weights: Any) -> bool:
    return isinstance(weights, dict) and all(
        isinstance(part, dict) and all(isinstance(x, Tensor) for x in part.values())
        for part in weights.values()
    )


def _single_network(
    file: Path, content: dict[str, Any], own: dict[str, nn.Module]
) -> dict[str, Weights]:
    """Return the one network whose bare tensors a file holds, as `gantrain export` writes it.

    It is the network of the model with tensors of these names; of several (G.ab and G.ba), the
    one that the file is named after.
    """
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        return {}
    fitting = [name for name, net in own.items() if net.state_dict().keys() == content.keys()]
    if len(fitting) > 1:
        stems = {**EXPORTED, **{name.partition(".")[2]: name for name in fitting}}
        fitting = [name for name in fitting if stems.get(file.stem) == name]
    return {fitting[0]: content} if fitting else {}


def _checkpoint_networks(state: dict[str, Any], players: set[str]) -> dict[str, Weights]:
    """Split the state dict of a GAN by network of its players."""
    networks: dict[str, Weights] = {}
    for key, value in state.items():
        player, _, rest = key.partition(".")
        name, _, parameter = rest.partition(".")
        if player in players and isinstance(value, Tensor):
            # The first part of a key is a network of a ModuleDict, or a child of a single network;
            # both readings are offered, and `load_weights` takes the one that the model has.
            networks.setdefault(f"{player}.{name}", {})[parameter] = value  # ModuleDict players
            if not any(other.startswith(f"{player}.{player}.") for other in state):
                networks.setdefault(f"{player}.{player}", {})[rest] = value  # a single network
    return networks


def _reference_networks(
    modules: dict[str, PickledModule], own: dict[str, nn.Module]
) -> dict[str, Weights]:
    """Return networks of a reference code under their names here ("G.G", "D.D").

    "G" overrides its average "G_ema", because training continues from the former. Filters are
    dropped: they are constants here. The layers of a frozen D are buffers of the same names. A
    network whose names are others than those of its reference translates them by `from_reference`.
    """
    networks: dict[str, Weights] = {}
    for player in PLAYERS:  # "G_ema" before "G"
        if player in modules:
            weights = {
                key: tensor.float()
                for key, tensor in modules[player].weights.items()
                if not key.endswith(CONSTANT_FILTERS)
            }
            name = f"{player[0]}.{player[0]}"
            networks[name] = getattr(own.get(name), "from_reference", dict)(weights)
    return networks


def _plain(networks: dict[str, Weights]) -> dict[str, Saved]:
    return {name: Saved(weights) for name, weights in networks.items()}


def _misfit(network: nn.Module, saved: Saved) -> str | None:
    """Return how saved weights differ from those of a network, or None if they fit."""
    own, weights = network.state_dict(), saved.weights
    keys = dict.fromkeys([*own, *weights])
    differing = [key for key in keys if _shape(own.get(key)) != _shape(weights.get(key))]
    if not differing:
        return None
    is_other = saved.kind not in ("", _kind(getattr(network, "spec", None)))
    if is_other or own.keys().isdisjoint(weights):
        return f"{ANOTHER_KIND}; in this model it is a {type(network).__name__}"
    first = differing[0]
    return (
        f"differs in {len(differing)} of {len(keys)} tensors, such as {first}: "
        f"{_shape(weights.get(first))} in the file, {_shape(own.get(first))} in this model"
    )


def _explain(
    path: Path,
    misfits: dict[str, str],
    own: dict[str, nn.Module],
    saved: dict[str, Saved],
    settings: set[str],
) -> str:
    """Return one sentence about all networks that do not fit, by their settings if known.

    Args:
        path: as typed.
        misfits: from `_misfit`, by network.
        own: the networks of the model.
        saved: those of the file.
        settings: names of the model's settings.
    """
    for name in [name for name in misfits if not misfits[name].startswith(ANOTHER_KIND)]:
        theirs, ours = saved[name].arguments, _arguments(getattr(own[name], "spec", None))
        keys = [key for key in ours if key in theirs and _listed(theirs[key]) != _listed(ours[key])]
        # Of a head on the layers of another network, not of images.
        keys = [key for key in keys if key != "channels" or isinstance(ours[key], int)]
        # The others follow from these
        for causes in (DATA_ARGUMENTS, settings):
            keys = [key for key in keys if key in causes] or keys
        if keys:
            there = ", ".join(_describe(key, theirs[key]) for key in keys)
            here = ", ".join(_describe(key, ours[key]) for key in keys)
            fixes = " and ".join(_setting(key, theirs[key], settings) for key in keys)
            return (
                f"init_from={path} does not fit: its networks have {there}, and those of this "
                f"model {here}. Train with {fixes}, or without init_from."
            )
    listed = "; ".join(f"{name} {text}" for name, text in misfits.items())
    return (
        f"init_from={path} does not fit: {listed}. Use the data and model settings of the file, or "
        "train without init_from."
    )


def _describe(key: str, value: Any) -> str:
    """Say an argument of a network in words."""
    if key == "resolution":
        return f"{_pixels(value)} px"
    if key == "label_dim":
        return f"labels of {counted(value, 'entry')}" if value else "no labels"
    if key in DATA_ARGUMENTS:
        return _counted(value, key)
    return f"{key}={format_value(value)}"


def _setting(key: str, value: Any, settings: set[str]) -> str:
    """Return what gives a network such an argument; `settings` are the names of the model's."""
    if key == "resolution":
        return f"data.resolution={_pixels(value).partition('x')[0]}"
    if key == "label_dim":
        return f"labels of {counted(value, 'entry')}" if value else "data.labels=false"
    if key in DATA_ARGUMENTS:
        return f"images of {_counted(value, key)}"
    if key not in settings:
        return f"the same {key.replace('_', ' ')}"
    return f"model.{key}={format_value(value)}"


def _counted(value: Any, key: str) -> str:
    words = key.replace("in_", "input ").replace("out_", "output ").replace("_", " ")
    return counted(value, words.removesuffix("s"))


def _pixels(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
