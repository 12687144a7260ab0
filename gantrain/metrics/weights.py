"""Locate and fetch the weights of the metrics' networks, without importing torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gantrain.errors import ConfigError
from gantrain.io.cache import cache_home

Log = Callable[[str], None]


@dataclass(frozen=True)
class Weights:
    """A published file.

    Args:
        url: where it is published.
        sha256: the first digits of its hash as published; "": unknown.
    """

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """File name."""
        return self.url.rpartition("/")[2]


_RELEASE = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
FILES: dict[str, tuple[Weights, ...]] = {
    "inception": (Weights(f"{_RELEASE}weights-inception-2015-12-05-6726825d.pth", "6726825d"),),
    "lpips": (
        Weights("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),
        Weights(f"{_RELEASE}weights-vgg16-lpips.pth", ""),
    ),
}


# First digits of the SHA-256 of usable files: the published ones, and a conversion of Inception
# without the classifier.
KNOWN = {"inception": ("6726825d", "5cd036ac"), "lpips": ("397923af", "c15b2f82")}


def folder() -> Path:
    """Return the folder of the weights: $GANTRAIN_CACHE/weights or ~/.cache/gantrain/weights."""
    return cache_home() / "weights"


def missing_message(name: str, own_file: str | None) -> str:
    """Return a sentence about missing weights and what to do, or "" if they are present.

    Args:
        name: a key of `FILES`.
        own_file: the user's own file instead of the published ones.
    """
    if own_file is not None:
        exists = Path(own_file).expanduser().is_file()
        return "" if exists else f"weights.{name}={own_file}: there is no such file."
    missing = [w for w in FILES[name] if not (folder() / w.name).is_file()]
    if not missing:
        return ""
    return (
        f"The weights of {name} are not in {folder()}: run gantrain fetch weights={name} on a "
        f"machine with internet access (GANTRAIN_CACHE sets the folder), or give "
        f"weights.{name}=FILE."
    )


def find(name: str, own_file: str | None = None, log: Log | None = None) -> list[Path]:
    """Return the files of a network's weights.

    Args:
        name: a key of `FILES`.
        own_file: the user's own file instead of the published ones.
        log: receives progress messages and allows downloads; None: nothing is downloaded.

    Raises:
        ConfigError: a file is missing and could not be downloaded.
    """
    if own_file is not None or log is None:
        if message := missing_message(name, own_file):
            raise ConfigError(message)
        if own_file:
            return [Path(own_file).expanduser()]
        return [folder() / w.name for w in FILES[name]]
    files = []
    for weights in FILES[name]:
        by_hand = (
            f"download {weights.url} on another machine and put it into {folder()}, or give "
            f"weights.{name}=FILE."
        )
        checksum = f"sha256:{weights.sha256}" if weights.sha256 else None
        from gantrain.io.download import RemoteFile, fetch  # imports http.client, which is slow

        remote_file = RemoteFile([weights.url], checksum)
        files.append(fetch(remote_file, folder() / weights.name, log, by_hand))
    return files
