"""The settings of `gantrain generate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from gantrain.config.annotations import accepts
from gantrain.config.check import AtLeastOne, Count
from gantrain.config.machine import device_problems, is_installed, run_problems
from gantrain.errors import ConfigError, format_value
from gantrain.inference.seeds import LARGEST_SEED, read_numbers
from gantrain.types import Range

Numbers = int | str | list[int | str]
DEFAULT_SEEDS = "0-31"
MOST_LAYERS = 99


@dataclass(frozen=True)
class StyleMixing:
    """A table of mixes. `columns` None: none; `rows` None: those of `images` or `w`; `layers` None:
    the lower half."""

    rows: Numbers | None
    columns: Numbers | None
    layers: Numbers | None


@dataclass(frozen=True)
class Interpolation:
    """A video. `frames` 0: none; `fps` in frames per second."""

    frames: Count
    fps: Annotated[float, Range(0, 240, open_low=True)]
    format: Literal["webp", "gif", "mp4"]
    loop: bool


@dataclass(frozen=True)
class GenerateConfig:
    """A checked config; `class_` is the key `class`. At most one of seeds, images and w is set."""

    run: str
    out: str | None
    seeds: Numbers | None
    class_: int | float | str | list[float] | list[str] | None
    truncation_psi: Annotated[float, Range(-2, 2)]
    truncation_cutoff: AtLeastOne | None
    images: str | None
    w: str | None
    style_mixing: StyleMixing
    interpolation: Interpolation
    noise: Literal["const", "random", "none"]
    grid: bool
    save_w: bool
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    @staticmethod
    def value_problems(plain: dict[str, Any]) -> Iterator[str]:
        """Yield a sentence for each list of seeds or layers that cannot be read."""
        mixing = plain.get("style_mixing")
        mixing = mixing if isinstance(mixing, dict) else {}
        yield from _number_problems("seeds", plain.get("seeds"), LARGEST_SEED)
        for key, largest in (
            ("rows", LARGEST_SEED),
            ("columns", LARGEST_SEED),
            ("layers", MOST_LAYERS),
        ):
            yield from _number_problems(f"style_mixing.{key}", mixing.get(key), largest)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with combinations, files, packages and the device."""
        yield from self._combinations()
        yield from self._surroundings()

    def _combinations(self) -> Iterator[str]:
        """Settings that exclude each other, or would do nothing."""
        video = self.interpolation.frames > 0
        rows, columns = self.style_mixing.rows, self.style_mixing.columns
        sources = [key for key in ("seeds", "images", "w") if getattr(self, key) is not None]
        given = [key for key in sources if key != "seeds"]
        if len(sources) > 1:
            yield (
                f"{' and '.join(sources)} are given: pictures come from one of them, leave one out."
            )
        if rows is not None and given:
            yield f"style_mixing.rows and {given[0]} are given: the rows come from one of them."
        if columns is None and rows is not None:
            yield (
                "style_mixing.rows needs style_mixing.columns, the seeds whose layers are mixed in."
            )
        if columns is not None and rows is None and not given:
            yield (
                "style_mixing.columns needs style_mixing.rows, the seeds of the rows (or "
                "images, w)."
            )
        if columns is not None and self.seeds is not None:
            yield (
                "seeds is given beside style_mixing: its rows and columns are seeds, leave "
                "seeds out."
            )
        if columns is not None and video:
            yield (
                "style_mixing and interpolation are given: make the table and the video one by one."
            )
        if given and columns is None:
            for key, value, idle in (
                ("class", self.class_, None),
                ("truncation_psi", self.truncation_psi, 1),
                ("truncation_cutoff", self.truncation_cutoff, None),
            ):
                if value != idle:
                    yield (
                        f"{key}={format_value(value)} acts on pictures made from seeds, and "
                        f"{given[0]} gives ready points w: leave {key} out."
                    )

    def _surroundings(self) -> Iterator[str]:
        """What the machine must have: files, an empty folder, a video encoder, the device."""
        out = Path(self.out) if self.out else None
        yield from run_problems(self.run)
        for key, path in (("images", self.images), ("w", self.w)):
            if path is not None and not Path(path).exists():
                yield f"{key}={path}: there is no such file{' or folder' * (key == 'images')}."
        if out and out.exists() and not (out.is_dir() and not any(out.iterdir())):
            yield (
                f"out={out} is there already and is not overwritten: give a new or an empty folder."
            )
        video = self.interpolation
        if video.frames and video.format == "mp4" and not is_installed("imageio_ffmpeg"):
            yield (
                "interpolation.format=mp4 needs a video encoder: pip install 'gantrain[video]', or "
                "take interpolation.format=webp."
            )
        yield from device_problems(self.device, self.precision)


def _number_problems(key: str, value: Any, largest: int) -> tuple[str, ...]:
    if not accepts(value, Numbers):  # None, or told of already
        return ()
    try:
        read_numbers(key, value, largest)
    except ConfigError as error:
        return error.problems
    return ()
