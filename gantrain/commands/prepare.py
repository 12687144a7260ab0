"""gantrain prepare: inspect a data set, report its faults, and pack it into one file or shards."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gantrain import __version__, targets
from gantrain.config.tools import PrepareConfig
from gantrain.data.base import Dataset, FileDataset, check_members
from gantrain.data.bit_depth import ImageFault
from gantrain.data.findings import alpha_faults
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.pack import pack
from gantrain.data.pack_shards import pack_shards
from gantrain.data.preflight import ImageSource
from gantrain.data.statistics import ImageRecord, range_notes, scan, suitability_warnings, summarize
from gantrain.errors import ConfigError, counted
from gantrain.io.files import unwritable_as_config_error, write_json

MAX_FAULTS = 20  # printed on the terminal
SHARD_MB = 1000  # of a tar archive, 1e6 bytes


def main(config: PrepareConfig) -> None:
    """Print a report about the data set, write it if requested, and pack if requested.

    Raises:
        ConfigError: there is no such data set, a file cannot be written, or bands are mixed.
        SystemExit: 1 if there are unusable images.
    """
    data_class, settings = targets.resolve(config.data)
    data = data_class(seed=0, **settings)
    check_members(data)
    if not isinstance(data, FileDataset):  # shapes, cifar10, mnist: nothing to check in them
        data.prepare(batch=1, multiple=1, log=print)
        print(json.dumps(data.describe(), indent=2))
        if config.pack:
            raise ConfigError(
                f"pack does not apply to {type(data).__name__}, which is not read from image files."
            )
        return
    sources = data.sources(print)
    records = scan(sources, print)
    report = summarize(records, data.class_counts() if isinstance(data, ImageFolder) else None)
    notes, warnings = _notes(data)
    warnings += suitability_warnings(records, sources)
    report["warnings"] = [*warnings, *report["warnings"]]
    for note in [*notes, *(f"data: {text}" for text in range_notes(records, sources))]:
        print(note)
    _print_report(report)
    if config.report:
        target = Path(config.report)
        with unwritable_as_config_error("report", target):
            write_json(target, report)
        print(f"Full report: {config.report}")
    mixed = alpha_faults((x.split, x.file, x.alpha) for x in records if not x.fault)
    if mixed:
        raise ConfigError(*mixed)
    if config.pack:
        _pack(config, data, sources, records)
    if report["faults"]:
        raise SystemExit(1)


def _notes(data: FileDataset) -> tuple[list[str], list[str]]:
    """Return what the data set says about its files, and its warnings."""
    notes: list[str] = data.notes() if isinstance(data, ImageFolder | UnpairedFolder) else []
    mark = "warning: "
    plain = [f"data: {note}" for note in notes if not note.startswith(mark)]
    return plain, [f"{x.removeprefix(mark)}." for x in notes if x.startswith(mark)]


def _print_report(report: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("", "images", "usable", "MB", "sizes (width x height)", "kinds", "formats"):
        table.add_column(title)
    for split, facts in report["splits"].items():
        table.add_row(
            split,
            str(facts["pictures"]),
            str(facts["usable"]),
            f"{facts['bytes'] / 1e6:.1f}",
            _format_sizes(facts),
            _format_counts(facts["kinds"]),
            _format_counts(facts["formats"]),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if report["classes"]:
        print(f"Classes: {_format_counts(report['classes'])}")
    for warning in report["warnings"]:
        print(f"Warning: {warning}")
    faults = report["faults"]
    if faults:
        print(f"{counted(len(faults), 'image')} cannot be used:")
        for fault in faults[:MAX_FAULTS]:
            print(f"  {fault['file']} {fault['why']}")
        if len(faults) > MAX_FAULTS:
            print(f"  and {len(faults) - MAX_FAULTS} more (report=FILE writes all)")


def _format_sizes(facts: dict[str, Any]) -> str:
    h, w = facts["most_common"]
    min_h, min_w = facts["smallest"]
    max_h, max_w = facts["largest"]
    if facts["sizes"] < 2:
        return f"{w} x {h}"
    return f"{min_w} to {max_w} x {min_h} to {max_h}, mostly {w} x {h}"


def _format_counts(counts: dict[str, int]) -> str:
    """Join counts, as in "3 grey, 7 colour"; a single kind is named without its count."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _pack(
    config: PrepareConfig,
    data: Dataset,
    sources: dict[str, ImageSource],
    records: list[ImageRecord],
) -> None:
    """Write the usable images, resized, to one .zip file or to a folder of tar archives."""
    assert config.pack
    unusable = {record.file for record in records if record.fault}
    if unusable and config.data.get("on_bad_file") != "skip":
        raise ConfigError(
            f"{counted(len(unusable), 'image')} cannot be used (listed above), so nothing was "
            "packed: repair or remove them, or skip them with data.on_bad_file=skip."
        )
    usable: dict[str, ImageSource] = {}
    for split, source in sources.items():
        names, files = [], []
        for name, file in zip(source.names, source.files, strict=True):
            if file not in unusable:
                names.append(name)
                files.append(file)
        alpha = any(record.alpha for record in records if record.split == split)
        usable[split] = replace(source, names=names, files=files, alpha=alpha)
    labels = data.json_labels() if isinstance(data, ImageFolder) else {}
    first = next(iter(sources.values()))
    note = {
        "made_by": f"gantrain {__version__}",
        "settings": {key: value for key, value in config.data.items() if key != "hint"},
        "filter": getattr(first.resize, "filter", "bicubic"),
        "pictures": {split: len(source.files) for split, source in usable.items()},
        "content": {f"{r.split}/{r.name}": r.content for r in records if not r.fault},
    }
    target = Path(config.pack)
    try:
        if target.suffix.lower() == ".zip":
            count = pack(target, usable, labels, note)
        else:
            limit = 1e6 * (config.shard_mb or SHARD_MB)
            count = pack_shards(target, usable, labels, note, limit)
    except ImageFault as fault:
        raise ConfigError(f"{target}: an image {fault}.") from fault
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written ({error.strerror or error}): make room, or give another "
            "pack=."
        ) from error
    files = sorted(target.glob("*.tar")) if target.is_dir() else [target]
    size = f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
    size += f" in {counted(len(files), 'archive')}" if target.is_dir() else ""
    choice = getattr(data, "choice", "folder")
    print(f"{counted(count, 'image')}, {size}: data={choice} data.root={target}")
