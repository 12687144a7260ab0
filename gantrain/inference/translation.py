"""Translate images between two domains, and compare test images with their ground truth."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gantrain.data.base import Dataset
from gantrain.engine.precision import Precision
from gantrain.inference.pictures import Look, is_lab, look_of, unchanged
from gantrain.metrics.paired import WINDOW, l1, psnr, ssim
from gantrain.ops.reflect import reflect_to_multiple
from gantrain.ops.value_range import to_float, to_uint8

METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim}


@torch.no_grad()
def translate(
    network: nn.Module, images: Tensor, precision: Precision, look: Look = unchanged
) -> Tensor:
    """Translate images of a data set.

    Args:
        network: a generator; evaluated in eval mode, its mode is restored.
        images: [N, C, H, W], integers or floats in [-1, 1].
        precision: device and precision.
        look: see `gantrain.inference.pictures.look_of`.

    Returns:
        uint8 [N, C', H, W] on the CPU.
    """
    training = network.training
    network.eval()
    with precision.autocast():
        result = network(to_float(images.to(precision.device)))
    network.train(training)
    return to_uint8(look(result, images)).cpu()


@torch.no_grad()
def translate_any_size(network: nn.Module, x: Tensor, precision: Precision) -> Tensor:
    """Translate images of any size.

    Images are padded by reflection to the network's `size_multiple` and `least_side`, and the
    results are cropped.

    Args:
        network: a generator in eval mode on the precision's device.
        x: float [N, C, H, W] in [-1, 1].
        precision: device and precision.

    Returns:
        float32 [N, C', H, W] in [-1, 1] on the device.
    """
    h, w = x.shape[2:]
    multiple = int(getattr(network, "size_multiple", 1))
    least = int(getattr(network, "least_side", multiple))
    padded = reflect_to_multiple(x.to(precision.device), multiple, least)
    with precision.autocast():
        result = network(padded)
    return result[:, :, :h, :w].float()


def input_channels(network: nn.Module) -> int | None:
    """Return the number of channels of a network's input images; None: unknown."""
    spec = getattr(network, "spec", None)
    channels = spec["args"].get("in_channels") if isinstance(spec, dict) else None
    return channels if isinstance(channels, int) else None


def output_channels(network: nn.Module) -> int | None:
    """Return the number of channels of a network's results; None: unknown."""
    spec = getattr(network, "spec", None)
    args = spec["args"] if isinstance(spec, dict) else {}
    channels = args.get("out_channels", args.get("in_channels"))
    return channels if isinstance(channels, int) else None


def picture_channels(network: nn.Module, data: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the channels of pictures and their translations, see `pictures.of_pictures`.

    Args:
        network: of the translation.
        data: `describe()` of its data set, or {}.

    Returns:
        (of the input, of the result); None: unknown.
    """
    return (3, 3) if is_lab(data) else (input_channels(network), output_channels(network))


def evaluate_pairs(
    generators: dict[str, nn.Module], data: Dataset, limit: int, precision: Precision
) -> dict[str, dict[str, dict[str, float]]]:
    """Compare translated test images with their ground truth.

    Args:
        generators: by direction, "ab" or "ba".
        data: a set with paired test images.
        limit: number of pairs.
        precision: device and precision.

    Returns:
        {"ab": {"model": {"l1", "psnr", "ssim"}, "baseline": {...}}, ...}: for each direction means
        over the pairs, in 8-bit levels whatever their depth. The baseline is the unchanged input;
        it is missing if the domains differ in channels. With data=colorize, both are RGB, and the
        baseline is the grey picture.
    """
    look = look_of(data.describe())
    count = min(limit, data.test_count("a"), data.test_count("b"))
    results: dict[str, dict[str, dict[str, float]]] = {}
    for direction, network in generators.items():
        scores: dict[str, list[dict[str, float]]] = {"model": [], "baseline": []}
        for source, truth in _pairs(data, direction, count):
            fake = translate(network, source, precision, look)
            same, truth = (to_uint8(look(x, source)) for x in (source, truth))
            scores["model"].append(_score(fake, truth))
            if same.shape == truth.shape:
                scores["baseline"].append(_score(same, truth))
        results[direction] = {name: _mean(rows) for name, rows in scores.items() if rows}
    return results


def pair_problems(data: Dataset, limit: int) -> list[str]:
    """Return a sentence for each of the first `limit` test pairs that cannot be compared.

    Args:
        data: a data set whose test images form pairs.
        limit: pairs to look at.
    """
    problems = []
    for i in range(min(limit, data.test_count("a"), data.test_count("b"))):
        (ha, wa), (hb, wb) = (data.test_item(domain, i).shape[-2:] for domain in "ab")
        if (ha, wa) != (hb, wb) or min(ha, wa) < WINDOW:
            problems.append(
                f"The test pair {data.test_name('a', i)} is {wa}x{ha} in domain a and {wb}x{hb} in "
                f"b: the comparison needs equal sizes of at least {WINDOW}x{WINDOW}; change the "
                "images or data.preprocess, or set evaluation.test_images=0."
            )
    return problems


def _pairs(data: Dataset, direction: str, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    src, dst = direction
    for i in range(count):
        source, truth = data.test_item(src, i), data.test_item(dst, i)
        yield torch.from_numpy(source)[None], torch.from_numpy(truth)[None]


def _score(x: Tensor, y: Tensor) -> dict[str, float]:
    # A perfect image would make the mean PSNR infinite. The bound is the PSNR of one level in one
    # pixel of a megapixel, far above anything a network reaches.
    values = {name: metric(x, y).item() for name, metric in METRICS.items()}
    return values | {"psnr": min(values["psnr"], 108.0)}


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in METRICS}
