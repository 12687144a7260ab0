"""gantrain export: a CycleGAN's generators in other projects' formats."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from gantrain import settings
from gantrain.errors import ConfigError
from gantrain.files import atomic_write
from gantrain.inference import sampling

NAMES = {"ab": "latest_net_G_A", "ba": "latest_net_G_B"}


def main(cfg: DictConfig) -> None:
    """Write one file per generator.

    Raises:
        ConfigError: a snapshot of another GAN, or files that are there already.
    """
    config = settings.load_export(cfg)
    model = sampling.load(config.run)
    if not set(model.networks) <= set(NAMES):
        raise ConfigError(
            f"{model.file} is of {model.algorithm}: only generators between domains are exported."
        )
    output = Path(config.output)
    files = {name: output / f"{NAMES[name]}.{config.format}" for name in model.networks}
    if there := [str(file) for file in files.values() if file.exists()]:
        raise ConfigError(
            f"{there[0]} is there already and is not overwritten: give another output=."
        )
    for name, file in files.items():
        weights = {
            key: value.contiguous() for key, value in model.networks[name].state_dict().items()
        }
        with atomic_write(file) as target:
            if config.format == "safetensors":
                from safetensors.torch import save

                target.write(save(weights))
            else:
                torch.save(weights, target)
        print(f"{name}: {file}")
