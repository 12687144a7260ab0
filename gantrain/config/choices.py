"""The sections of a training that name a class, and what the classes of all their choices take."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from gantrain.config import constructors, paths
from gantrain.config.annotations import with_schedules
from gantrain.errors import ConfigError
from gantrain.types import Range

# Sections built from a `_target_`, and the constructor arguments that gantrain.build supplies
BUILT = {"model": ("images",), "data": ("seed",), "optimizer": ("params",)}
BETWEEN_0_AND_1 = Range(0, 1, open_high=True)
# Bounds for constructors whose annotations name a type only, such as torch's optimizers
BOUNDS: dict[str, dict[str, Range]] = {
    "optimizer": {
        **dict.fromkeys(("lr", "eps"), Range(0, open_low=True)),
        **dict.fromkeys(("weight_decay", "lr_decay", "initial_accumulator_value"), Range(0)),
        **dict.fromkeys(("betas", "momentum", "rho"), BETWEEN_0_AND_1),
    },
    "data": {
        **dict.fromkeys(("resolution", "load_size", "max_images", "train_images"), Range(1)),
        **dict.fromkeys(("cache_gb", "test_images", "held_out"), Range(0)),
    },
}
# Numbers of an optimizer that it reads anew in every step, and that may so be schedules
SCHEDULED = {"optimizer": ("lr", "betas", "momentum", "weight_decay")}
TARGET = re.compile(
    r"^ *(?:_target_|unpaired|paired|images): *([A-Za-z_]\w*(?:\.\w+)+)", re.MULTILINE
)


def owners(section: str, name: str, config_dir: str | None = None) -> list[tuple[str, str]]:
    """Return (choice, class) for each choice of a section whose class takes the argument `name`.

    Args:
        section: model, data or optimizer.
        name: of the key in the section.
        config_dir: the user's own folder of YAML files, if any.
    """
    found = [pair for pair, args in classes(section, config_dir).items() if name in args]
    return sorted(found, key=lambda pair: (pair[0] != "folder", pair[0] != "cyclegan"))


@lru_cache
def classes(section: str, config_dir: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """Return {(choice, class): {argument: annotation}} for all choices of a section.

    Args:
        section: model, data or optimizer.
        config_dir: the user's own folder of YAML files, if any.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in [paths.config_dir(), *([Path(config_dir)] if config_dir else [])]:
        for file in sorted((folder / section).glob("*.yaml")):
            for target in TARGET.findall(file.read_text(encoding="utf-8", errors="replace")):
                try:
                    parameters = constructors.read_signature(target).parameters
                except ConfigError:  # reported where the section itself is checked
                    continue
                found[file.stem, target] = {
                    name: configured(section, name, p.annotation)
                    for name, p in parameters.items()
                    if name not in BUILT[section]
                }
    return found


def configured(section: str, name: str, annotation: Any) -> Any:
    """Return what a key may hold: a constructor's annotation with bounds, and perhaps schedules.

    Args:
        section: model, data or optimizer.
        name: of the key in the section.
        annotation: that of the constructor's argument.
    """
    bound = BOUNDS.get(section, {}).get(name)
    if name in SCHEDULED.get(section, ()):
        return with_schedules(annotation, bound)
    return annotation if bound is None else Annotated[annotation, bound]
