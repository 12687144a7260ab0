"""gantrain fetch: the networks that judge pictures, where there is a network to the outside."""

from gantrain.metrics import weights


def main(names: list[str]) -> None:
    """Download what is not here yet. Raises ConfigError."""
    for name in names:
        for file in weights.find(name, log=print):
            print(f"{name}: {file}")
