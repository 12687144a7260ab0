"""gantrain fetch: the networks that judge pictures, where there is a network to the outside."""

from gantrain.config.tools import FetchConfig
from gantrain.metrics import weights


def main(config: FetchConfig) -> None:
    """Download what is not here yet. Raises ConfigError."""
    for name in config.weights:
        for file in weights.find(name, log=print):
            print(f"{name}: {file}")
