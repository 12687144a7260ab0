"""What a number means: the names of the metrics, and what is kept with a value."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

FEATURES = ("fid", "kid", "precision_recall", "density_coverage", "inception_score")
PAIRED = ("lpips", "l1", "psnr", "ssim")
LATENT = ("path_length",)
METRICS = (*FEATURES, *PAIRED, *LATENT)
HIGHER_IS_BETTER = (
    "precision", "recall", "density", "coverage", "inception_score", "psnr", "ssim",
)  # fmt: skip
QUANTISE = "round and clamp to 8 bits"

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Protocol:
    """Two values may be compared when all of this is equal.

    extractor, digest, resize: the network, its weights, how pictures come to its size ("" where
    none is used). real, fake: how many pictures. data: a hash of the real pictures' pixels.
    """

    extractor: str
    digest: str
    resize: str
    real: int
    fake: int
    split: str
    data: str
    truncation_psi: float
    ema: bool
    seed: int
    quantise: str = QUANTISE

    def plain(self) -> dict[str, Any]:
        """As a dict of plain values."""
        return asdict(self)


PARTS = {  # metrics that give several values
    "precision_recall": ("precision", "recall"),
    "density_coverage": ("density", "coverage"),
}


def value_names(metrics: Iterable[str]) -> list[str]:
    """The names of the values that `metrics` give."""
    return [value for name in metrics for value in PARTS.get(name, (name,))]


def unsupported_metrics(
    metrics: Iterable[str], algorithm: str, *, translates: bool, pairs: bool, has_w: bool
) -> Iterator[str]:
    """A sentence for each metric that a GAN or its data set cannot have."""
    for name in metrics:
        if name in PAIRED and not translates:
            yield (
                f"{name} compares with true partners, and {algorithm} makes pictures from noise: "
                "leave it out."
            )
        elif name in PAIRED and not pairs:
            yield (
                f"{name} compares with true partners, which this data set does not know: give "
                "data.test_pairs=true if they are there, or leave it out."
            )
        if name in LATENT and not has_w:
            yield f"{name} needs StyleGAN's w, which {algorithm} has not: leave it out."


@dataclass(frozen=True)
class MetricValue:
    """A number: of which metric, in which direction (None: no translation), under which protocol.

    std: over subsets or splits, where the metric has one; no confidence interval.
    """

    metric: str
    value: float
    protocol: Protocol
    direction: str | None = None
    std: float | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Short, with what distinguishes it: "fid5k_clean", "kid120_clean/ab"."""
        return metric_name(self.metric, self.protocol, self.direction)

    def plain(self) -> dict[str, Any]:
        """A row of evaluations.jsonl, without where the pictures are from."""
        row = {**asdict(self), "name": self.name, "protocol": self.protocol.plain()}
        return {key: value for key, value in row.items() if key != "std" or value is not None}


def metric_name(metric: str, protocol: Protocol, direction: str | None) -> str:
    """See `Value.name`."""
    count, rest = divmod(protocol.fake, 1000)
    text = metric + "_" * (metric in PAIRED)  # l1_100, not l1100
    text += f"{count}k" if count and not rest else str(protocol.fake)
    if protocol.extractor and not protocol.extractor.startswith("inception"):
        text += f"_{protocol.extractor}"
    elif protocol.resize:
        text += f"_{protocol.resize}"
    return text + (f"/{direction}" if direction else "")
