"""Find the files of pairs: side by side in one picture, or of equal names in two folders."""

from collections import Counter
from dataclasses import dataclass, field

from gantrain.data.halves import Half
from gantrain.data.layout import (
    Folders,
    Names,
    Roots,
    domain_folders,
    enter_root,
    find_folders,
    pair_key,
    unused_folders,
)
from gantrain.data.location import ImageLocation, held_out_indices, no_images_message
from gantrain.data.splits import find_splits
from gantrain.data.views import PLAIN, Formats
from gantrain.errors import ConfigError, counted
from gantrain.io.remote.blocks import BlockSettings

_HALVES: dict[str, Half] = {"a": "left", "b": "right"}
_ADVICE = (
    "Pairs are pictures of two images side by side, in train/ and test/ or directly in data.root; "
    "or images of equal names in trainA/ and trainB/."
)


@dataclass
class PairFiles:
    """The files of the pairs.

    Attributes:
        folders: of "train_a", "train_b" and, if any, "test_a" and "test_b".
        names: the paths below them; pairs have the same index.
        unread: other files below them.
        unused: folders beside them.
        halves: the half of a picture that each domain is; {}: a picture is an image.
        orphans: images without a partner.
    """

    folders: Folders
    names: Names = field(default_factory=dict)
    unread: Names = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    halves: dict[str, Half] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)

    def swapped(self) -> "PairFiles":
        """Return the same pairs from b to a."""

        def swap(values: dict) -> dict:
            other = {"a": "b", "b": "a"}
            return {key: values[key[:-1] + other[key[-1]]] for key in values}

        return PairFiles(
            swap(self.folders),
            swap(self.names),
            swap(self.unread),
            self.unused,
            swap(self.halves),
            self.orphans,
        )


def find_pairs(
    root: str | None,
    root_a: Roots,
    root_b: Roots,
    hint: str | None,
    formats: Formats = PLAIN,
    blocks: BlockSettings | None = None,
) -> PairFiles:
    """Return the pairs that the settings data.root* name.

    Args:
        root: two folders as in `gantrain.data.layout.find_folders`; or pictures with a pair side by
            side, in train/ and perhaps test/ (else val/), or directly.
        root_a: the images of domain a, or train/ and perhaps test/ of these.
        root_b: those of domain b.
        hint: an extra sentence for errors about a missing root.
        formats: how files are read.
        blocks: see `gantrain.data.roots.open_root`.

    Raises:
        ConfigError: the folders do not exist or have another structure, or there are two images of
            a name.
    """
    if root is None or root_a is not None or root_b is not None:
        return _of_two_folders(
            *find_folders(root, root_a, root_b, hint, formats=formats, blocks=blocks)
        )
    base = enter_root(root, [hint] if hint else [], formats=formats, blocks=blocks)
    if domain_folders(base):
        return _of_two_folders(
            *find_folders(root, None, None, hint, formats=formats, blocks=blocks)
        )
    return _of_pictures(base, _HALVES, _ADVICE)


def find_pictures(
    root: str | None,
    hint: str | None,
    formats: Formats = PLAIN,
    blocks: BlockSettings | None = None,
) -> PairFiles:
    """Return pictures that are both images of a pair, for domains that are computed from them.

    Args:
        root: pictures in train/ and perhaps test/ (else val/), or directly.
        hint: an extra sentence for errors about a missing root.
        formats: how files are read.
        blocks: see `gantrain.data.roots.open_root`.

    Raises:
        ConfigError: the folder does not exist or has another structure.
    """
    hints = [hint] if hint else []
    if root is None:
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER or a .zip of images.", *hints
        )
    base = enter_root(root, hints, formats=formats, blocks=blocks)
    if folders := domain_folders(base):
        raise ConfigError(
            f"{base} holds images of two domains, and one set of pictures is wanted: choose one of "
            f"them, such as data.root={folders['train_b']}."
        )
    return _of_pictures(base, {}, "Pictures are in train/ and test/, or directly in data.root.")


def hold_out(names: Names, max_images: int | None, held_out: int) -> Names:
    """Return the names with test pairs taken from the training pairs, and at most so many of these.

    Args:
        names: of `PairFiles`.
        max_images: keep the first training pairs only; None: all.
        held_out: training pairs that become test pairs if there are none.

    Raises:
        ConfigError: too few training pairs are left.
    """
    names = dict(names)
    if held_out and "test_a" not in names:
        chosen = {*held_out_indices(len(names["train_a"]), held_out)}
        for domain in "ab":
            files = names[f"train_{domain}"]
            names[f"test_{domain}"] = [x for i, x in enumerate(files) if i in chosen]
            names[f"train_{domain}"] = [x for i, x in enumerate(files) if i not in chosen]
    return {s: x[:max_images] if s.startswith("train") else x for s, x in names.items()}


def _of_pictures(base: ImageLocation, halves: dict[str, Half], advice: str) -> PairFiles:
    """Return the pictures in a place, each of which holds both images of a pair.

    Args:
        base: holds train/ and perhaps test/, or the pictures.
        halves: see `PairFiles`.
        advice: a sentence for the error if there are none.
    """
    splits = find_splits(base.content()[0], base, base.reading)
    if splits and "train" not in splits:
        raise ConfigError(
            f"{base} has {', '.join(sorted(splits.values()))} but not train/: put the images to "
            "train on into train/ there."
        )
    places = {"train": base.below(splits["train"]) if splits else base}
    if test := splits.get("test") or splits.get("validation"):
        places["test"] = base.below(test)
    found = PairFiles({}, halves=dict(halves))
    for split, place in places.items():
        images, others = place.names_and_others()
        if not images:
            raise ConfigError(no_images_message(place), advice)
        for domain in "ab":
            found.folders[f"{split}_{domain}"] = place
            found.names[f"{split}_{domain}"] = images
        found.unread[f"{split}_a"] = others
    found.unread |= {key.replace("_a", "_b"): [] for key in found.unread}
    found.unused = unused_folders(found.folders, base)
    return found


def _of_two_folders(folders: Folders, unused: list[str]) -> PairFiles:
    """Return the images of equal names; the stem counts, without "_A" in a and "_B" in b."""
    found, faults = PairFiles(folders, unused=unused), []
    files: dict[str, dict[str, str]] = {}
    for name, place in folders.items():
        images, found.unread[name] = place.names_and_others()
        keys = [pair_key(name, file) for file in images]
        files[name] = dict(zip(keys, images, strict=True))
        if twice := sorted(key for key, count in Counter(keys).items() if count > 1):
            faults.append(
                f"{', '.join(twice)} occurs more than once in {place}: keep one file of each name."
            )
    if faults:
        raise ConfigError(*faults)
    for split in ("train", "test"):
        a, b = (files.get(f"{split}_{domain}", {}) for domain in "ab")
        for domain, own, other in (("a", a, b), ("b", b, a)):
            name = f"{split}_{domain}"
            alone = [own[key] for key in own if key not in other]
            found.orphans += [f"{folders[name]}/{file}" for file in alone]
            if both := sorted(own.keys() & other.keys()):
                found.names[name] = [own[key] for key in both]
    if not found.names.get("train_a"):
        a, b = folders["train_a"], folders["train_b"]
        raise ConfigError(
            f"No image in {a} has the name of one in {b}: pairs are files of the same name, apart "
            "from the ending and _A or _B before it."
        )
    found.folders = {name: folders[name] for name in found.names}
    return found


def orphan_faults(orphans: list[str]) -> list[str]:
    """Return a sentence about images without a partner and their names, or []."""
    if not orphans:
        return []
    return [
        f"{counted(len(orphans), 'image')} without a partner of the same name; add the partners, "
        "or leave them out with data.on_bad_file=skip:",
        *(f"  {name}" for name in orphans),
    ]
