"""What is known of the pixels of inputs and results before images are translated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np

from gantrain.data.bit_depth import Depth, ImageFault
from gantrain.data.decode import (
    colour_profile,
    geotags,
    has_geotags,
    holds_bands,
    holds_numbers,
    may_hold_floats,
)
from gantrain.data.encode import Extras, kind_of, profile_fits, storage_fault
from gantrain.data.tiff import is_tiff_name
from gantrain.data.views import AnyFile, Formats
from gantrain.errors import counted
from gantrain.inference.image_io import RunPixels
from gantrain.inference.inputs import TranslationTask


@dataclass(frozen=True)
class TranslationJob:
    """What is known of the pixels of inputs and results.

    Attributes:
        source: of the domain of the inputs.
        target: of the domain of the results.
        channels: of the network's input.
        result_channels: of its output; None: unknown.
        formats: how inputs are read.
        depth: of the results, as typed.
        format: of the results, as typed.
        new_colors: whether results have the lightness of their inputs, and other colours.
        unused_colors: inputs in colour, if so; a list to which the command appends.
    """

    source: RunPixels
    target: RunPixels
    channels: int
    result_channels: int | None
    formats: Formats
    depth: Depth | None
    format: str
    new_colors: bool = False
    unused_colors: list[AnyFile] = field(default_factory=list)

    def suffix(self, file: AnyFile) -> str:
        """Return the suffix of an image's result."""
        if self.format != "png":
            return {"tiff": ".tiff", "npy": ".npy"}[self.format]
        holds_deep = may_hold_floats if self.target.ranged else holds_numbers
        is_deep = self.depth == "float" or (
            self.depth is None and (self.target.is_float or holds_deep(file))
        )
        is_signed = self.target.has_units and self.target.value_range[0] < 0
        channels = self.result_channels or 3
        is_bands = channels > 4 or (channels in (2, 4) and not self.result_has_alpha(file))
        return ".tiff" if is_deep or is_signed or is_bands else ".png"

    def storage_fault(self, task: TranslationTask) -> str:
        """Return why a result cannot be stored, as far as this is known before it is made, or "".

        A result has at least the depth of the run, or the one typed.
        """
        try:
            kind = kind_of(PurePath(task.name).suffix)
            dtype = self.target.result_dtype(np.dtype(np.uint8), self.depth)
        except ImageFault as fault:
            return str(fault)
        channels = self.result_channels or 3
        alpha = self.result_has_alpha(task.source)
        return storage_fault(kind, dtype, channels, alpha)

    def result_has_alpha(self, file: AnyFile) -> bool:
        """Return whether the last channel of an image's result is alpha.

        Of a network whose images are unknown, two and four channels are taken for grey and colour
        with alpha, unless its input has other bands.
        """
        if self.target.alpha is not None:
            return self.target.alpha
        return self.result_channels in (2, 4) and not holds_bands(file)

    def keeps_profile(self, file: AnyFile, profile: bytes) -> bool:
        """Return whether the colours of an image's result are of the kind that a profile is for."""
        if self.format == "npy":
            return False
        return profile_fits(profile, (self.result_channels or 3) - self.result_has_alpha(file))

    def extras(self, file: AnyFile) -> Extras:
        """Return what is kept of an input's file besides its pixels."""
        profile = colour_profile(file)
        is_kept = profile is not None and self.keeps_profile(file, profile)
        return Extras(profile if is_kept else None, geotags(file))

    def losses(self, done: Sequence[TranslationTask]) -> Iterator[str]:
        """Yield sentences about what results lack of their inputs' files besides the pixels."""
        tasks = [task for task in done if not is_tiff_name(task.name) and has_geotags(task.source)]
        if tasks:
            yield (
                f"the results of {counted(len(tasks), 'GeoTIFF')}, such as {tasks[0].source}, have "
                "no geographic tags: format=tiff and format=same keep them."
            )
        profiles = ((task.source, colour_profile(task.source)) for task in done)
        lost = [file for file, one in profiles if one and not self.keeps_profile(file, one)]
        if lost:
            yield (
                f"the results of {counted(len(lost), 'image')}, such as {lost[0]}, have no colour "
                "profile."
            )
