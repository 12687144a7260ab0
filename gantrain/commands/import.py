"""gantrain import: turn weights of the CycleGAN and pix2pix reference code into a run."""

from pathlib import Path
from typing import Any

import torch

from gantrain.config.tools import ImportConfig
from gantrain.errors import shown
from gantrain.interop import cyclegan
from gantrain.io.files import atomic_write
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import spec_of
from gantrain.networks.unet import UnetGenerator
from gantrain.runs import lifecycle
from gantrain.runs.directory import RunDirectory
from gantrain.snapshot import save_snapshot

_CYCLEGAN, _PIX2PIX = "gantrain.gans.cyclegan.CycleGAN", "gantrain.gans.pix2pix.Pix2Pix"
WEIGHTS_FILE = "weights.pt"  # all networks, for init_from


def main(config: ImportConfig) -> None:
    """Read the files, print the architectures, and write a run directory with a snapshot.

    Raises:
        ConfigError: a file holds no such weights, or the run directory exists. Nothing is written.
    """
    files = cyclegan.find_files(config.source)
    networks = {
        name: cyclegan.rebuild_network(cyclegan.read_state_dict(file), name)
        for name, file in files.items()
    }
    pairs = cyclegan.is_pix2pix(networks)
    if pairs:
        networks["G.ab"] = cyclegan.as_pix2pix(networks["G.ab"])
    for name, network in networks.items():
        spec = spec_of(network)
        arguments = " ".join(f"{key}={value}" for key, value in spec["args"].items())
        print(f"{name} from {files[name]}: {type(network).__name__} {arguments}")
    if pairs and isinstance(networks["G.ab"], UnetGenerator):
        print(
            "Dropout leaves no trace in a U-Net's weights: it is assumed, as published. "
            "test_mode=no_dropout translates without it."
        )
    directory = RunDirectory.create(Path(config.out), config.name, "import")
    generators = {n.partition(".")[2]: net for n, net in networks.items() if n.startswith("G.")}
    meta: dict[str, Any] = {
        "nimg": 0,
        "ema": False,
        "model": {"_target_": _PIX2PIX if pairs else _CYCLEGAN},
        "data": {},
        "versions": lifecycle.versions(),
        "source": {name: str(file) for name, file in files.items()},
    }
    specs = {name: spec_of(network) for name, network in generators.items()}
    save_snapshot(directory.snapshots / "snapshot-000000.000.pt", generators, specs, meta)
    with atomic_write(directory.path / WEIGHTS_FILE) as file:
        weights = {
            f"{n}.{key}": x for n, net in networks.items() for key, x in net.state_dict().items()
        }
        torch.save({"gan": weights}, file)
    print(f"Run directory: {directory.path}\nNext:")
    print(f"  gantrain translate {shown(f'run={directory.path}')} input=DIR output=DIR")
    data = "model=pix2pix data=paired" if pairs else "data=folder"
    settings = " ".join(_model_settings(networks, pairs))
    print(f"  gantrain {data} data.root=DIR {settings} {shown(f'init_from={directory.path}')}")


def _model_settings(networks: dict[str, Any], pairs: bool) -> list[str]:
    """Return the overrides with which a model has networks like the imported ones.

    Args:
        networks: by name.
        pairs: whether the model is pix2pix, which has other defaults.
    """
    generator = next(net for name, net in networks.items() if name.startswith("G."))
    spec = spec_of(generator)["args"]
    if isinstance(generator, ResnetGenerator):
        overrides = ["model.generator=resnet"] * pairs + [f"model.blocks={spec['blocks']}"]
    else:
        overrides = [f"model.generator=unet_{2 ** spec['downs']}"]
    overrides += [f"model.ngf={spec['ngf']}"] if spec["ngf"] != 64 else []
    norm = "batch" if pairs else "instance"
    overrides += [f"model.norm={spec['norm']}"] if spec["norm"] != norm else []
    overrides += [f"model.dropout={str(spec['dropout']).lower()}"] * (spec["dropout"] != pairs)
    discriminator = next((net for name, net in networks.items() if name.startswith("D.")), None)
    if discriminator is not None:
        spec = spec_of(discriminator)["args"]
        overrides += [f"model.ndf={spec['ndf']}"] if spec["ndf"] != 64 else []
        overrides += [f"model.d_layers={spec['layers']}"] if spec.get("layers", 3) != 3 else []
        overrides += ["model.discriminator=pixel"] if "layers" not in spec else []
    return overrides
