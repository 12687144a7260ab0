"""gantrain import: turn weights of a reference code into a run directory."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from gantrain.config.tools import ImportConfig
from gantrain.errors import shown
from gantrain.interop import cyclegan, latent_generators
from gantrain.interop.latent_generators import AUGMENT_P, WEIGHTS_FILE
from gantrain.io.files import atomic_write
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import spec_of
from gantrain.networks.unet import UnetGenerator
from gantrain.runs import lifecycle
from gantrain.runs.directory import RunDirectory
from gantrain.snapshot import save_snapshot

TARGETS = {
    "cyclegan": "gantrain.gans.cyclegan.CycleGAN",
    "cut": "gantrain.gans.cut.CUT",
    "pix2pix": "gantrain.gans.pix2pix.Pix2Pix",
}
# How the generators of the models change the size by default
PLAIN, SMOOTH = ("transpose", "strided"), ("antialias", "antialias")
RESAMPLING = {"cyclegan": PLAIN, "pix2pix": PLAIN, "cut": SMOOTH}


def main(config: ImportConfig) -> None:
    """Read the files, print the architectures, and write a run directory with a snapshot.

    Raises:
        ConfigError: a file holds no such weights, or the run directory exists. Nothing is written.
    """
    if latent := latent_generators.read(config.source):
        _import_generator(config, latent)
    else:
        _import_translators(config)


def _import_generator(config: ImportConfig, imported: latent_generators.Imported) -> None:
    """Import StyleGAN2, StyleGAN3 or R3GAN."""
    for name, network in imported.networks.items():
        _introduce(name, network, config.source[0])
    name, generator = imported.generator
    # A training continues from G, and not from its average.
    trained = imported.networks.get("G", generator)
    weights = {
        "G.G": trained,
        **({"D.D": imported.networks["D"]} if "D" in imported.networks else {}),
    }
    source = {name: config.source[0]}
    p = imported.augment_p
    directory = _write(config, {"G": generator}, weights, source, ema=name == "G_ema", p=p)
    run = shown(f"run={directory.path}")
    print(f"  gantrain generate {run} seeds=0-31")
    if imported.obstacle:
        print(f"It cannot be trained further here. {imported.obstacle}")
        return
    start = shown(f"init_from={directory.path}")
    print(f"  gantrain data=folder data.root=DIR {' '.join(imported.settings)} {start}")


def _import_translators(config: ImportConfig) -> None:
    """Import networks of the CycleGAN, pix2pix or CUT code."""
    files = cyclegan.find_files(config.source)
    networks = {
        name: cyclegan.rebuild_network(cyclegan.read_state_dict(file), name)
        for name, file in files.items()
    }
    pairs = cyclegan.is_pix2pix(networks)
    if pairs:
        networks["G.ab"] = cyclegan.as_pix2pix(networks["G.ab"])
    for name, network in networks.items():
        _introduce(name, network, files[name])
    if pairs and isinstance(networks["G.ab"], UnetGenerator):
        print(
            "Dropout leaves no trace in a U-Net's weights: it is assumed, as published. "
            "test_mode=no_dropout translates without it."
        )
    generators = {n.partition(".")[2]: net for n, net in networks.items() if n.startswith("G.")}
    source = {name: str(file) for name, file in files.items()}
    directory = _write(config, generators, networks, source, TARGETS[_model(networks)])
    print(f"  gantrain translate {shown(f'run={directory.path}')} input=DIR output=DIR")
    settings, start = " ".join(_model_settings(networks)), shown(f"init_from={directory.path}")
    data = "data=paired" if pairs else "data=folder"
    print(f"  gantrain {data} data.root=DIR {settings} {start}")


def _introduce(name: str, network: nn.Module, file: str | Path) -> None:
    spec = spec_of(network)
    arguments = " ".join(f"{key}={value}" for key, value in spec["args"].items())
    print(f"{name} from {file}: {type(network).__name__} {arguments}")


def _write(
    config: ImportConfig,
    generators: dict[str, nn.Module],
    networks: dict[str, nn.Module],
    source: dict[str, str],
    model: str = "",
    *,
    ema: bool = False,
    p: float | None = None,
) -> RunDirectory:
    """Write the run directory.

    Args:
        config: names it.
        generators: for the snapshot.
        networks: for init_from, by names such as "G.ab".
        source: the file of each network.
        model: class of the GAN, if known.
        ema: whether the generators are averages.
        p: the probability of augmentations that the training had reached; None: unknown.
    """
    directory = RunDirectory.create(Path(config.out), config.name, "import")
    meta: dict[str, Any] = {
        "nimg": 0,
        "ema": ema,
        "model": {"_target_": model} if model else {},
        "data": {},
        "versions": lifecycle.versions(),
        "source": source,
    }
    specs = {name: spec_of(network) for name, network in generators.items()}
    save_snapshot(directory.snapshots / "snapshot-000000.000.pt", generators, specs, meta)
    with atomic_write(directory.path / WEIGHTS_FILE) as file:
        weights = {
            f"{n}.{key}": x for n, net in networks.items() for key, x in net.state_dict().items()
        }
        torch.save({"gan": weights, AUGMENT_P: p}, file)
    print(f"Run directory: {directory.path}\nNext:")
    return directory


def _model(networks: dict[str, Any]) -> str:
    """Return the name of the model: CUT has a head, and an anti-aliased generator as published."""
    if cyclegan.is_pix2pix(networks):
        return "pix2pix"
    arguments = spec_of(next(net for name, net in networks.items() if name[0] == "G"))["args"]
    smooth = arguments.get("downsample") == "antialias"
    return "cut" if "F.F" in networks or ("G.ba" not in networks and smooth) else "cyclegan"


def _model_settings(networks: dict[str, Any]) -> list[str]:
    """Return the overrides with which a model has networks like the imported ones."""
    generator = next(net for name, net in networks.items() if name.startswith("G."))
    spec = spec_of(generator)["args"]
    model = _model(networks)
    pairs = model == "pix2pix"  # which has other defaults
    if isinstance(generator, ResnetGenerator):
        overrides = ["model.generator=resnet"] * pairs + [f"model.blocks={spec['blocks']}"]
        for key, usual in zip(("upsample", "downsample"), RESAMPLING[model], strict=True):
            overrides += [f"model.{key}={spec[key]}"] if spec[key] != usual else []
    else:
        overrides = [f"model.generator=unet_{2 ** spec['downs']}"]
    overrides += [f"model.ngf={spec['ngf']}"] if spec["ngf"] != 64 else []
    norm = "batch" if pairs else "instance"
    overrides += [f"model.norm={spec['norm']}"] if spec["norm"] != norm else []
    overrides += [f"model.dropout={str(spec['dropout']).lower()}"] * (spec["dropout"] != pairs)
    overrides = [f"model={model}", *overrides] if model != "cyclegan" else overrides
    if head := networks.get("F.F"):
        width = spec_of(head)["args"]["width"]
        overrides += [f"model.head_width={width}"] if width != 256 else []
    discriminator = next((net for name, net in networks.items() if name.startswith("D.")), None)
    if discriminator is not None:
        spec = spec_of(discriminator)["args"]
        overrides += [f"model.ndf={spec['ndf']}"] if spec["ndf"] != 64 else []
        overrides += [f"model.d_layers={spec['layers']}"] if spec.get("layers", 3) != 3 else []
        overrides += ["model.discriminator=pixel"] if "layers" not in spec else []
    return overrides
