"""`init_from`: start a run from the weights of another, and nothing else of it."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, networks_of
from gantrain.io.files import is_intact
from gantrain.snapshot import FORMAT, load_plain_dict

Weights = dict[str, Tensor]


def load_weights(gan: GAN, path: Path) -> list[str]:
    """Copy weights from a file into the GAN's networks.

    Args:
        gan: the new model. Networks that the file does not hold keep their weights.
        path: a snapshot (generators), a checkpoint (generators and discriminators), a run
            directory (its newest checkpoint, else its imported weights, else its newest snapshot),
            or a file of plain tensors under the names of the StyleGAN2 reference
            (`_reference_networks`).

    Returns:
        The names of the networks that were loaded ("G.ab", "D.a", ...).

    Raises:
        ConfigError: there is nothing to read, or shapes differ; lists all that do.
    """
    saved = _read(_find_file(path))
    own = {
        f"{player}.{name}": network
        for player in ("G", "D")
        for name, network in networks_of(getattr(gan, player), player).items()
    }
    # A snapshot has no discriminators: a part of the networks is enough, but not none.
    shared = [name for name in own if name in saved]
    problems = [text for name in shared for text in _mismatches(name, own[name], saved[name])]
    if not shared:
        problems = [
            f"init_from={path} holds the networks {', '.join(saved)}, but this model has "
            f"{', '.join(own)}."
        ]
    if problems:
        # Before the first copy, so that a refused file changes nothing.
        raise ConfigError(*problems)
    for name in shared:
        own[name].load_state_dict(saved[name])
    return shared


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


def _read(file: Path) -> dict[str, Weights]:
    """Return {network name ("G.ab"): state dict} from a snapshot, a checkpoint or plain tensors."""
    content = _safetensors(file) if file.suffix == ".safetensors" else load_plain_dict(file)
    if content is None:
        raise ConfigError(f"init_from={file} is damaged, or is not a snapshot or checkpoint.")
    if networks := _reference_networks(content):
        return networks
    if not (content.get("format") == FORMAT or isinstance(content.get("gan"), dict)):
        raise ConfigError(
            f"init_from={file} is not a snapshot or checkpoint of gantrain: give a file from "
            "snapshots/ or checkpoints/ of a run, the run directory, or a .pth or .safetensors "
            "file with tensors named G.*, D.*, G_ema.*."
        )
    if content.get("format") == FORMAT:
        return {f"G.{name}": weights for name, weights in content["weights"].items()}
    return _checkpoint_networks(content["gan"])


def _checkpoint_networks(state: dict[str, Any]) -> dict[str, Weights]:
    """Split the state dict of a GAN by network."""
    networks: dict[str, Weights] = {}
    for key, value in state.items():
        player, _, rest = key.partition(".")
        name, _, parameter = rest.partition(".")
        if player in ("G", "D") and isinstance(value, Tensor):
            # The first part of a key is a network of a ModuleDict, or a child of a single network;
            # both readings are offered, and `load_weights` takes the one that the model has.
            networks.setdefault(f"{player}.{name}", {})[parameter] = value  # ModuleDict players
            if not any(other.startswith(f"{player}.{player}.") for other in state):
                networks.setdefault(f"{player}.{player}", {})[rest] = value  # a single network
    return networks


def _reference_networks(content: dict[str, Any]) -> dict[str, Weights]:
    """Return networks from plain tensors under the names of the StyleGAN2 reference, else {}.

    The tensors are "G.mapping.fc0.weight", "D.b4.out.bias", ... or nested, {"G": state dict, ...}.
    "G" overrides its average "G_ema", because training continues from the former. Resample filters
    are dropped: they are constants here. The layers of a frozen D are buffers of the same names.
    """
    flat: Weights = {}
    for key, value in content.items():
        tensors = value.items() if isinstance(value, dict) else [("", value)]
        for name, tensor in tensors:
            if isinstance(tensor, Tensor):
                # Both forms end up with the same names; a tensor at the top has no second part.
                flat[f"{key}.{name}".rstrip(".")] = tensor
    networks: dict[str, Weights] = {}
    for prefix, network in (("G_ema.", "G.G"), ("G.", "G.G"), ("D.", "D.D")):
        weights = {
            key.removeprefix(prefix): tensor.float()
            for key, tensor in flat.items()
            if key.startswith(prefix) and not key.endswith("resample_filter")
        }
        if weights:
            networks[network] = weights
    return networks


def _safetensors(file: Path) -> dict[str, Any] | None:
    """Return the tensors of a .safetensors file, or None if it is damaged."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ConfigError(
            f"init_from={file}: reading .safetensors needs a package that is not installed: "
            "pip install 'gantrain[safetensors]'."
        ) from None
    try:
        return dict(load_file(file))
    except Exception:  # the package has a different error class for each kind of damage
        return None


def _mismatches(name: str, network: nn.Module, weights: Weights) -> list[str]:
    own = network.state_dict()
    if own.keys().isdisjoint(weights):
        kind = type(network).__name__
        return [
            f"init_from: {name} in the file is another kind of network; in this model it is a "
            f"{kind}."
        ]
    return [
        f"init_from: {name}.{key} is {_shape(weights.get(key))} in the file but "
        f"{_shape(own.get(key))} in this model: use the model settings of the file."
        for key in dict.fromkeys([*own, *weights])
        if _shape(own.get(key)) != _shape(weights.get(key))
    ]


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
