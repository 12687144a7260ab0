"""Which folders hold training and test images, and which domain, by their names."""

import re
from collections.abc import Sequence

from gantrain.data.image_files import Reading
from gantrain.errors import ConfigError

_WORDS = {  # without case, spaces and signs, as the common tools name them
    "train": ("train", "training", "trn", "trainset", "trainingset", "traindata", "trainimages"),
    "test": ("test", "testing", "tst", "testset", "testingset", "testdata", "testimages"),
    "validation": ("val", "valid", "validation", "valset", "validationset", "validationdata"),
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words}
_DOMAIN = re.compile(r"^([a-z]*?)(?:domain|class|set|images)?([ab])$")


def split_of(name: str) -> str | None:
    """Return "train", "test" or "validation" if a folder's name says so, as "Training" does."""
    return _ROLES.get(_plain(name))


def domain_of(name: str) -> tuple[str | None, str] | None:
    """Return (split, domain) of a folder such as "train_A" or "A" (None, "a"); None: another name.

    Args:
        name: of the folder.
    """
    match = _DOMAIN.match(_plain(name))
    if match is None:
        return None
    split = _ROLES.get(match.group(1))
    return (split, match.group(2)) if split or not match.group(1) else None


def find_splits(folders: Sequence[str], place: object, reading: Reading) -> dict[str, str]:
    """Return the folders of "train", "test" and "validation", of those that there are.

    Args:
        folders: names of the folders in `place`.
        place: for sentences.
        reading: 1: only "train" and "test", written like this.

    Raises:
        ConfigError: two folders are training or test images, and none is called exactly "train" or
            "test". Of several with validation images, which are not used, the first is returned.
    """
    if reading == 1:
        return {name: name for name in ("train", "test") if name in folders}
    found: dict[str, list[str]] = {}
    for name in folders:
        if role := split_of(name):
            found.setdefault(role, []).append(name)
    return {
        role: min(names) if role == "validation" else _choose(role, names, place)
        for role, names in found.items()
    }


def find_domains(folders: Sequence[str], place: object, reading: Reading) -> dict[str, str]:
    """Return the folders of "train_a", "train_b", "test_a" and "test_b", of those that there are.

    Args:
        folders: names of the folders in `place`.
        place: for sentences.
        reading: 1: only "trainA" etc., written like this.

    Raises:
        ConfigError: two folders have the same role, and none is called exactly "trainA" etc.
    """
    exact = {f"{split}_{x}": f"{split}{x.upper()}" for split in ("train", "test") for x in "ab"}
    found: dict[str, list[str]] = {}
    for name in folders:
        split, domain = domain_of(name) or (None, "")
        if split in ("train", "test"):
            found.setdefault(f"{split}_{domain}", []).append(name)
    return {
        key: _choose(name, found[key], place)
        for key, name in exact.items()
        if key in found and (reading > 1 or name in folders)
    }


def find_bare_domains(folders: Sequence[str], place: object) -> dict[str, str]:
    """Return the folders of "a" and "b", such as "A" and "domain_b".

    Args:
        folders: names of the folders in `place`.
        place: for sentences.

    Raises:
        ConfigError: two folders have the same role.
    """
    found: dict[str, list[str]] = {}
    for name in folders:
        split, domain = domain_of(name) or ("", "")
        if split is None:
            found.setdefault(domain, []).append(name)
    chosen = {domain: _choose(domain.upper(), names, place) for domain, names in found.items()}
    return dict(sorted(chosen.items()))


def _choose(exact: str, names: list[str], place: object) -> str:
    if exact in names or len(names) == 1:
        return exact if exact in names else names[0]
    raise ConfigError(
        f"{place} holds {' and '.join(sorted(names))}, which mean the same: rename the one to be "
        f"used to {exact}, or remove the other."
    )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
