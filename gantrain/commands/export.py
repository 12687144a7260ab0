"""gantrain export: a snapshot's generators in other projects' formats."""

import hashlib
import json
import math
from pathlib import Path

import torch
from torch import nn

from gantrain import __version__
from gantrain.config.tools import ExportConfig
from gantrain.errors import ConfigError
from gantrain.inference import model as sampling
from gantrain.inference.model import Model
from gantrain.inference.translation import input_channels
from gantrain.io.files import atomic_write

REFERENCE = {"ab": "latest_net_G_A", "ba": "latest_net_G_B"}


def main(config: ExportConfig) -> None:
    """Write one file per generator.

    Raises:
        ConfigError: a format that the snapshot's networks do not have, files that are there
            already, or an ONNX file that does not do what the network does.
    """
    model = sampling.load(config.run, say=print)
    networks = {name: net for name, net in model.networks.items() if name != "E"}
    if config.format == "pth" and not set(networks) <= set(REFERENCE):
        raise ConfigError(
            f"{model.file} is of {model.algorithm}, and format=pth is that of CycleGAN's reference "
            "code: take format=onnx or format=safetensors."
        )
    if config.truncation_psi != 1 and not ("G" in networks and model.has_w):
        raise ConfigError(
            f"truncation_psi needs StyleGAN's w, and {model.file} is of {model.algorithm}: leave "
            "it out."
        )
    files = {name: Path(config.output) / _file_name(name, config) for name in networks}
    if there := [str(file) for file in files.values() if file.exists()]:
        raise ConfigError(
            f"{there[0]} is there already and is not overwritten: give another output=."
        )
    # All of them first: if one cannot be written, none is there.
    made = {name: _content(model, name, networks[name], config) for name in networks}
    for name, file in files.items():
        content, said = made[name]
        with atomic_write(file) as target:
            if content is None:
                torch.save(_weights(networks[name]), target)
            else:
                target.write(content)
        print(f"{name}: {file}{said}")


def _file_name(name: str, config: ExportConfig) -> str:
    kept = config.format == "onnx"  # what is no weights of the reference's has our name
    return f"{name if kept else REFERENCE.get(name, name)}.{config.format}"


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.contiguous() for key, value in network.state_dict().items()}


def _content(
    model: Model, name: str, network: nn.Module, config: ExportConfig
) -> tuple[bytes | None, str]:
    """What the file holds (None: what torch.save makes of the weights), and what is said of it."""
    if config.format == "pth":
        return None, ""
    if config.format == "safetensors":
        from safetensors.torch import save

        return save(_weights(network)), ""
    from gantrain.interop.onnx_file import onnx_bytes

    channels = input_channels(network)
    if channels is None and not hasattr(network, "z_dim"):
        raise ConfigError(
            f"{type(network).__name__} does not tell how many channels it takes (in_channels): it "
            "cannot be written as ONNX."
        )
    content, difference = onnx_bytes(
        network, _about(model, name, config), channels=channels or 3, psi=config.truncation_psi
    )
    if math.isnan(difference):
        return content, " (not compared with torch: onnxruntime is not installed)"
    return content, f" (onnxruntime and torch differ by {difference:.1g} at most)"


def _about(model: Model, name: str, config: ExportConfig) -> dict[str, str]:
    """What an ONNX file tells of itself: plain texts."""
    about = {
        "gantrain": __version__,
        "algorithm": model.algorithm,
        "snapshot_sha256": hashlib.sha256(model.file.read_bytes()).hexdigest(),
        "nimg": str(model.meta.get("nimg", "unknown")),
        "ema": str(model.meta.get("ema", "unknown")),
        "value_range": "[-1, 1]",
    }
    if not hasattr(model.networks[name], "z_dim"):
        return about | {"direction": name}
    if model.labels:
        about["labels"] = json.dumps(model.labels)
    return about | ({"truncation_psi": str(config.truncation_psi)} if model.has_w else {})
