"""`init_from`: begin with the weights of another run, and nothing else of it."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, networks_of
from gantrain.io.files import is_intact
from gantrain.snapshot import FORMAT, load_plain_dict

Weights = dict[str, Tensor]


def load_weights(gan: GAN, path: Path) -> list[str]:
    """Copy weights into the GAN's networks; returns which ("G.ab", "D.a", ...).

    Args:
        path: a snapshot (generators), a checkpoint (generators and discriminators), a run
            directory (its newest checkpoint, else what was imported, else its newest snapshot), or
            a file of plain tensors in the StyleGAN2 reference's names (see `_reference`).

    Raises:
        ConfigError: nothing to read there, or weights of other shapes; all of them listed.
    """
    found = _read(_pick(path))
    own = {
        f"{player}.{name}": network
        for player in ("G", "D")
        for name, network in networks_of(getattr(gan, player), player).items()
    }
    shared = [name for name in own if name in found]
    problems = [text for name in shared for text in _mismatches(name, own[name], found[name])]
    if not shared:
        problems = [f"init_from={path} holds {', '.join(found)}, not {', '.join(own)}."]
    if problems:
        raise ConfigError(*problems)
    for name in shared:
        own[name].load_state_dict(found[name])
    return shared


def _pick(path: Path) -> Path:
    if path.is_file():
        return path
    for pattern in ("checkpoints/checkpoint-*.pt", "weights.pt", "snapshots/snapshot-*.pt"):
        whole = [file for file in sorted(path.glob(pattern)) if is_intact(file)]
        if whole:
            return whole[-1]
    raise ConfigError(
        f"init_from={path} is neither a file of weights nor a run directory that has some."
    )


def _read(file: Path) -> dict[str, Weights]:
    """Network name ("G.ab") to state dict, from a snapshot or a checkpoint."""
    content = _safetensors(file) if file.suffix == ".safetensors" else load_plain_dict(file)
    if content is None:
        raise ConfigError(f"init_from={file} is damaged, or no snapshot or checkpoint.")
    if reference := _reference(content):
        return reference
    if not (content.get("format") == FORMAT or isinstance(content.get("gan"), dict)):
        raise ConfigError(
            f"init_from={file} is no snapshot or checkpoint of gantrain's: give a file from a "
            "run's snapshots/ or checkpoints/, the run directory, or a .pth or .safetensors file "
            "with tensors named G.*, D.*, G_ema.*."
        )
    if content.get("format") == FORMAT:
        return {f"G.{name}": weights for name, weights in content["weights"].items()}
    networks: dict[str, Weights] = {}
    state = content["gan"]
    for key, value in state.items():
        player, _, rest = key.partition(".")
        name, _, parameter = rest.partition(".")
        if player in ("G", "D") and isinstance(value, Tensor):
            networks.setdefault(f"{player}.{name}", {})[parameter] = value  # ModuleDict players
            if not any(other.startswith(f"{player}.{player}.") for other in state):
                networks.setdefault(f"{player}.{player}", {})[rest] = value  # a single network
    return networks


def _reference(content: dict[str, Any]) -> dict[str, Weights]:
    """Tensors "G.mapping.fc0.weight", "D.b4.out.bias", ... or {"G": state dict, ...}; else {}.

    G's own weights before its average's ("G_ema"), of which training goes on. What is constant in
    our networks (resample filters) is left out; a frozen D's layers are buffers under the same
    names.
    """
    flat: Weights = {}
    for key, value in content.items():
        tensors = value.items() if isinstance(value, dict) else [("", value)]
        for name, tensor in tensors:
            if isinstance(tensor, Tensor):
                flat[f"{key}.{name}".rstrip(".")] = tensor
    found: dict[str, Weights] = {}
    for prefix, network in (("G_ema.", "G.G"), ("G.", "G.G"), ("D.", "D.D")):
        weights = {
            key.removeprefix(prefix): tensor.float()
            for key, tensor in flat.items()
            if key.startswith(prefix) and not key.endswith("resample_filter")
        }
        if weights:
            found[network] = weights
    return found


def _safetensors(file: Path) -> dict[str, Any] | None:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ConfigError(
            f"init_from={file}: reading .safetensors needs a package more: "
            "pip install 'gantrain[safetensors]'."
        ) from None
    try:
        return dict(load_file(file))
    except Exception:  # the package has an error class of its own for each kind of damage
        return None


def _mismatches(name: str, network: nn.Module, weights: Weights) -> list[str]:
    own = network.state_dict()
    if own.keys().isdisjoint(weights):
        kind = type(network).__name__
        return [f"init_from: {name} in the file is another kind of network, this one is a {kind}."]
    return [
        f"init_from: {name}.{key} is {_shape(weights.get(key))} in the file, "
        f"{_shape(own.get(key))} in this model; use the file's model settings."
        for key in dict.fromkeys([*own, *weights])
        if _shape(own.get(key)) != _shape(weights.get(key))
    ]


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
