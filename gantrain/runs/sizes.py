"""Check that the images are large enough for the networks, before the first step."""

from collections.abc import Iterable

from gantrain.data.base import Dataset
from gantrain.data.folder import UnpairedFolder
from gantrain.data.transforms import Size, format_size
from gantrain.data.views import AnyFile
from gantrain.errors import ConfigError, agreed, counted
from gantrain.gans.base import GAN, networks_of

MAX_FILES = 10  # that a sentence names


def check_resolution(gan: GAN, data: Dataset) -> None:
    """Raise ConfigError if images of data.resolution are too small for the networks.

    Args:
        gan: the model.
        data: the data set, prepared or not.
    """
    least = _least_side(gan)
    if isinstance(data, UnpairedFolder) and not data.crops:
        return  # images keep sizes of their own, see `check_images`
    if min(data.resolution) < least:
        layers = _layers_for(gan, min(data.resolution))
        raise ConfigError(
            f"data.resolution={format_size(data.resolution)} is too small for these networks, "
            f"which need sides of at least {least}: use a data.resolution of at least {least}"
            f"{f', or model.d_layers={layers}' if layers else ''}."
        )


def check_images(gan: GAN, data: Dataset) -> None:
    """Raise ConfigError if single images are too small for the networks.

    Args:
        gan: the model.
        data: the data set, prepared.
    """
    if not isinstance(data, UnpairedFolder) or data.crops:
        return
    least = _least_side(gan)
    small = [(file, size) for file, size in data.image_sizes() if min(size) < least]
    if not small:
        return
    lines = [f"  {file} is {size[1]} x {size[0]} pixels" for file, size in _first(small)]
    lines += [f"  and {len(small) - MAX_FILES} more"] if len(small) > MAX_FILES else []
    layers = _layers_for(gan, min(min(size) for _, size in small))
    raise ConfigError(
        f"{counted(len(small), 'image')} {agreed(len(small))} too small for these networks, which "
        f"need sides of at least {least} after data.preprocess: remove them, use "
        f"data.preprocess=resize_and_crop{f', or model.d_layers={layers}' if layers else ''}:",
        *lines,
    )


def _first(small: Iterable[tuple[AnyFile, Size]]) -> list[tuple[AnyFile, Size]]:
    return sorted(small, key=lambda entry: min(entry[1]))[:MAX_FILES]


def _least_side(gan: GAN) -> int:
    return max(int(getattr(network, "least_side", 1)) for network in gan.networks().values())


def _layers_for(gan: GAN, side: int) -> int:
    """Return the layers of a PatchDiscriminator that suit a side; 0: there are none."""
    least = [int(getattr(net, "least_side", 1)) for net in networks_of(gan.G, "G").values()]
    return (side // 3).bit_length() - 1 if side >= max(6, *least) else 0
