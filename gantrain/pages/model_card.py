"""The model card: README.md of a model on the Hugging Face Hub, with YAML that the hub reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gantrain import __version__
from gantrain.errors import counted
from gantrain.io.hub_folder import is_place
from gantrain.io.plain_files import is_number

NAMED_CLASSES = 20  # that a card lists
LONGEST_TEXT = 120
PROTOCOL = {  # field of `gantrain.metrics.protocol.Protocol`, as the card calls it
    "fake": "generated images",
    "real": "real images",
    "extractor": "feature network",
    "digest": "SHA-256 of the feature network",
    "resize": "resize",
    "truncation_psi": "truncation psi",
    "ema": "moving average of weights",
    "seed": "first seed",
    "quantise": "pixels",
    "test_mode": "batch norm and dropout",
    "labels": "labels",
    "data": "hash of the real images",
}
_KINDS = {  # data sets of files; others are called after their class, such as MNIST
    "folder": "a folder of images",
    "pairs": "pairs of images",
    "colorize": "pictures in colour, split into lightness and colours (CIE Lab)",
}
_ARTICLES = {
    "CycleGAN": "https://arxiv.org/abs/1703.10593",
    "CUT": "https://arxiv.org/abs/2007.15651",
    "Pix2Pix": "https://arxiv.org/abs/1611.07004",
    "DCGAN": "https://arxiv.org/abs/1511.06434",
    "StyleGAN": "https://arxiv.org/abs/2006.06676",
    "StyleGAN3": "https://arxiv.org/abs/2106.12423",
    "R3GAN": "https://arxiv.org/abs/2501.05441",
}


@dataclass(frozen=True)
class Facts:
    """What is known of a model.

    Attributes:
        algorithm: class of the GAN, such as "StyleGAN".
        directions: of a translator, "ab" or "ba" or both; []: it generates from latents.
        parameters: of each network, by name.
        size: (height, width) of the images; None: unknown.
        channels: of the images that a translator takes.
        meta: of the snapshot.
        settings: of the run; {}: unknown.
        has_w: whether the generator has StyleGAN's w.
        evaluations: rows of evaluations.jsonl that were measured with these weights.
        pictures: (file name, caption) of each picture beside the card.
        license: identifier, such as "mit"; None: not stated.
        address: hub:OWNER/NAME; None: not known yet.
    """

    algorithm: str
    directions: list[str]
    parameters: dict[str, int]
    size: tuple[int, int] | None
    channels: int
    meta: dict[str, Any]
    settings: dict[str, Any]
    has_w: bool
    evaluations: Sequence[dict[str, Any]]
    pictures: Sequence[tuple[str, str]]
    license: str | None
    address: str | None

    @property
    def title(self) -> str:
        """What the model is called."""
        if self.address:
            return self.address.removeprefix("hub:").partition("@")[0].rpartition("/")[2]
        height, width = self.size or (0, 0)
        return f"{self.algorithm}, {height} x {width} pixels" if self.size else self.algorithm

    @property
    def task(self) -> str:
        """The hub's name for what it does."""
        return "image-to-image" if self.directions else "unconditional-image-generation"

    @property
    def data(self) -> dict[str, Any]:
        """The description of the training images."""
        return self.meta.get("data", {})


def write(facts: Facts) -> str:
    """Return the text of the card."""
    front = yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True, width=100)
    sections = [
        ("", _introduction(facts)),
        ("Pictures", _pictures(facts)),
        ("Use", _use(facts)),
        ("Training", _training(facts)),
        ("Data", _data(facts)),
        ("Measurements", _measurements(facts)),
        ("Limitations", _limitations(facts)),
        ("Licence", [f"{facts.license or 'Licence: not stated'}."]),
    ]
    text = f"---\n{front}---\n\n# {plain(facts.title)}\n"
    for title, paragraphs in sections:
        if found := [*paragraphs]:
            text += f"\n## {title}\n" * bool(title) + "\n" + "\n".join(found) + "\n"
    return text


def plain(value: Any) -> str:
    """Return a value as one short line that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~])", r"\\\1", _line(value))


def _line(value: Any) -> str:
    """Return a value as one short line of text."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _front_matter(facts: Facts) -> dict[str, Any]:
    front: dict[str, Any] = {"license": facts.license} if facts.license else {}
    tags = ["gan", "gantrain", facts.algorithm.lower()]
    front |= {"library_name": "gantrain", "pipeline_tag": facts.task, "tags": tags}
    if results := _results(facts):
        front["model-index"] = [{"name": facts.title, "results": results}]
    return front


def _results(facts: Facts) -> list[dict[str, Any]]:
    """Return the measured values as the hub's model-index, by split of the data."""
    by_split: dict[str, list[dict[str, Any]]] = {}
    for row in facts.evaluations:
        metric = {"type": _line(_type(row)), "name": _line(row.get("name", row["metric"]))}
        protocol = dict(protocol_of(row))
        if facts.size:
            protocol["resolution"] = f"{facts.size[0]} x {facts.size[1]}"
        split = _line(row["protocol"].get("split") or "none")
        by_split.setdefault(split, []).append({**metric, "value": row["value"], "args": protocol})
    return [
        {
            "task": {"type": facts.task},
            "dataset": {
                "name": f"{split} images" if split != "none" else "no real images",
                "type": _line(facts.data.get("kind", "images")).lower(),
                "split": split,
            },
            "metrics": metrics,
        }
        for split, metrics in by_split.items()
    ]


def _type(row: dict[str, Any]) -> str:
    """Return the hub's name of a metric; of others than Inception's features it is another one."""
    network = str(row["protocol"].get("extractor") or "")
    network = "other" if is_place(network) else network
    return row["metric"] if network[:9] in ("", "inception") else f"{row['metric']}_{network}"


def protocol_of(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield how a value was measured, as far as it was recorded: names and plain values."""
    if isinstance(direction := row.get("direction"), str):
        yield "direction", direction[:2]
    for key, name in PROTOCOL.items():
        value = row["protocol"].get(key)
        if isinstance(value, str):
            value = "" if is_place(value) else _line(value)
        if value == "" or not isinstance(value, str | bool | int | float):
            continue
        yield name, value
    if isinstance(deviation := row.get("std"), float):
        yield "standard deviation", deviation
    if row.get("precision") in ("fp32", "tf32", "bf16"):
        yield "arithmetic", row["precision"]


def _introduction(facts: Facts) -> Iterator[str]:
    article = _ARTICLES.get(facts.algorithm)
    name = f"[{facts.algorithm}]({article})" if article else plain(facts.algorithm)
    what = "generates images from random latents"
    if facts.directions:
        ways = " and ".join(f"from domain {one[0]} to domain {one[1]}" for one in facts.directions)
        what = f"translates images {ways}"
    yield f"A {name} that {what}, trained with gantrain."
    for network, count in facts.parameters.items():
        yield f"The network `{network}` has {count:,} parameters."


def _pictures(facts: Facts) -> Iterator[str]:
    for file, caption in facts.pictures:
        yield f"![{caption}]({file})\n\n{caption}"


def _use(facts: Facts) -> Iterator[str]:
    address = facts.address or "hub:OWNER/NAME"
    call = 'x = model.sample("0-15")  # float32 [16, C, H, W] in [-1, 1]'
    command = f"gantrain generate run={address} seeds=0-15 out=pictures"
    if facts.has_w:
        call = call.replace('"0-15"', '"0-15", psi=0.7')
    if facts.directions:
        call = (
            f"x = torch.zeros(1, {facts.channels}, 256, 256)  # images in [-1, 1], of any size\n"
            f'y = model.translate(x, "{facts.directions[0]}")'
        )
        command = f"gantrain translate run={address} input=my_photos output=translated"
    imports = "import torch\n\nimport gantrain" if facts.directions else "import gantrain"
    yield "```bash\npip install 'gantrain[hub]'\n" + command + "\n```\n"
    yield f'```python\n{imports}\n\nmodel = gantrain.load("{address}")\n{call}\n```\n'
    yield "`gantrain.load(FOLDER)` loads a folder with these files, too. Nothing is unpickled."


def _training(facts: Facts) -> Iterator[str]:
    meta, settings = facts.meta, facts.settings
    train = settings.get("train", {}) if isinstance(settings.get("train"), dict) else {}
    size = f"{facts.size[0]} x {facts.size[1]} pixels" if facts.size else "not recorded"
    version = meta.get("versions", {}).get("gantrain")
    rows = {
        "algorithm": facts.algorithm,
        "images seen": f"{meta.get('nimg', 0):,}",
        "resolution": size,
        "batch": train.get("batch"),
        "moving average of weights": "yes" if meta.get("ema") else "no",
        "seed": settings.get("seed"),
        "trained with": f"gantrain {version}" if version else None,
        "exported with": f"gantrain {__version__}",
    }
    yield "| | |\n|---|---|"
    for name, value in rows.items():
        yield f"| {name} | {'not recorded' if value is None else plain(value)} |"


def _data(facts: Facts) -> Iterator[str]:
    data = facts.data
    if not data:
        yield "Nothing is recorded of the training images."
        return
    kind = plain(data.get("kind", "not recorded"))
    yield f"- kind: {_KINDS.get(kind, kind)}"
    for split, noun in (("train", "training"), ("test", "test")):
        if counts := dict(_counts(data.get(split))):
            text = " and ".join(f"{n:,}{f' of domain {d}' if d else ''}" for d, n in counts.items())
            yield f"- {noun} images: {text}"
    channels = data.get("channels")
    if isinstance(channels, dict) and channels:
        each = [
            f"{plain(count)}{'' if stream == 'image' else f' (domain {plain(stream)})'}"
            for stream, count in channels.items()
        ]
        yield f"- channels: {', '.join(each)}"
    if data.get("depth") is not None:
        depth = data["depth"]
        yield f"- depth: {plain(depth)}{'' if depth == 'float' else ' bits'}"
    if (labels := data.get("labels")) and labels.get("dim"):
        names = [plain(name) for name in labels.get("names", ())]
        shown = f": {', '.join(names[:NAMED_CLASSES])}" if names else ""
        rest = f" and {len(names) - NAMED_CLASSES} more" if len(names) > NAMED_CLASSES else ""
        yield f"- labels: {counted(labels['dim'], 'entry')}{shown}{rest}"
    yield (
        "\nWhat the images show, where they come from and who may use them is not recorded: the "
        "author of the model has to say it here."
    )


def _counts(value: Any) -> Iterator[tuple[str, int]]:
    """Yield (domain, count) of a description's number of images; the domain "" if there is one."""
    if isinstance(value, dict):
        yield from ((d, n) for d, n in value.items() if d in ("a", "b") and is_number(n))
    elif is_number(value):
        yield "", value


def _measurements(facts: Facts) -> Iterator[str]:
    if not facts.evaluations:
        yield "Nothing was measured with these weights (`gantrain evaluate`)."
        return
    yield "| metric | value | split | how |\n|---|---|---|---|"
    for row in facts.evaluations:
        how = "; ".join(f"{name} {_short(value)}" for name, value in protocol_of(row))
        split = row["protocol"].get("split") or ""
        name = plain(row.get("name", row["metric"]))
        yield f"| {name} | {row['value']:.5g} | {plain(split)} | {how} |"
    yield "\nValues that were measured in another way cannot be compared with these."


def _short(value: Any) -> str:
    """Return a value of a protocol as the table has it: of a checksum, the start."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return plain(value[:12] if re.fullmatch(r"[0-9a-f]{32,}", str(value)) else value)


def _limitations(facts: Facts) -> Iterator[str]:
    yield "Nobody has said yet what this model gets wrong. What can be said of every such model:"
    yield "- It knows the images that it was trained on and their biases, and nothing else."
    if facts.directions:
        yield "- Results are plausible, not true: what they show is no evidence of anything."
    else:
        yield "- Pictures may resemble training images: `gantrain doctor` measures how much."
