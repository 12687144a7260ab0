"""gantrain export: write a run's networks in the formats of other projects."""

import hashlib
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from gantrain import __version__
from gantrain.commands import space_folder
from gantrain.commands.publishing import (
    NO_LICENSE,
    Publication,
    new_folder,
    publish,
    write_model,
)
from gantrain.config.tools import ExportConfig
from gantrain.engine.init_from import saved_networks
from gantrain.errors import ConfigError
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.pictures import LAB, is_lab
from gantrain.inference.translation import input_channels
from gantrain.io import safetensors_file
from gantrain.io.files import atomic_write
from gantrain.networks.eval_mode import has_active_dropout

# Network -> file name in the reference code of CycleGAN, and in that of models with one direction
TWO_WAYS = {"G.ab": "G_A", "G.ba": "G_B", "D.b": "D_A", "D.a": "D_B"}
ONE_WAY = {"G.ab": "G", "G.ba": "G", "D.b": "D", "D.a": "D", "F.F": "F"}

WHOLE = {"onnx": "onnx", "torch_export": "pt2"}  # formats that hold the network -> suffix


def main(config: ExportConfig) -> None:
    """Write one file per generator, or per network.

    Raises:
        ConfigError: the networks have no such format, a file exists, or the results of an
            exported network differ from those of the snapshot's.
    """
    if config.format in ("hub", "space"):
        return _publish(config)
    model = load_model(config.run, say=print, test_mode=config.test_mode)
    networks = {name: net for name, net in model.networks.items() if name != "E"}
    if config.format == "pth" and not model.directions:
        raise ConfigError(
            f"{model.file} is a snapshot of {model.algorithm}, but format=pth is the format of "
            "the reference code of CycleGAN and pix2pix: use format=onnx, torch_export or "
            "safetensors."
        )
    if config.truncation_psi != 1 and not ("G" in networks and model.has_w):
        raise ConfigError(
            f"truncation_psi needs StyleGAN's latent w, but {model.file} is a snapshot of "
            f"{model.algorithm}: remove it."
        )
    names = _reference_names(model)
    others = _others(config)
    files = {
        name: Path(config.output) / _file_name(name, names, config) for name in [*networks, *others]
    }
    if existing := [str(file) for file in files.values() if file.exists()]:
        raise ConfigError(
            f"{existing[0]} already exists and is not overwritten: give another output=."
        )
    # Convert all networks before writing any, so that a failure leaves no files.
    contents = {name: _content(model, name, networks[name], config) for name in networks}
    if config.format == "safetensors":
        contents |= {n: (safetensors_file.to_bytes(n, x, {}), "") for n, x in others.items()}
    if is_lab(model.meta.get("data", {})):
        print(f"The network maps {LAB}; the conversion to and from RGB is not part of it.")
    for name, file in files.items():
        content, remark = contents.get(name, (None, ""))
        with atomic_write(file) as target:
            if content is None:
                torch.save(others.get(name) or _weights(networks[name]), target)
            else:
                target.write(content)
        print(f"{name}: {file}{remark}")


def _publish(config: ExportConfig) -> None:
    """Write the folder of a model, or of a page for it."""
    folder = Path(config.output)
    what = Publication(config.run, config.license, config.pictures, config.data_root)
    with new_folder(folder) as unfinished:
        if config.format == "hub":
            publish(what, unfinished)
        else:
            _write_space(config, unfinished)
    for file in sorted(folder.iterdir()):
        print(file)


def _write_space(config: ExportConfig, folder: Path) -> None:
    with TemporaryDirectory(prefix="gantrain-space-") as home:
        model = write_model(load_model(config.run, say=print), Path(home))
        space_folder.write(folder, model, config.load_from, config.license)
    if config.license is None:
        print(NO_LICENSE)
    print(space_folder.VERSION)


def _reference_names(model: Model) -> dict[str, str]:
    """Return the names of files in the reference code, of networks such as "G.ab"."""
    is_cyclegan = len(model.directions) == 2 or model.algorithm == "CycleGAN"
    return TWO_WAYS if is_cyclegan else ONE_WAY


def _others(config: ExportConfig) -> dict[str, dict[str, torch.Tensor]]:
    """Return the weights of the networks that only training uses, if they are wanted.

    Raises:
        ConfigError: the run has none.
    """
    if config.networks == "generators":
        return {}
    saved = saved_networks(Path(config.run))
    others = {name: weights for name, weights in saved.items() if not name.startswith("G.")}
    if not others:
        raise ConfigError(
            f"run={config.run} holds generators alone: networks=all needs a run directory with a "
            "checkpoint, or use networks=generators."
        )
    return {
        name: {key: x.contiguous() for key, x in weights.items()}
        for name, weights in others.items()
    }


def _file_name(name: str, names: dict[str, str], config: ExportConfig) -> str:
    if config.format in WHOLE:  # not formats of the reference, so not named like its files
        return f"{name}.{WHOLE[config.format]}"
    theirs = names.get(name) or names.get(f"G.{name}")
    return f"{f'latest_net_{theirs}' if theirs else name}.{config.format}"


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.contiguous() for key, value in network.state_dict().items()}


def _content(
    model: Model, name: str, network: nn.Module, config: ExportConfig
) -> tuple[bytes | None, str]:
    """Return the content of the file (None: torch.save the weights) and a remark for the user."""
    if config.format == "pth":
        return None, ""
    if config.format == "safetensors":
        return safetensors_file.to_bytes(name, _weights(network), getattr(network, "spec", {})), ""
    if has_active_dropout(network):
        raise ConfigError(
            "An exported network has no dropout by seed, and this model is used with dropout: add "
            "test_mode=no_dropout (each image's own statistics) or test_mode=eval."
        )
    channels = input_channels(network)
    if channels is None and not hasattr(network, "z_dim"):
        raise ConfigError(
            f"{type(network).__name__} cannot be exported as {config.format}: it has no attribute "
            "in_channels, the number of channels of its input."
        )
    inputs: Any = {"channels": channels or 3, "psi": config.truncation_psi}
    about = _metadata(model, name, config)
    if config.format == "torch_export":
        from gantrain.interop.torch_export import torch_export_bytes

        content, difference = torch_export_bytes(network, about, **inputs)
        return content, f" (the file and the network differ by {difference:.1g} at most)"
    from gantrain.interop.onnx_file import onnx_bytes

    content, difference = onnx_bytes(network, about, **inputs)
    if math.isnan(difference):
        return content, " (not compared with torch: onnxruntime is not installed)"
    return content, f" (onnxruntime and torch differ by {difference:.1g} at most)"


def _metadata(model: Model, name: str, config: ExportConfig) -> dict[str, str]:
    """Return the metadata that a file with a whole network carries."""
    metadata = {
        "gantrain": __version__,
        "algorithm": model.algorithm,
        "snapshot_sha256": hashlib.sha256(model.file.read_bytes()).hexdigest(),
        "nimg": str(model.meta.get("nimg", "unknown")),
        "ema": str(model.meta.get("ema", "unknown")),
        "value_range": "[-1, 1]",
    }
    if not hasattr(model.networks[name], "z_dim"):
        mode = {} if model.test_mode == "eval" else {"test_mode": model.test_mode}
        space = {"color_space": LAB} if is_lab(model.meta.get("data", {})) else {}
        return metadata | {"direction": name} | mode | space
    if model.labels:
        metadata["labels"] = json.dumps(model.labels)
    if model.has_w:
        metadata["truncation_psi"] = str(config.truncation_psi)
    return metadata
