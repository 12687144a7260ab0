"""Import weights of the reference codes of StyleGAN2, StyleGAN3 and R3GAN."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gantrain.errors import ConfigError
from gantrain.io.reference_file import WHOLE_FILE, holds_objects, read_objects, read_reference_file
from gantrain.networks import reference
from gantrain.networks.spec import spec_of
from gantrain.snapshot import load_plain_dict

MODELS = {  # by generator: model=, and the YAML's values of what the networks are built with
    "StyleGAN2Generator": ("stylegan", {"z_dim": 512, "w_dim": 512, "mapping_layers": 2}),
    "StyleGAN3Generator": ("stylegan3", {"z_dim": 512, "w_dim": 512, "mapping_layers": 2}),
    "R3GANGenerator": ("r3gan", {"z_dim": 64}),
}

WEIGHTS_FILE = "weights.pt"  # of an imported run: all networks, for init_from
AUGMENT_P = "augment_p"  # its key beside them
NUM_LAYERS = 14  # of StyleGAN3 in a training


@dataclass(frozen=True)
class Imported:
    """The networks of a file.

    Attributes:
        networks: "G_ema", "G" and "D", as far as the file holds them.
        settings: overrides with which a training has such networks, "model=..." first.
        obstacle: why no settings give such networks; "": they do.
        augment_p: the probability of augmentations that the training had reached; None: unknown.
    """

    networks: dict[str, nn.Module]
    settings: list[str]
    obstacle: str = ""
    augment_p: float | None = None

    @property
    def generator(self) -> tuple[str, nn.Module]:
        """The averaged generator if there is one, and its name in the file."""
        name = next(name for name in ("G_ema", "G") if name in self.networks)
        return name, self.networks[name]


def read(source: list[str]) -> Imported | None:
    """Return the networks of a file of StyleGAN2, StyleGAN3 or R3GAN.

    Args:
        source: as typed. Nothing in the file is run.

    Returns:
        None: it is no such file, and perhaps one of the CycleGAN code.

    Raises:
        ConfigError: the file is a pickle of something else, or has no generator, or its networks
            cannot be built here.
    """
    files = [Path(text) for text in source]
    if len(files) != 1 or not files[0].is_file():
        return None
    file = files[0]
    modules = read_reference_file(file)
    if WHOLE_FILE in modules:
        if not reference.is_generator(modules[WHOLE_FILE].weights):
            return None
        modules = {"G_ema": modules[WHOLE_FILE]}
    if not modules:
        return None
    if modules.keys() <= {"D"}:
        raise ConfigError(f"source={file} holds no generator (G_ema or G).")
    networks, problems = {}, []
    for name, module in modules.items():
        try:
            networks[name] = reference.rebuild(module.weights, module.arguments)
        except ConfigError as error:
            problems += [f"{name} of {file}: {text}" for text in error.problems]
    if problems:
        raise ConfigError(*problems)
    p = reached_p(file)
    try:
        return Imported(networks, list(_settings(networks)), augment_p=p)
    except ConfigError as error:
        return Imported(networks, [], str(error), p)


def reached_p(source: Path) -> float | None:
    """Return the probability of augmentations that a training had reached; None: unknown.

    Args:
        source: a file of the reference code, or the run that it was imported as.
    """
    if source.is_dir():
        source = source / WEIGHTS_FILE
    if not source.is_file():
        return None
    if not holds_objects(source):
        p = (load_plain_dict(source) or {}).get(AUGMENT_P) if source.name == WEIGHTS_FILE else None
        return p if isinstance(p, float) and 0 <= p <= 1 else None
    pipe = read_objects(source).get("augment_pipe")
    p = pipe.weights.get("p") if pipe else None
    return None if p is None or p.numel() != 1 else float(p)


def _settings(networks: dict[str, nn.Module]) -> Iterator[str]:
    generator = next(networks[name] for name in ("G_ema", "G") if name in networks)
    arguments = spec_of(generator)["args"]
    model, usual = MODELS[type(generator).__name__]
    yield f"model={model}"
    height, width = arguments["resolution"]
    yield f"data.resolution={height if height == width else f'[{height},{width}]'}"
    if arguments["label_dim"]:
        yield "data.labels=true"
    for key, value in usual.items():
        if arguments[key] != value:
            yield f"model.{key}={arguments[key]}"
    yield from _widths(model, arguments)
    if model == "stylegan" and arguments["architecture"] != "skip":
        yield f"model.g_architecture={arguments['architecture']}"
    discriminator = networks.get("D")
    architecture = spec_of(discriminator)["args"].get("architecture") if discriminator else None
    if model == "stylegan" and architecture not in (None, "resnet"):
        yield f"model.d_architecture={architecture}"


def _widths(model: str, arguments: dict[str, Any]) -> Iterator[str]:
    if model == "r3gan":
        widths = {4 * 2**i: width for i, width in enumerate(arguments["widths"])}
        if len(set(arguments["blocks"])) > 1:
            raise ConfigError(
                f"Its stages have {', '.join(map(str, arguments['blocks']))} residual blocks; in a "
                "training all stages have as many."
            )
        rule = reference.channel_rule(widths)
        yield f"model.blocks={max(arguments['blocks'])}"
        yield f"model.group_width={arguments['group_width']}"
    else:
        # The configuration R of StyleGAN3 has twice of both in its generator.
        factor = 2 if arguments.get("config") == "r" else 1
        if arguments.get("num_layers", NUM_LAYERS) != NUM_LAYERS:
            raise ConfigError(
                f"It has {arguments['num_layers']} layers; a training gives it {NUM_LAYERS}."
            )
        rule = {key: arguments[key] // factor for key in ("channel_base", "channel_max")}
        if factor == 2:
            yield "model.config=r"
    for key, value in rule.items():
        yield f"model.{key}={value}"
