"""Where an unpaired set's folders are, which files they hold, and what is wrong with them."""

from collections import Counter
from pathlib import Path, PurePosixPath

from gantrain.data.image_files import EXTENSIONS
from gantrain.data.location import ImageLocation, held_out_indices
from gantrain.errors import ConfigError

Folders = dict[str, ImageLocation]  # "train_a", "train_b" and, where there, "test_a", "test_b"
Names = dict[str, list[str]]  # the pictures of each, as paths below it

_BELOW_ROOT = {"train_a": "trainA", "train_b": "trainB", "test_a": "testA", "test_b": "testB"}


def find_folders(
    root: str | None, root_a: str | None, root_b: str | None, hint: str | None
) -> Folders:
    """The folders that the data.root* keys name. Raises ConfigError; `hint` follows where the
    pictures are missing altogether.
    """
    if root_a is not None or root_b is not None:
        return _explicit(root, root_a, root_b)
    if root is None:
        raise _missing(
            "data.root is not set: give data.root=FOLDER or a .zip with trainA/ and trainB/ in it, "
            "or data.root_a=FOLDER and data.root_b=FOLDER.",
            hint,
        )
    base = _place("data.root", root, hint)
    folders, has_files = base.content()
    if base.prefix is not None and len(folders) == 1 and not has_files:  # one folder wraps all
        base = base.below(folders[0])
        folders, _ = base.content()
    found = {name: base.below(sub) for name, sub in _BELOW_ROOT.items() if sub in folders}
    missing = [
        sub for name, sub in _BELOW_ROOT.items() if name[:5] == "train" and name not in found
    ]
    if missing:
        raise _missing(_wrong_root(base, missing), hint)
    return found


def find_files(
    folders: Folders, test_pairs: bool, max_images: int | None, held_out: int = 0
) -> Names:
    """The sorted files of each folder, test files of pairs in partner order; `held_out` training
    files are test files where there are none. Raises ConfigError."""
    files = {name: folder.names() for name, folder in folders.items()}
    faults = [_short(name, folders[name], found) for name, found in files.items()]
    faults = [fault for fault in faults if fault]
    if test_pairs:
        faults += _pair_faults(folders, files)
    if faults:
        raise ConfigError(*faults)
    if test_pairs:
        for name in ("test_a", "test_b"):
            files[name].sort(key=lambda file, name=name: partner(name, file))
    for name in ("train_a", "train_b"):
        test = name.replace("train", "test")
        if held_out and test not in files:
            chosen = {*held_out_indices(len(files[name]), held_out)}
            files[test] = [file for i, file in enumerate(files[name]) if i in chosen]
            files[name] = [file for i, file in enumerate(files[name]) if i not in chosen]
        files[name] = files[name][:max_images]
    return files


def stem(name: str) -> str:
    """The path without the extension."""
    return str(PurePosixPath(name).with_suffix(""))


def partner(split: str, name: str) -> str:
    """What the names of true partners share: the stem, without "_A" in domain a and "_B" in b."""
    return stem(name).removesuffix(f"_{split[-1].upper()}")


def _explicit(root: str | None, root_a: str | None, root_b: str | None) -> Folders:
    if root is not None:
        raise ConfigError(
            "data.root and data.root_a/root_b are both set: use data.root=null with "
            "data.root_a and data.root_b, or data.root alone."
        )
    if root_a is None or root_b is None:
        absent, given = ("a", "b") if root_a is None else ("b", "a")
        raise ConfigError(
            f"data.root_{given} is set but data.root_{absent} is not: give both, or "
            "data.root=FOLDER with trainA/ and trainB/ in it."
        )
    found: Folders = {}
    for domain, given in (("a", root_a), ("b", root_b)):
        base = _place(f"data.root_{domain}", given, None)
        folders, _ = base.content()
        split, test = "train" in folders, "test" in folders
        if test and not split:
            raise ConfigError(
                f"data.root_{domain}={given} has test/ but not train/, so test pictures would be "
                "trained on: move the training pictures to train/, or test/ elsewhere."
            )
        found[f"train_{domain}"] = base.below("train") if split else base
        if test:
            found[f"test_{domain}"] = base.below("test")
    a, b = (found[name].path.resolve() for name in ("train_a", "train_b"))
    if a == b or a in b.parents or b in a.parents:
        raise ConfigError(
            f"data.root_a={root_a} and data.root_b={root_b} are the same folder or one lies in the "
            "other, which mixes the domains: give each domain its own."
        )
    return dict(sorted(found.items(), key=lambda entry: list(_BELOW_ROOT).index(entry[0])))


def _place(key: str, value: str, hint: str | None) -> ImageLocation:
    path = Path(value).expanduser()
    if path.is_dir():
        return ImageLocation(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ImageLocation(path, "")
    if path.exists():
        raise ConfigError(
            f"{key}={value} is a file, but a folder of pictures or a .zip is expected: give the "
            "folder, and extract it first if it is another archive."
        )
    place = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
    raise _missing(f"{key}={value} does not exist{place}: check the path.", hint)


def _missing(problem: str, hint: str | None) -> ConfigError:
    return ConfigError(problem, hint) if hint else ConfigError(problem)


def _wrong_root(place: ImageLocation, missing: list[str]) -> str:
    """The sentence for a root without trainA or trainB, with the likeliest cure."""
    what, base = f"data.root={place} has no folder {' and no folder '.join(missing)}", place.path
    if place.prefix is not None:
        return f"{what}: pack the pictures of the two domains in trainA/ and trainB/."
    file = next((base / sub for sub in missing if (base / sub).exists()), None)
    if file is not None:
        return f"{file} is a file, but a folder of pictures is expected there."
    if (base.parent / "trainA").is_dir() and (base.parent / "trainB").is_dir():
        return f"{what}; it lies beside trainA and trainB: use data.root={base.parent}."
    below = sorted(sub for sub in base.iterdir() if (sub / "trainA").is_dir())
    if below:
        return f"{what}: did you mean data.root={below[0]}?"
    names = {sub.name.lower(): sub.name for sub in base.iterdir() if sub.is_dir()}
    similar = [names[sub.lower()] for sub in missing if sub.lower() in names]
    if similar:
        return f"{what}, but {' and '.join(similar)}: rename to {' and '.join(missing)}."
    return (
        f"{what}: put the pictures of the two domains into trainA and trainB there, or give "
        "data.root=null and data.root_a=FOLDER data.root_b=FOLDER."
    )


def _short(name: str, folder: ImageLocation, files: list[str]) -> str:
    if not files:
        cure = "add some" if name.startswith("train") else "add some, or remove the folder"
        return (
            f"{folder} holds no pictures ({' '.join(ending[1:] for ending in EXTENSIONS)}): {cure}."
        )
    if len(files) == 1 and name.startswith("train"):
        return f"{folder} holds one picture only, {files[0]}: a domain needs at least 2."
    return ""


def _pair_faults(folders: Folders, files: Names) -> list[str]:
    if "test_a" not in files or "test_b" not in files:
        return [
            "data.test_pairs=true needs test pictures in both domains (testA/ and testB/): "
            "add them, or set data.test_pairs=false."
        ]
    faults, names = [], {}
    for name in ("test_a", "test_b"):
        stems = [partner(name, file) for file in files[name]]
        names[name] = set(stems)
        twice = sorted(one for one, count in Counter(stems).items() if count > 1)
        if twice:
            faults.append(
                f"data.test_pairs=true: {', '.join(twice)} occurs more than once in "
                f"{folders[name]}: keep one file of each name."
            )
    for name, other in (("test_a", "test_b"), ("test_b", "test_a")):
        alone = sorted(names[name] - names[other])
        if alone:
            faults.append(
                f"data.test_pairs=true: no partner in {folders[other]} for "
                f"{', '.join(alone)}: add the files, or set data.test_pairs=false."
            )
    return faults
