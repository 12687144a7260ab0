"""Find and check the folders and files of an unpaired set."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from gantrain.data.image_files import EXTENSIONS, Reading
from gantrain.data.location import ImageLocation, held_out_indices
from gantrain.data.roots import open_root
from gantrain.data.splits import find_bare_domains, find_domains, find_splits, split_of
from gantrain.data.views import PLAIN, Formats, split_suffix
from gantrain.errors import ConfigError, counted
from gantrain.io.remote.blocks import BlockSettings

Folders = dict[str, ImageLocation]  # of "train_a", "train_b" and, if any, "test_a", "test_b"
Roots = str | list[str] | None  # the settings data.root_a and data.root_b
Names = dict[str, list[str]]  # paths of the images below each folder

_BELOW_ROOT = {"train_a": "trainA", "train_b": "trainB", "test_a": "testA", "test_b": "testB"}
_NO_FOLDER = "give the folder, and extract it first if it is another archive"


def find_folders(
    root: str | None,
    root_a: Roots,
    root_b: Roots,
    hint: str | None,
    reading: Reading = 3,
    formats: Formats = PLAIN,
    blocks: BlockSettings | None = None,
) -> tuple[Folders, list[str]]:
    """Return the folders that the settings data.root* name, and those beside them.

    Args:
        root: holds trainA/, trainB/ and perhaps testA/, testB/; or train/A, train/B, ...; or A/ and
            B/, each with images, or with train/ and perhaps test/.
        root_a: one domain instead: images, or train/ and perhaps test/; several: folders whose
            images of the same name are stacked.
        root_b: the other domain.
        hint: an extra sentence for errors about a missing root.
        reading: 1: only these names, written like this, and not train/A or A/.
        formats: how files are read.
        blocks: see `gantrain.data.roots.open_root`.

    Raises:
        ConfigError: the folders do not exist or have another structure.
    """
    if root_a is not None or root_b is not None:
        return _explicit(root, root_a, root_b, reading, formats, blocks)
    hints = [hint] if hint else []
    if root is None:
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER or a .zip with trainA/ and trainB/ in it, "
            "or data.root_a=FOLDER and data.root_b=FOLDER.",
            *hints,
        )
    base = enter_root(root, hints, reading, formats, blocks)
    folders = domain_folders(base)
    missing = [
        sub for name, sub in _BELOW_ROOT.items() if name[:5] == "train" and name not in folders
    ]
    if missing:
        raise ConfigError(_explain_wrong_root(base, missing), *hints)
    return _in_order(folders), unused_folders(folders, base)


def enter_root(
    root: str,
    hints: list[str],
    reading: Reading = 3,
    formats: Formats = PLAIN,
    blocks: BlockSettings | None = None,
) -> ImageLocation:
    """Return the location that data.root names, or the only folder of an archive.

    Args:
        root: the folder or archive.
        hints: extra sentences for the error about a missing root.
        reading: see `find_folders`.
        formats: how files are read.
        blocks: see `gantrain.data.roots.open_root`.

    Raises:
        ConfigError: it does not exist.
    """
    base = open_root("data.root", root, hints, _NO_FOLDER, blocks)
    base = replace(base, reading=reading, formats=formats)
    subfolders, has_files = base.content()
    # Archives often hold one folder with everything in it.
    single = base.is_archive and len(subfolders) == 1 and not has_files
    return base.below(subfolders[0]) if single else base


def domain_folders(base: ImageLocation) -> Folders:
    """Return the folders of the two domains in one folder, see `find_folders`; {}: there are none.

    Args:
        base: from `enter_root`.
    """
    subfolders, _ = base.content()
    names = find_domains(subfolders, base, base.reading)
    folders = {key: base.below(name) for key, name in names.items()}
    return folders if folders or base.reading == 1 else _nested(base, subfolders)


def _nested(base: ImageLocation, subfolders: list[str]) -> Folders:
    """Return the folders of train/A, train/B and perhaps test/A, test/B; or of A/ and B/."""
    folders: Folders = {}
    splits = find_splits(subfolders, base, base.reading)
    if "train" in splits:
        for split in ("train", "test"):
            if split not in splits:
                continue
            place = base.below(splits[split])
            names = find_bare_domains(place.content()[0], place)
            folders |= {f"{split}_{domain}": place.below(name) for domain, name in names.items()}
        return folders
    domains = find_bare_domains(subfolders, base)
    for domain, name in domains.items() if len(domains) == 2 else ():
        place = base.below(name)
        folders |= _domain(domain, place, f"{place}")
    return folders


def _domain(domain: str, base: ImageLocation, name: str) -> Folders:
    """Return the folders of a domain that is a folder of images, or of train/ and test/.

    Args:
        domain: "a" or "b".
        base: its folder.
        name: of the folder, for the error about test images that would be trained on.
    """
    splits = find_splits(base.content()[0], base, base.reading)
    if splits and "train" not in splits:
        other = splits.get("test") or splits["validation"]
        raise ConfigError(
            f"{name} has {other}/ but not train/, so {split_of(other)} images would be trained on: "
            f"move the training images to train/, or {other}/ elsewhere."
        )
    folders = {f"{s}_{domain}": base.below(splits[s]) for s in ("train", "test") if s in splits}
    return folders or {f"train_{domain}": base}


def _in_order(folders: Folders) -> Folders:
    return {name: folders[name] for name in _BELOW_ROOT if name in folders}


def unused_folders(folders: Folders, base: ImageLocation) -> list[str]:
    """Return the folders below `base` that are not used and beside ones that are, and images."""
    used = [str(place) for place in folders.values()]
    if str(base) in used:
        return []
    count = base.loose_images()
    unused = [f"{counted(count, 'image')} directly in {base}"] if count else []
    for name in base.content()[0]:
        place = base.below(name)
        if any(one.startswith(f"{place}/") for one in used):
            unused += unused_folders(folders, place)
        elif str(place) not in used:
            unused.append(str(place))
    return unused


def find_files(
    folders: Folders, test_pairs: bool, max_images: int | None, held_out: int = 0
) -> tuple[Names, Names]:
    """Return the sorted images of each folder, and its other files.

    Args:
        folders: from `find_folders`.
        test_pairs: whether test images are pairs; pairs get the same index in both domains.
        max_images: keep the first training files of each domain only; None: all.
        held_out: number of training files that become test files if a domain has none.

    Raises:
        ConfigError: there are too few files, or incomplete pairs.
    """
    listed = {name: folder.names_and_others() for name, folder in folders.items()}
    files = {name: images for name, (images, _) in listed.items()}
    faults = [_count_fault(name, folders[name], names) for name, names in files.items()]
    faults = [fault for fault in faults if fault]
    if test_pairs:
        faults += _pair_faults(folders, files)
    if faults:
        raise ConfigError(*faults)
    if test_pairs:
        for name in ("test_a", "test_b"):
            files[name].sort(key=lambda file, name=name: pair_key(name, file))
    for name in ("train_a", "train_b"):
        test = name.replace("train", "test")
        if held_out and test not in files:
            test_indices = {*held_out_indices(len(files[name]), held_out)}
            files[test] = [file for i, file in enumerate(files[name]) if i in test_indices]
            files[name] = [file for i, file in enumerate(files[name]) if i not in test_indices]
        files[name] = files[name][:max_images]
    return files, {name: others for name, (_, others) in listed.items()}


def stem(name: str) -> str:
    """Return the path without the suffix."""
    return split_suffix(name)[0]


def pair_key(split: str, name: str) -> str:
    """Return what the names of a pair share: the stem without "_A" in domain a and "_B" in b.

    Args:
        split: name of the folder, which ends with the domain: "trainA".
        name: path of the image below it.
    """
    return stem(name).removesuffix(f"_{split[-1].upper()}")


def _explicit(
    root: str | None,
    root_a: Roots,
    root_b: Roots,
    reading: Reading,
    formats: Formats,
    blocks: BlockSettings | None,
) -> tuple[Folders, list[str]]:
    if root is not None:
        raise ConfigError(
            "data.root and data.root_a/root_b are both set: use data.root=null with "
            "data.root_a and data.root_b, or data.root alone."
        )
    if root_a is None or root_b is None:
        missing, present = ("a", "b") if root_a is None else ("b", "a")
        raise ConfigError(
            f"data.root_{present} is set but data.root_{missing} is not: give both, or "
            "data.root=FOLDER with trainA/ and trainB/ in it."
        )
    folders: Folders = {}
    bases = []
    for domain, value in (("a", root_a), ("b", root_b)):
        first, *others = [
            replace(
                open_root(f"data.root_{domain}", one, [], _NO_FOLDER, blocks),
                reading=reading,
                formats=formats,
            )
            for one in ([value] if isinstance(value, str) else value)
        ]
        base = replace(first, stacked=tuple(others))
        bases.append(base)
        folders |= _domain(domain, base, f"data.root_{domain}={_text(value)}")
    a, b = (_all(folders[f"train_{x}"]) for x in "ab")
    if any(x.overlaps(y) for x in a for y in b):
        raise ConfigError(
            f"data.root_a={_text(root_a)} and data.root_b={_text(root_b)} are the same folder or "
            "one is inside the other, which mixes the domains: give each domain its own folder."
        )
    return _in_order(folders), [name for base in bases for name in unused_folders(folders, base)]


def _text(root: str | list[str]) -> str:
    return root if isinstance(root, str) else f"[{','.join(root)}]"


def _all(place: ImageLocation) -> list[ImageLocation]:
    return [place, *place.stacked]


def _explain_wrong_root(root: ImageLocation, missing: list[str]) -> str:
    """Return a sentence about a root without trainA or trainB, with the most likely fix."""
    problem = f"data.root={root} has no folder {' and no folder '.join(missing)}"
    base = root.path
    if root.is_archive:
        return f"{problem}: pack the images of the two domains in trainA/ and trainB/."
    put = (
        f"{problem}: put the images of the two domains into trainA and trainB there, or give "
        "data.root=null and data.root_a=FOLDER data.root_b=FOLDER."
    )
    if not isinstance(base, Path):
        return put
    file = next((base / sub for sub in missing if (base / sub).exists()), None)
    if file is not None:
        return f"{file} is a file, but a folder of images is expected there."
    if (base.parent / "trainA").is_dir() and (base.parent / "trainB").is_dir():
        return f"{problem}; it is beside trainA and trainB: use data.root={base.parent}."
    below = sorted(sub for sub in base.iterdir() if (sub / "trainA").is_dir())
    if below:
        return f"{problem}: did you mean data.root={below[0]}?"
    return put


def _count_fault(name: str, folder: ImageLocation, files: list[str]) -> str:
    """Return a sentence about a folder with too few images, or ""."""
    if not files:
        fix = "add some" if name.startswith("train") else "add some, or remove the folder"
        suffixes = " ".join(suffix[1:] for suffix in EXTENSIONS)
        return f"{folder} holds no images ({suffixes}): {fix}."
    if len(files) == 1 and name.startswith("train"):
        return f"{folder} holds only one image, {files[0]}: a domain needs at least 2."
    return ""


def _pair_faults(folders: Folders, files: Names) -> list[str]:
    if "test_a" not in files or "test_b" not in files:
        return [
            "data.test_pairs=true needs test images in both domains (testA/ and testB/): "
            "add them, or set data.test_pairs=false."
        ]
    faults, all_keys = [], {}
    for name in ("test_a", "test_b"):
        keys = [pair_key(name, file) for file in files[name]]
        all_keys[name] = set(keys)
        duplicates = sorted(key for key, count in Counter(keys).items() if count > 1)
        if duplicates:
            faults.append(
                f"data.test_pairs=true: {', '.join(duplicates)} occurs more than once in "
                f"{folders[name]}: keep one file of each name."
            )
    for name, other in (("test_a", "test_b"), ("test_b", "test_a")):
        unpaired = sorted(all_keys[name] - all_keys[other])
        if unpaired:
            faults.append(
                f"data.test_pairs=true: no partner in {folders[other]} for "
                f"{', '.join(unpaired)}: add the files, or set data.test_pairs=false."
            )
    return faults
