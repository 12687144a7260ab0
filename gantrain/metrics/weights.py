"""Where the weights of the networks that judge pictures are; torch is not needed to look."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, fetch

Log = Callable[[str], None]


@dataclass(frozen=True)
class Weights:
    """A published file; `sha256`: the first digits of its hash, as the publishers give them."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


_RELEASE = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
FILES: dict[str, tuple[Weights, ...]] = {
    "inception": (Weights(f"{_RELEASE}weights-inception-2015-12-05-6726825d.pth", "6726825d"),),
    "lpips": (
        Weights("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),
        Weights(f"{_RELEASE}weights-vgg16-lpips.pth", ""),
    ),
}


# First digits of the files' SHA-256: the published ones, and a conversion without the classifier.
KNOWN = {"inception": ("6726825d", "5cd036ac"), "lpips": ("397923af", "c15b2f82")}


def folder() -> Path:
    """Where weights are kept: $GANTRAIN_CACHE/weights, else ~/.cache/gantrain/weights."""
    cache = os.environ.get("GANTRAIN_CACHE") or "~/.cache/gantrain"
    return Path(cache).expanduser() / "weights"


def missing_message(name: str, given: str | None) -> str:
    """What to do about weights that are not here, a sentence; "": they are here.

    given: a file of one's own instead of the published ones.
    """
    if given is not None:
        there = Path(given).expanduser().is_file()
        return "" if there else f"weights.{name}={given}: there is no such file."
    absent = [w for w in FILES[name] if not (folder() / w.name).is_file()]
    if not absent:
        return ""
    return (
        f"The weights of {name} are not in {folder()}: run gantrain fetch weights={name} where "
        f"there is a network (GANTRAIN_CACHE names the folder), or give weights.{name}=FILE."
    )


def find(name: str, given: str | None = None, log: Log | None = None) -> list[Path]:
    """The files of `name`; with `log`, published ones that are not here are fetched.

    Raises ConfigError: not here, and not to be had.
    """
    if given is not None or log is None:
        if told := missing_message(name, given):
            raise ConfigError(told)
        return [Path(given).expanduser()] if given else [folder() / w.name for w in FILES[name]]
    found = []
    for weights in FILES[name]:
        by_hand = (
            f"fetch {weights.url} on another machine and put it into {folder()}, or give "
            f"weights.{name}=FILE."
        )
        checksum = f"sha256:{weights.sha256}" if weights.sha256 else None
        published = RemoteFile([weights.url], checksum)
        found.append(fetch(published, folder() / weights.name, log, by_hand))
    return found
