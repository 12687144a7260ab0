"""Weights of the CycleGAN and pix2pix reference code: which network do they belong to?

Its files hold bare state dicts, `latest_net_G_A.pth` and so on; the architecture is in no file, but
keys and shapes tell it. Our parameter names are the same.
"""

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.networks.layers import Norm
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator

Weights = dict[str, Tensor]

# Their D_A judges translations into b (the paper's D_Y), ours is named after what it judges.
NAMES = {"G_A": "G.ab", "G_B": "G.ba", "D_A": "D.b", "D_B": "D.a", "G": "G.ab"}
_WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")  # DataParallel, torch.compile
_STALE = ("running_mean", "running_var", "num_batches_tracked")
_UNET_LEVEL = "model.3."  # from a level of the U-Net to the one below


def find_files(source: list[str]) -> dict[str, Path]:
    """Network of ours ("G.ab") to its file, of the files and folders given.

    In a folder the "latest" files are taken, else those of the highest epoch. Raises ConfigError.
    """
    files: list[Path] = []
    for text in source:
        path = Path(text)
        if path.is_dir():
            files += _newest(path)
        elif path.is_file():
            files.append(path)
        else:
            raise ConfigError(f"source={text}: there is no such file or folder.")
    found: dict[str, Path] = {}
    for file in files:
        match = re.fullmatch(r".*net_(G_A|G_B|D_A|D_B|G)\.pth", file.name)
        if match is None:
            raise ConfigError(
                f"{file.name} does not tell which network it is: name it like latest_net_G_A.pth "
                "(G_A and G_B the generators, D_A and D_B the discriminators)."
            )
        name = NAMES[match[1]]
        if name in found:
            raise ConfigError(f"{file} and {found[name]} are both {match[1]}: give one of them.")
        found[name] = file
    if not any(name.startswith("G.") for name in found):
        places = ", ".join(source)
        raise ConfigError(f"source={places} holds no generator (such as latest_net_G_A.pth).")
    return found


def _newest(folder: Path) -> list[Path]:
    """The files of one moment: "latest", else the highest number."""
    moments: dict[str, list[Path]] = {}
    for file in folder.glob("*_net_*.pth"):
        moments.setdefault(file.name.partition("_net_")[0], []).append(file)

    def late(moment: str) -> tuple[bool, int]:
        number = re.search(r"\d+", moment)
        return moment == "latest", int(number[0]) if number else -1

    return sorted(moments[max(moments, key=late)]) if moments else []


def read_state_dict(file: Path) -> Weights:
    """A bare state dict without wrappers' prefixes. Raises ConfigError for anything else."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        why = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise ConfigError(
            f"{file} cannot be read as weights ({why}). Only tensors are read, never code: if it "
            "holds a whole module, save its state_dict() instead."
        ) from None
    if not isinstance(content, dict) or not content or not _all_tensors(content):
        raise ConfigError(f"{file} holds no state dict of one network (names and tensors).")
    return {_WRAPPED.sub("", key): value for key, value in content.items()}


def _all_tensors(content: dict) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def rebuild_network(weights: Weights, name: str) -> nn.Module:
    """The generator or discriminator that the weights belong to, with them, in eval mode.

    Statistics that old versions kept of instance norm are left out. Raises ConfigError.
    """
    try:
        made = _generator(weights) if name.startswith("G.") else _discriminator(weights)
        made.load_state_dict(dict(_fitting(weights, made)))
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"The weights of {name} fit no network of the reference's (resnet, U-Net; PatchGAN, "
            f"pixel): {why}"
        ) from None
    return made.eval()


def _generator(weights: Weights) -> nn.Module:
    if "model.model.0.weight" in weights:
        return _unet(weights)
    first = weights["model.1.weight"]
    blocks = {key.split(".")[1] for key in weights if ".conv_block." in key}
    dropout = any(".conv_block.6.weight" in k and weights[k].ndim == 4 for k in weights)
    last = max((int(key.split(".")[1]), key) for key in weights if re.match(r"model\.\d+\.w", key))
    width, channels = first.shape[:2]
    norm = _norm(weights, "model.2.weight")
    out = weights[last[1]].shape[0]
    return ResnetGenerator(channels, out, width, len(blocks), norm, dropout)


def _unet(weights: Weights) -> nn.Module:
    """Dropout leaves no trace in the names; it does nothing in use."""
    first, last = weights["model.model.0.weight"], weights["model.model.3.weight"]
    level, downs = "model.model.1.", 2
    while f"{level}{_UNET_LEVEL}model.1.weight" in weights:
        level, downs = level + _UNET_LEVEL, downs + 1
    norm = _norm(weights, "model.model.1.model.2.weight")
    return UnetGenerator(first.shape[1], last.shape[1], first.shape[0], downs, norm)


def _discriminator(weights: Weights) -> nn.Module:
    if "net.0.weight" in weights:
        width, channels = weights["net.0.weight"].shape[:2]
        return PixelDiscriminator(channels, width, _norm(weights, "net.3.weight"))
    width, channels = weights["model.0.weight"].shape[:2]
    layers = sum(weight.ndim == 4 for weight in weights.values()) - 2
    return PatchDiscriminator(channels, width, layers, _norm(weights, "model.3.weight"))


def _norm(weights: Weights, scale: str) -> Norm:
    """Batch norm has scales. Without biases before the place of a norm there is none at all."""
    if scale in weights and weights[scale].ndim == 1:
        return "batch"
    conv = re.sub(r"(\d+)\.weight$", lambda match: f"{int(match[1]) - 1}.bias", scale)
    return "instance" if conv in weights else "none"


def _fitting(weights: Weights, made: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights without stale statistics; zero biases where norm=none had none."""
    own = made.state_dict()
    for key, value in weights.items():
        if key in own or key.rpartition(".")[2] not in _STALE:
            yield key, value.float() if value.is_floating_point() else value
    for key in own.keys() - weights.keys():
        if key.endswith(".bias"):
            yield key, torch.zeros_like(own[key])
