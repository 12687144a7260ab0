"""Files of weights under the names of the reference codes of StyleGAN2, StyleGAN3 and R3GAN."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.io import rosinality, safetensors_file
from gantrain.io.module_pickle import PickledModule, read_modules
from gantrain.io.tensors import is_module_pickle

PLAYERS = ("G_ema", "G", "D")
WHOLE_FILE = ""  # a file that is the state dict of one network


def read_reference_file(file: Path) -> dict[str, PickledModule]:
    """Return the networks in a file: "G_ema", "G" and "D", or `WHOLE_FILE`.

    Args:
        file: one with objects, see `holds_objects`; or plain tensors, .pth or .safetensors, named
            "G.mapping.fc0.weight", ... or nested, {"G": state dict, ...}.

    Returns:
        {}: the file holds anything else, such as a snapshot of gantrain.

    Raises:
        ConfigError: the file is a pickle that is not of networks.
    """
    if holds_objects(file):
        return read_players(file)
    content = _plain_content(file)
    return split_by_player(content) if content else {}


def holds_objects(file: Path) -> bool:
    """Return whether a file holds more than plain values, but is read as data all the same.

    Such are pickles of the reference codes, and checkpoints of rosinality's stylegan2-pytorch.
    """
    return is_module_pickle(file) or rosinality.is_checkpoint(file)


def read_objects(file: Path) -> dict[str, PickledModule]:
    """Return the modules of such a file; of them "augment_pipe" holds the probability "p".

    Raises:
        ConfigError: the file is damaged, or holds anything else.
    """
    return rosinality.read(file) if rosinality.is_checkpoint(file) else read_modules(file)


def read_players(file: Path) -> dict[str, PickledModule]:
    """Return "G_ema", "G" and "D" of a file with objects, as far as they are there.

    Raises:
        ConfigError: see `read_objects`; or there is none of these.
    """
    modules = read_objects(file)
    players = {name: modules[name] for name in PLAYERS if name in modules}
    if not players:
        held = ", ".join(modules) or "no network"
        raise ConfigError(f"{file} is a pickle of {held}; it should hold G_ema, G or D.")
    return players


def split_by_player(content: dict[str, Any]) -> dict[str, PickledModule]:
    """Return the networks in the content of a file of plain tensors, see `read_file`."""
    flat: dict[str, Tensor] = {}
    for key, value in content.items():
        tensors = value.items() if isinstance(value, dict) else [("", value)]
        for name, tensor in tensors:
            if isinstance(tensor, Tensor):
                # Both forms end up with the same names; a tensor at the top has no second part.
                flat[f"{key}.{name}".rstrip(".")] = tensor
    networks = {}
    for name in PLAYERS:
        start = f"{name}."
        weights = {k.removeprefix(start): x for k, x in flat.items() if k.startswith(start)}
        if weights:
            networks[name] = PickledModule("", weights)
    if not networks and flat and len(flat) == len(content):
        networks[WHOLE_FILE] = PickledModule("", flat)
    return networks


def _plain_content(file: Path) -> dict[str, Any] | None:
    if file.suffix == ".safetensors":
        opened = safetensors_file.read(file)
        return dict(opened.tensors) if opened and not opened.network else None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a pickle of anything else raises almost anything; it runs nothing
        return None
    return content if isinstance(content, dict) else None
