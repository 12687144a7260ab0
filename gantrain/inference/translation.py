"""Translating the test images of an unpaired set, and measuring where the truth is known."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gantrain.data.base import Dataset
from gantrain.engine.precision import Precision
from gantrain.metrics.paired import WINDOW, l1, psnr, ssim
from gantrain.ops.reflect import reflect_to_multiple
from gantrain.ops.value_range import to_float, to_uint8

METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim}


@torch.no_grad()
def translate(network: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    """[N, C, H, W] as the data set has it, through a generator in eval mode -> uint8, rounded."""
    training = network.training
    network.eval()
    with precision.autocast():
        result = network(to_float(images.to(precision.device)))
    network.train(training)
    return to_uint8(result).cpu()


@torch.no_grad()
def translate_any_size(network: nn.Module, x: Tensor, precision: Precision) -> Tensor:
    """float [N, C, H, W] in [-1, 1] of any size -> float32 [N, C', H, W] in [-1, 1].

    The network (in eval mode, on the precision's device) may want sides that are multiples of its
    `size_multiple`, `least_side` or more: the pictures are continued by mirroring and cut again.
    """
    h, w = x.shape[2:]
    multiple = int(getattr(network, "size_multiple", 1))
    least = int(getattr(network, "least_side", multiple))
    whole = reflect_to_multiple(x.to(precision.device), multiple, least)
    with precision.autocast():
        result = network(whole)
    return result[:, :, :h, :w].float()


def input_channels(network: nn.Module) -> int | None:
    """Channels of the pictures it takes; None where the network doesn't tell."""
    spec = getattr(network, "spec", None)
    found = spec["args"].get("in_channels") if isinstance(spec, dict) else None
    return found if isinstance(found, int) else None


def evaluate_pairs(
    generators: dict[str, nn.Module], data: Dataset, limit: int, precision: Precision
) -> dict[str, dict[str, dict[str, float]]]:
    """{"ab": {"model": {"l1", "psnr", "ssim"}, "baseline": {...}}, "ba": ...}.

    Means over the first `limit` test images, in 8-bit levels whatever their depth. The baseline
    leaves the input as it is; it is absent where the domains differ in channels.
    """
    count = min(limit, data.test_count("a"), data.test_count("b"))
    results: dict[str, dict[str, dict[str, float]]] = {}
    for direction, network in generators.items():
        scores: dict[str, list[dict[str, float]]] = {"model": [], "baseline": []}
        for source, truth in _pairs(data, direction, count):
            scores["model"].append(_score(translate(network, source, precision), to_uint8(truth)))
            if source.shape == truth.shape:
                scores["baseline"].append(_score(to_uint8(source), to_uint8(truth)))
        results[direction] = {who: _mean(rows) for who, rows in scores.items() if rows}
    return results


def pair_problems(data: Dataset, limit: int) -> list[str]:
    """One sentence for each of the first `limit` test pairs that cannot be compared."""
    problems = []
    for i in range(min(limit, data.test_count("a"), data.test_count("b"))):
        (ha, wa), (hb, wb) = (data.test_item(domain, i).shape[-2:] for domain in "ab")
        if (ha, wa) != (hb, wb) or min(ha, wa) < WINDOW:
            problems.append(
                f"The test pair {data.test_name('a', i)} is {wa}x{ha} in domain a and {wb}x{hb} in "
                f"b: comparing needs one size of {WINDOW}x{WINDOW} or more; change the pictures or "
                "data.preprocess, or set evaluation.test_images=0."
            )
    return problems


def _pairs(data: Dataset, direction: str, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    src, dst = direction
    for i in range(count):
        source, truth = data.test_item(src, i), data.test_item(dst, i)
        yield torch.from_numpy(source)[None], torch.from_numpy(truth)[None]


def _score(x: Tensor, y: Tensor) -> dict[str, float]:
    # A pixel-perfect image would make the mean PSNR infinite: cap it where one level in one
    # pixel of a megapixel differs, far above anything learnt.
    values = {name: metric(x, y).item() for name, metric in METRICS.items()}
    return values | {"psnr": min(values["psnr"], 108.0)}


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in METRICS}
