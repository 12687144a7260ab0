"""Stacked inputs: folders whose images of the same name are the channels of one image."""

from collections import Counter
from collections.abc import Sequence

from gantrain.data.views import split_suffix
from gantrain.errors import ConfigError, agreed

_SHOWN = 8  # names in a sentence


def match_names(places: Sequence[object], names: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the images of the same name in every folder, in the order of the first one.

    Args:
        places: the folders, for sentences.
        names: paths of the images below each of them; suffixes may differ.

    Raises:
        ConfigError: lists the names that are not in all folders, or twice in one.
    """
    by_stem = [{split_suffix(name)[0]: name for name in folder} for folder in names]
    problems = []
    for place, folder, found in zip(places, names, by_stem, strict=True):
        if len(found) < len(folder):
            counts = Counter(split_suffix(name)[0] for name in folder)
            twice = sorted(stem for stem, count in counts.items() if count > 1)
            problems.append(
                f"{place} holds {_listed(twice)} more than once, with different endings: keep one "
                "of each."
            )
    everywhere = set(by_stem[0]).intersection(*by_stem[1:])
    for place, found in zip(places, by_stem, strict=True):
        if orphans := sorted(set(found) - everywhere):
            problems.append(
                f"{place} is stacked with {len(places) - 1} more, but {len(orphans)} of its "
                f"{len(found)} images {agreed(len(orphans), 'have')} no partner of the same name "
                f"there: {_listed([found[stem] for stem in orphans])}. Add them, or remove these."
            )
    if problems:
        raise ConfigError(*problems)
    ordered = [split_suffix(name)[0] for name in names[0]]
    return [tuple(found[stem] for found in by_stem) for stem in ordered]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
