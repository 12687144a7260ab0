"""gantrain fetch: the networks that judge pictures, where there is a network to the outside."""

from omegaconf import DictConfig

from gantrain.config import inspection
from gantrain.metrics import weights


def main(cfg: DictConfig) -> None:
    """Download what is not here yet. Raises ConfigError."""
    for name in inspection.load_fetch(cfg):
        for file in weights.find(name, log=print):
            print(f"{name}: {file}")
