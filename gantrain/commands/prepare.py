"""gantrain prepare: what a data set holds, what is wrong with it, and one file of it."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gantrain import __version__, targets
from gantrain.config.tools import PrepareConfig
from gantrain.data.base import Dataset, FileDataset
from gantrain.data.bit_depth import ImageFault
from gantrain.data.image_folder import ImageFolder
from gantrain.data.pack import pack
from gantrain.data.preflight import ImageSource
from gantrain.data.statistics import ImageRecord, scan, summarize
from gantrain.errors import ConfigError
from gantrain.io.files import atomic_write

SHOWN = 20  # faults and warnings on the terminal


def main(config: PrepareConfig) -> None:
    """Report, and pack if asked.

    Raises:
        ConfigError: no such set, or a file that cannot be written.
        SystemExit: 1 when pictures cannot be used.
    """
    made, keys = targets.resolve(config.data)
    data = made(seed=0, **keys)
    if not isinstance(data, FileDataset):  # shapes, cifar10, mnist: made or published as they are
        data.prepare(batch=1, multiple=1, log=print)
        print(json.dumps(data.describe(), indent=2))
        if config.pack:
            raise ConfigError(f"pack: {type(data).__name__} is one file already, or is drawn.")
        return
    sources = data.sources(print)
    seen = scan(sources, print)
    found = summarize(seen, _classes(data, sources))
    _show(found)
    if config.report:
        _write(Path(config.report), json.dumps(found, indent=2) + "\n")
        print(f"All of it: {config.report}")
    if config.pack:
        _pack(config, data, sources, seen)
    if found["faults"]:
        raise SystemExit(1)


def _classes(data: Dataset, sources: dict[str, ImageSource]) -> Counter[str]:
    """Training pictures by class: by the first sub-folder."""
    if not isinstance(data, ImageFolder) or not data.label_dim:
        return Counter()
    return Counter(name.partition("/")[0] for name in sources["train"].names if "/" in name)


def _show(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("", "pictures", "usable", "MB", "sizes (width x height)", "kinds", "formats"):
        table.add_column(title)
    for split, facts in found["splits"].items():
        table.add_row(
            split,
            str(facts["pictures"]),
            str(facts["usable"]),
            f"{facts['bytes'] / 1e6:.1f}",
            _sizes(facts),
            _counted(facts["kinds"]),
            _counted(facts["formats"]),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if found["classes"]:
        print(f"Classes: {_counted(found['classes'])}")
    for warning in found["warnings"]:
        print(f"Warning: {warning}")
    faults = found["faults"]
    if faults:
        print(f"{len(faults)} pictures cannot be used:")
        for fault in faults[:SHOWN]:
            print(f"  {fault['file']} {fault['why']}")
        if len(faults) > SHOWN:
            print(f"  and {len(faults) - SHOWN} more (report=FILE writes all)")


def _sizes(facts: dict[str, Any]) -> str:
    (h, w), (least_h, least_w), (most_h, most_w) = (
        facts[key] for key in ("most_common", "smallest", "largest")
    )
    if facts["sizes"] < 2:
        return f"{w} x {h}"
    return f"{least_w} to {most_w} x {least_h} to {most_h}, mostly {w} x {h}"


def _counted(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _pack(
    config: PrepareConfig, data: Dataset, sources: dict[str, ImageSource], seen: list[ImageRecord]
) -> None:
    assert config.pack
    bad = {one.file for one in seen if one.fault}
    if bad and config.data.get("on_bad_file") != "skip":
        raise ConfigError(
            f"{len(bad)} pictures cannot be used (listed above), so nothing was packed: repair or "
            "remove them, or leave them out with data.on_bad_file=skip."
        )
    kept: dict[str, ImageSource] = {}
    for split, source in sources.items():
        pairs = zip(source.names, source.files, strict=True)
        good = [(name, file) for name, file in pairs if file not in bad]
        names, files = [name for name, _ in good], [file for _, file in good]
        kept[split] = ImageSource(
            names, files, source.channels, source.resize, source.pixels, source.test
        )
    labels = data.label_files() if isinstance(data, ImageFolder) else {}
    first = next(iter(sources.values()))
    note = {
        "made_by": f"gantrain {__version__}",
        "settings": {key: value for key, value in config.data.items() if key != "hint"},
        "filter": getattr(first.resize, "filter", "bicubic"),
        "pictures": {split: len(source.files) for split, source in kept.items()},
        "content": {f"{one.split}/{one.name}": one.content for one in seen if not one.fault},
    }
    target = Path(config.pack)
    try:
        count = pack(target, kept, labels, note)
    except ImageFault as fault:
        raise ConfigError(f"{target}: a picture {fault}.") from fault
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written ({error.strerror or error}): make room, or give another "
            "pack=."
        ) from error
    print(f"{count} pictures, {target.stat().st_size / 1e6:.1f} MB: data=folder data.root={target}")


def _write(path: Path, text: str) -> None:
    try:
        with atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise ConfigError(
            f"report={path} cannot be written ({error.strerror or error}): give another file."
        ) from error
