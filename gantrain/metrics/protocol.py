"""The names of the metrics, and the protocol under which a value was measured."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

FEATURES = ("fid", "kid", "precision_recall", "density_coverage", "inception_score")
PAIRED = ("lpips", "l1", "psnr", "ssim")
LATENT = ("path_length", "separability")
EQUIVARIANCE = ("eqt", "eqr")
METRICS = (*FEATURES, *PAIRED, *LATENT, *EQUIVARIANCE)
HIGHER_IS_BETTER = (
    "precision", "recall", "density", "coverage", "inception_score", "psnr", "ssim",
    *EQUIVARIANCE,
)  # fmt: skip
DISENTANGLEMENT = "disentanglement"  # gantrain evaluate: all of LATENT that can be measured
QUANTISE = "round and clamp to 8 bits"

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Protocol:
    """How a value was measured; two values can be compared only if their protocols are equal.

    Args:
        extractor: name of the feature network; "" if none is used.
        digest: SHA-256 of its weights.
        resize: how images are brought to its size.
        real, fake: numbers of images.
        split: "train" or "test" images of the data set.
        data: a hash of the real images' pixels.
        truncation_psi: of a generator with w.
        ema: whether the moving average of the weights was measured.
        seed: of the latents.
        quantise: how float images became 8-bit images.
        test_mode: of networks with batch norm or dropout, if it is not "eval".
        labels: where the labels of separability come from, and what predicts them.
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
    test_mode: str = ""
    labels: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, without an empty test mode or labels."""
        optional = ("test_mode", "labels")
        return {key: x for key, x in asdict(self).items() if x or key not in optional}


PARTS = {  # metrics that give several values
    "precision_recall": ("precision", "recall"),
    "density_coverage": ("density", "coverage"),
    "separability": ("separability_z", "separability_w", "separability_chance"),
}


def value_names(metrics: Iterable[str]) -> list[str]:
    """Return the names of the values that `metrics` yield, such as "precision"."""
    return [value for name in metrics for value in PARTS.get(name, (name,))]


@dataclass(frozen=True)
class MetricValue:
    """A measured value of a metric.

    Args:
        metric: name of the value, one of `value_names`.
        value: the number.
        protocol: how it was measured.
        direction: "ab" or "ba"; None for a GAN that does not translate.
        std: standard deviation over subsets or splits, if the metric has one; no confidence
            interval.
        seconds: duration of the measurement.
    """

    metric: str
    value: float
    protocol: Protocol
    direction: str | None = None
    std: float | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Short name with the main settings, see `metric_name`."""
        return metric_name(self.metric, self.protocol, self.direction)

    def to_dict(self) -> dict[str, Any]:
        """Return a row of evaluations.jsonl, without the source of the images."""
        row = {**asdict(self), "name": self.name, "protocol": self.protocol.to_dict()}
        return {key: value for key, value in row.items() if key != "std" or value is not None}


def metric_name(metric: str, protocol: Protocol, direction: str | None) -> str:
    """Return a short name with the main settings, such as "fid5k_clean" or "kid120_clean/ab"."""
    count, rest = divmod(protocol.fake, 1000)
    text = metric + "_" * (metric in PAIRED)  # l1_100, not l1100
    text += f"{count}k" if count and not rest else str(protocol.fake)
    if protocol.extractor and not protocol.extractor.startswith("inception"):
        text += f"_{protocol.extractor}"
    elif protocol.resize:
        text += f"_{protocol.resize}"
    return text + (f"/{direction}" if direction else "")
