"""`init_from`: begin with the weights of another run, and nothing else of it."""

from pathlib import Path

from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.files import is_whole
from gantrain.gans.base import GAN, networks_of
from gantrain.snapshot import FORMAT, read_plain

Weights = dict[str, Tensor]


def load_weights(gan: GAN, path: Path) -> list[str]:
    """Copy weights into the GAN's networks; returns which ("G.ab", "D.a", ...).

    Args:
        path: a snapshot (generators), a checkpoint (generators and discriminators), or a run
            directory (its newest checkpoint, else its newest snapshot).

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
    for pattern in ("checkpoints/checkpoint-*.pt", "snapshots/snapshot-*.pt"):
        whole = [file for file in sorted(path.glob(pattern)) if is_whole(file)]
        if whole:
            return whole[-1]
    raise ConfigError(
        f"init_from={path} is neither a file of weights nor a run directory that has some."
    )


def _read(file: Path) -> dict[str, Weights]:
    """Network name ("G.ab") to state dict, from a snapshot or a checkpoint."""
    content = read_plain(file)
    if content is None:
        raise ConfigError(f"init_from={file} is damaged, or no snapshot or checkpoint.")
    if not (content.get("format") == FORMAT or isinstance(content.get("gan"), dict)):
        raise ConfigError(
            f"init_from={file} is no snapshot or checkpoint of gantrain's: give a file from a "
            "run's snapshots/ or checkpoints/, or the run directory."
        )
    if content.get("format") == FORMAT:
        return {f"G.{name}": weights for name, weights in content["weights"].items()}
    networks: dict[str, Weights] = {}
    for key, value in content["gan"].items():
        player, _, rest = key.partition(".")
        name, _, parameter = rest.partition(".")
        if player in ("G", "D") and isinstance(value, Tensor):
            networks.setdefault(f"{player}.{name}", {})[parameter] = value  # ModuleDict players
            networks.setdefault(f"{player}.{player}", {})[rest] = value  # single-network players
    return networks


def _mismatches(name: str, network: nn.Module, weights: Weights) -> list[str]:
    own = network.state_dict()
    return [
        f"init_from: {name}.{key} is {_shape(weights.get(key))} in the file, "
        f"{_shape(own.get(key))} in this model; use the file's model settings."
        for key in dict.fromkeys([*own, *weights])
        if _shape(own.get(key)) != _shape(weights.get(key))
    ]


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
