"""gantrain fetch: download the networks behind the metrics, on a machine with internet access."""

from gantrain.config.tools import FetchConfig
from gantrain.metrics import weights


def main(config: FetchConfig) -> None:
    """Download the weights that are not in the cache.

    Raises:
        ConfigError: a download failed.
    """
    for name in config.weights:
        for file in weights.find(name, log=print):
            print(f"{name}: {file}")
