"""Compare the images of a start with those of the run that it continues or begins from.

The settings say what was typed; the description of a data set says what the images are: how many,
of which classes, with which fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantrain.errors import ConfigError
from gantrain.interop.latent_generators import reached_p
from gantrain.io.plain_files import load_yaml
from gantrain.runs import recorded

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig

Description = dict[str, Any]  # Dataset.describe()


def of_settings(content: Any) -> Description:
    """Return the description in the content of a config.yaml; {} if there is none."""
    if recorded.settings_fault(content):
        return {}
    return content.get("derived", {}).get("data", {})


def of_source(source: Path) -> Description:
    """Return the description of the images behind `init_from=source`; {} if it is unknown.

    Args:
        source: a run directory, a file in one, or a snapshot alone.
    """
    run = source if source.is_dir() else source.parent.parent
    try:
        if found := of_settings(load_yaml(run / "config.yaml")):
            return found
    except (OSError, ValueError):
        pass
    if not source.is_file():
        return {}
    from gantrain.snapshot import load_plain_dict  # imports torch

    meta = (load_plain_dict(source) or {}).get("meta")
    data = meta.get("data") if isinstance(meta, dict) else None
    return data if isinstance(data, dict) else {}


def check_resumed(old: Description, new: Description, run: Path, forced: bool) -> list[str]:
    """Return sentences about images that changed since the run's last start.

    Args:
        old: recorded by the run; {}: unknown.
        new: of the present images.
        run: the run directory.
        forced: whether other classes are only said, not refused.

    Raises:
        ConfigError: the classes are others, so that every label would change its meaning.
    """
    before, now = _classes(old), _classes(new)
    said: list[str] = []
    if old and before != now:
        text = f"the classes were {_listed(before)} and are {_listed(now)}"
        if not forced:
            raise ConfigError(
                f"resume={run}: {text}, in this order, so that labels would change their meaning. "
                "Restore the names of the folders (or dataset.json), or start a new run "
                "(init_from= loads its weights); resume_force=true continues anyway."
            )
        said.append(f"Warning: {text}; it continues because of resume_force=true.")
    counts = "; ".join(_count_changes(old, new))
    if counts or _changed(old, new, "fingerprint") or _changed(old, new, "versions"):
        others = "other files or sizes" if _changed(old, new, "fingerprint") else "another version"
        what = counts or f"as many, but {others}"
        said.append(
            f"Warning: the images are not those that {run} was trained on so far ({what}): it "
            "continues with the present ones."
        )
    return said


def check_ranks(descriptions: list[Description]) -> None:
    """Check that all ranks train on the same images.

    Args:
        descriptions: of the images of each rank.

    Raises:
        ConfigError: names a rank with others, such as an older copy or a remote file that changed.
    """
    first, *others = descriptions
    for rank, other in enumerate(others, 1):
        keys = sorted((first.keys() | other.keys()) - {"folders"})
        if different := [key for key in keys if first.get(key) != other.get(key)]:
            raise ConfigError(
                f"The images of rank {rank} are not those of rank 0 ({', '.join(different)} "
                "differ): all ranks need the same ones. A remote file may have just changed: start "
                "again."
            )


def check_start(source: str, model: dict[str, Any], images: Description) -> list[str]:
    """Return sentences about what a start from the weights of another training leaves behind.

    Args:
        source: `init_from`, as typed.
        model: the settings of the model.
        images: the description of the present ones.

    Raises:
        ConfigError: see `check_initial`.
    """
    said = check_initial(of_source(Path(source)), images, source)
    p = reached_p(Path(source)) if model.get("augment") == "ada" else None
    if p:
        start = model["augment_p"]
        other = "model.augment_p=0 starts anew" if start else f"model.augment_p={p:.4g} goes on"
        said.append(
            f"{source} was trained up to p={p:.4g} of its augmentations, and ADA starts at "
            f"{start:.4g} here; {other}."
        )
    return said


def continue_augmentation(config: RunConfig) -> RunConfig:
    """Return the config with the p that imported weights were trained up to, unless one is typed.

    Args:
        config: the checked config; model.augment_p=null stands for that p, or for 0.

    Raises:
        ConfigError: `init_from` is a damaged file.
    """
    model = config.model
    if config.init_from is None or model.get("augment") != "ada" or model["augment_p"] is not None:
        return config
    p = min(reached_p(Path(config.init_from)) or 0.0, model["ada_max_p"])
    return replace(config, model={**model, "augment_p": p})


def check_initial(old: Description, new: Description, source: str) -> list[str]:
    """Return sentences about the images behind `init_from`, which may be quite others.

    Args:
        old: of the source; {}: unknown.
        new: of the present images.
        source: as typed.

    Raises:
        ConfigError: the same class has another number there, which is surely a mistake.
    """
    before, now = _classes(old), _classes(new)
    if not before or not now or before == now:
        return []
    text = f"the classes of init_from={source} are {_listed(before)}, and of these images"
    if any(name in before and before.index(name) != i for i, name in enumerate(now)):
        raise ConfigError(
            f"{text} {_listed(now)}: the same class would have another number. Rename the folders "
            "(or the labels in dataset.json) so that the common classes come in the same order, or "
            "train without labels."
        )
    return [f"Note: {text} {_listed(now)}: class by class, the new ones begin from the old ones."]


def _classes(description: Description) -> list[str]:
    """Return the names of the classes in the order of their numbers; []: there are none."""
    labels = description.get("labels")
    names = labels.get("names") if isinstance(labels, dict) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more if names else "none"


def _count_changes(old: Description, new: Description) -> Iterator[str]:
    for split in ("train", "test"):
        if not _changed(old, new, split):
            continue
        before, now = old[split], new[split]
        if not (isinstance(before, dict) and isinstance(now, dict)):
            before, now = {"": before}, {"": now}
        for part in now:
            if before.get(part) != now[part]:
                yield f"{split} {part}".strip() + f": {before.get(part)} -> {now[part]}"


def _changed(old: Description, new: Description, key: str) -> bool:
    """Return whether both descriptions have the key, with different values."""
    return key in old and key in new and old[key] != new[key]
