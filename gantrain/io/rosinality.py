"""Checkpoints of rosinality's stylegan2-pytorch, under the names of StyleGAN2's reference code.

Such a .pt file holds an argparse.Namespace beside the tensors. Only that is let in, as data.
"""

import re
import zipfile
from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.io.module_pickle import PickledModule

Weights = dict[str, Tensor]

PLAYERS = {"g_ema": "G_ema", "g": "G", "d": "D"}
_HEAD_BYTES = 2**23  # enough to see every name in a file that is no zip archive

# Names there and here. What is left out are filters, which are constants.
_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}
_BLOCK = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.1.weight": "skip.weight",
}
_HEAD = {
    "final_conv.0.weight": "b4.conv.weight",
    "final_conv.1.bias": "b4.conv.bias",
    "final_linear.0.weight": "b4.fc.weight",
    "final_linear.0.bias": "b4.fc.bias",
    "final_linear.1.weight": "b4.out.weight",
    "final_linear.1.bias": "b4.out.bias",
}


def is_checkpoint(file: Path) -> bool:
    """Return whether a file of torch.save names argparse, as these checkpoints do."""
    if not file.is_file() or file.suffix in (".pkl", ".safetensors"):
        return False
    try:
        if not zipfile.is_zipfile(file):
            with file.open("rb") as opened:
                return b"argparse\nNamespace" in opened.read(_HEAD_BYTES)
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return bool(names) and b"argparse\nNamespace" in archive.read(names[0])
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        return False


def read(file: Path) -> dict[str, PickledModule]:
    """Return "G_ema", "G" and "D" under the names of the reference, and "augment_pipe".

    Raises:
        ConfigError: the file is damaged, or holds anything else.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
        modules = {}
        for theirs, ours in PLAYERS.items():
            if theirs in content:
                rename = rename_discriminator if ours == "D" else rename_generator
                modules[ours] = PickledModule("", rename(content[theirs]))
        if modules and isinstance(p := content.get("ada_aug_p"), int | float):
            modules["augment_pipe"] = PickledModule("", {"p": torch.tensor(float(p))})
    except Exception as fault:  # a damaged file raises almost anything; it runs nothing
        reason = (str(fault).splitlines() or [type(fault).__name__])[0][:100]
        raise ConfigError(
            f"{file} is damaged, or no checkpoint of rosinality's stylegan2-pytorch ({reason})."
        ) from None
    return modules


def rename_generator(weights: Weights) -> Weights:
    """Return the tensors of a generator under the names and shapes of the reference.

    The mean w is not among them: that code measures it when it is needed.
    """
    renamed = {"synthesis.b4.const": weights["input.input"][0]}
    for key, tensor in weights.items():
        if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", key):  # style.0 has no weights
            renamed[f"mapping.fc{int(match[1]) - 1}.{match[2]}"] = tensor
        elif match := re.fullmatch(r"noises\.noise_(\d+)", key):
            renamed[f"synthesis.{_layer(int(match[1]))}.noise_const"] = tensor[0, 0]
        elif match := re.fullmatch(r"(conv1|convs\.(\d+)|to_rgb1|to_rgbs\.(\d+))\.(.+)", key):
            if match[4] not in _LAYER:
                continue
            if match[1].startswith("conv"):
                place = _layer(int(match[2]) + 1 if match[2] else 0)
            else:
                place = f"b{8 * 2 ** int(match[3]) if match[3] else 4}.torgb"
            name = _LAYER[match[4]]
            if name == "weight":
                tensor = tensor[0]  # [1, O, I, k, k]
            renamed[f"synthesis.{place}.{name}"] = tensor.reshape(_shape(name, tensor))
    return renamed


def rename_discriminator(weights: Weights) -> Weights:
    """Return the tensors of a discriminator under the names of the reference."""
    last = max(int(m[1]) for key in weights if (m := re.match(r"convs\.(\d+)\.", key)))
    renamed = {_HEAD[key]: tensor for key, tensor in weights.items() if key in _HEAD}
    for name, index in (("weight", 0), ("bias", 1)):
        renamed[f"b{4 * 2**last}.fromrgb.{name}"] = weights[f"convs.0.{index}.{name}"]
    for key, tensor in weights.items():
        if (match := re.fullmatch(r"convs\.(\d+)\.(.+)", key)) and match[2] in _BLOCK:
            renamed[f"b{4 * 2 ** (last - int(match[1]) + 1)}.{_BLOCK[match[2]]}"] = tensor
    return renamed


def _layer(index: int) -> str:
    """Return the place of a convolution: 0 is that of 4 px; then two for each doubling."""
    return f"b{4 * 2 ** ((index + 1) // 2)}.conv{(index + 1) % 2}"


def _shape(name: str, tensor: Tensor) -> tuple[int, ...]:
    if name == "noise_strength":
        return ()
    return tuple(tensor.shape) if name != "bias" else (tensor.numel(),)
