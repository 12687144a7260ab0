"""Import weights of the CycleGAN, pix2pix and CUT reference code.

Its files (`latest_net_G_A.pth` and so on) are bare state dicts without the architecture, which is
inferred from keys and shapes. Parameter names are the same as here.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.io.files import is_intact
from gantrain.io.tensors import is_module_pickle
from gantrain.networks.layers import Downsample, Norm, Upsample
from gantrain.networks.patch_head import PatchHead
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import spec_of
from gantrain.networks.unet import UnetGenerator

Weights = dict[str, Tensor]

# The reference's D_A judges translations into b (the paper's D_Y); here D is named after the domain
# that it judges.
NAMES = {"G_A": "G.ab", "G_B": "G.ba", "D_A": "D.b", "D_B": "D.a"}
ONE_WAY = {"G": "G.ab", "D": "D.b", "F": "F.F"}  # of models with one direction
_WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")  # DataParallel, torch.compile
_STALE = ("running_mean", "running_var", "num_batches_tracked")
_UNET_LEVEL = "model.3."  # prefix from a level of the U-Net to the one below


def find_files(source: list[str]) -> dict[str, Path]:
    """Map the networks of this package ("G.ab") to files of the reference.

    Args:
        source: files and folders; of a folder the "latest" files are used, or those of the highest
            epoch.

    Raises:
        ConfigError: a path does not exist, a file name does not say which network it holds, two
            files hold the same network, or there is no generator.
    """
    files: list[Path] = []
    for text in source:
        path = Path(text)
        if path.is_dir():
            files += _newest_files(path)
        elif path.is_file():
            files.append(path)
        else:
            raise ConfigError(f"source={text}: there is no such file or folder.")
    networks: dict[str, Path] = {}
    for file in files:
        if is_module_pickle(file):
            raise ConfigError(
                f"{file} is a pickle, but no file of the CycleGAN code, nor a .pkl of StyleGAN."
            )
        match = re.fullmatch(r".*net_(G_A|G_B|D_A|D_B|G|D|F)\.pth", file.name)
        if match is None:
            raise ConfigError(
                f"{file.name} does not say which network it holds: name it like "
                "latest_net_G_A.pth (G_A and G_B for generators, D_A and D_B for discriminators; "
                "those of CUT G, D and F, of pix2pix G and D)."
            )
        name = {**NAMES, **ONE_WAY}[match[1]]
        if name in networks:
            raise ConfigError(f"{file} and {networks[name]} are both {match[1]}: give only one.")
        networks[name] = file
    if not any(name.startswith("G.") for name in networks):
        paths = ", ".join(source)
        raise ConfigError(f"source={paths} holds no generator (such as latest_net_G_A.pth).")
    return networks


def _newest_files(folder: Path) -> list[Path]:
    """Return the files of one epoch: "latest", or the highest number."""
    epochs: dict[str, list[Path]] = {}
    for file in folder.glob("*_net_*.pth"):
        epochs.setdefault(file.name.partition("_net_")[0], []).append(file)

    def age(epoch: str) -> tuple[bool, int]:
        number = re.search(r"\d+", epoch)
        return epoch == "latest", int(number[0]) if number else -1

    return sorted(epochs[max(epochs, key=age)]) if epochs else []


def read_state_dict(file: Path) -> Weights:
    """Read a bare state dict and strip the prefixes of DataParallel and torch.compile.

    Raises:
        ConfigError: the file holds anything else.
    """
    if zipfile.is_zipfile(file) and not is_intact(file):
        raise ConfigError(f"{file} is damaged: copy it again.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign pickle raises almost anything; it runs nothing
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise ConfigError(
            f"{file} cannot be read as weights ({reason}). Only tensors are read, never code: if "
            "the file holds a whole module, save its state_dict() instead."
        ) from None
    if not isinstance(content, dict) or not content or not _all_tensors(content):
        raise ConfigError(f"{file} holds no state dict of one network (names and tensors).")
    return {_WRAPPED.sub("", key): value for key, value in content.items()}


def _all_tensors(content: dict) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def rebuild_network(weights: Weights, name: str) -> nn.Module:
    """Infer the architecture from the weights and return the network with them, in eval mode.

    Args:
        weights: a state dict of the reference.
        name: the network's name here, such as "G.ab" or "D.b".

    Raises:
        ConfigError: the weights fit no architecture of the reference.
    """
    try:
        rebuild = {"G": _generator, "D": _discriminator, "F": _head}[name.partition(".")[0]]
        network = rebuild(weights)
        network.load_state_dict(dict(_matching(weights, network)))
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"The weights of {name} fit no network of the reference (resnet, U-Net; PatchGAN, "
            f"pixel; CUT's head): {reason}"
        ) from None
    return network.eval()


def is_pix2pix(networks: dict[str, nn.Module]) -> bool:
    """Return whether networks are those of pix2pix: D sees pairs, or G alone has batch norm.

    Args:
        networks: from `rebuild_network`, by name.
    """
    G, D = networks.get("G.ab"), networks.get("D.b")
    if G is None or networks.keys() - {"G.ab", "D.b"}:
        return False
    args = spec_of(G)["args"]
    if D is not None:
        return spec_of(D)["args"]["in_channels"] == args["in_channels"] + args["out_channels"]
    return args["norm"] == "batch"


def as_pix2pix(generator: nn.Module) -> nn.Module:
    """Return a generator that is used as pix2pix is.

    Dropout leaves no trace in a U-Net's weights, and is assumed to be there as published.

    Args:
        generator: from `rebuild_network`.
    """
    args = dict(spec_of(generator)["args"])
    args["dropout"] |= isinstance(generator, UnetGenerator)
    network = type(generator)(**args | {"test_mode": "as_trained"})
    network.load_state_dict(generator.state_dict())
    return network.eval()


def _generator(weights: Weights) -> nn.Module:
    if "model.model.0.weight" in weights:
        return _unet(weights)
    # Dropout shifts a block's second convolution from conv_block.5 to conv_block.6, where a batch
    # norm's 1-D scale would be otherwise.
    first = weights["model.1.weight"]
    blocks = {key.split(".")[1] for key in weights if ".conv_block." in key}
    dropout = any(".conv_block.6.weight" in k and weights[k].ndim == 4 for k in weights)
    last = max((int(key.split(".")[1]), key) for key in weights if re.match(r"model\.\d+\.w", key))
    width, channels = first.shape[:2]
    norm = _norm(weights, "model.2.weight")
    out = weights[last[1]].shape[0]
    after = max(map(int, blocks)) + 1  # the first layer behind the blocks
    upsample: Upsample = "transpose" if f"model.{after}.weight" in weights else "resize"
    upsample = "antialias" if f"model.{after}.filt" in weights else upsample
    downsample = _downsample(weights, "model.7.filt")
    return ResnetGenerator(channels, out, width, len(blocks), norm, dropout, upsample, downsample)


def _downsample(weights: Weights, kernel: str) -> Downsample:
    """Tell blurs by the key of the first one's kernel."""
    return "antialias" if kernel in weights else "strided"


def _unet(weights: Weights) -> nn.Module:
    """Rebuild a U-Net without dropout: it leaves no trace in the keys and is off in eval mode."""
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
    convolutions = [
        key for key, weight in weights.items() if weight.ndim == 4 and "filt" not in key
    ]
    downsample = _downsample(weights, "model.2.filt")
    # The first blur shifts all layers behind it.
    norm = _norm(weights, "model.3.weight" if downsample == "strided" else "model.4.weight")
    return PatchDiscriminator(channels, width, len(convolutions) - 2, norm, downsample)


def _head(weights: Weights) -> nn.Module:
    first = {key: x for key, x in weights.items() if re.fullmatch(r"mlp_\d+\.0\.weight", key)}
    ordered = [first[f"mlp_{i}.0.weight"] for i in range(len(first))]
    return PatchHead([x.shape[1] for x in ordered], ordered[0].shape[0])


def _norm(weights: Weights, scale: str) -> Norm:
    """Infer the norm; `scale` is the key that a batch norm's scales would have."""
    if scale in weights and weights[scale].ndim == 1:
        return "batch"
    # Instance norm has no parameters, but the convolution before it has a bias; with norm=none the
    # reference drops the bias as well.
    conv_bias = re.sub(r"(\d+)\.weight$", lambda match: f"{int(match[1]) - 1}.bias", scale)
    return "instance" if conv_bias in weights else "none"


def _matching(weights: Weights, network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights for `network`: without the instance norm statistics of old versions.

    Biases that the reference drops for norm=none are zero.
    """
    expected = network.state_dict()
    for key, value in weights.items():
        if key in expected or key.rpartition(".")[2] not in _STALE:
            yield key, value.float() if value.is_floating_point() else value
    for key in expected.keys() - weights.keys():
        if key.endswith(".bias"):
            yield key, torch.zeros_like(expected[key])
