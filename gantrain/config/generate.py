"""The settings of `gantrain generate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from gantrain.config.annotations import accepts
from gantrain.config.editing import Edit, strength_problems
from gantrain.config.machine import device_problems, is_installed, run_problems
from gantrain.errors import ConfigError, format_value
from gantrain.inference.seeds import LARGEST_SEED, read_numbers
from gantrain.types import AtLeastOne, Count, Range

Numbers = int | str | list[int | str]
DEFAULT_SEEDS = "0-31"
MOST_LAYERS = 99


@dataclass(frozen=True)
class StyleMixing:
    """A table of style mixes.

    Attributes:
        rows: seeds of the rows; None: the rows come from `images` or `w`.
        columns: seeds whose layers are mixed in; None: no table.
        layers: the layers to mix in; None: the coarser half.
    """

    rows: Numbers | None
    columns: Numbers | None
    layers: Numbers | None


@dataclass(frozen=True)
class Interpolation:
    """An interpolation video: `frames` between two points (0: no video) at `fps` per second."""

    frames: Count
    fps: Annotated[float, Range(0, 240, open_low=True)]
    format: Literal["webp", "gif", "mp4"]
    loop: bool


# Far enough for any picture; further out, float32 no longer resolves the phases of the waves.
_FARTHEST, _MOST_TURNS = 1000, 1000


@dataclass(frozen=True)
class Transform:
    """How the canvas is moved: turned, then shifted.

    Attributes:
        translate: (x, y) to the right and down, in units of the image.
        rotate: degrees, counterclockwise.
        frames: frames of a video of the motion of each image; 0: no video.
        anchor: whether all images have the pose of the mean image.
    """

    translate: list[Annotated[float, Range(-_FARTHEST, _FARTHEST)]]
    rotate: Annotated[float, Range(-360 * _MOST_TURNS, 360 * _MOST_TURNS)]
    frames: Count
    anchor: bool

    def settings(self) -> list[str]:
        """Return the names of those that are not the defaults."""
        values = {
            "translate": any(self.translate),
            "rotate": self.rotate != 0,
            "frames": self.frames > 0,
            "anchor": self.anchor,
        }
        return [f"transform.{key}" for key, is_set in values.items() if is_set]


@dataclass(frozen=True)
class GenerateConfig:
    """The checked config; `class_` is the key `class`. At most one of seeds, images, w is set."""

    run: str
    out: str | None
    seeds: Numbers | None
    class_: int | float | str | list[float] | list[str] | None
    truncation_psi: Annotated[float, Range(-2, 2)]
    truncation_cutoff: AtLeastOne | None
    truncation_center: Literal["global", "class"]
    images: str | None
    w: str | None
    style_mixing: StyleMixing
    interpolation: Interpolation
    transform: Transform
    edit: Edit
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
        yield from number_problems("seeds", plain.get("seeds"), LARGEST_SEED)
        for key, largest in (
            ("rows", LARGEST_SEED),
            ("columns", LARGEST_SEED),
            ("layers", MOST_LAYERS),
        ):
            yield from number_problems(f"style_mixing.{key}", mixing.get(key), largest)
        edit = plain.get("edit")
        if isinstance(edit, dict):
            yield from number_problems("edit.layers", edit.get("layers"), MOST_LAYERS)
            yield from strength_problems(edit.get("strength"))

    def problems(self) -> Iterator[str]:
        """Yield the problems with combinations, files, packages and the device."""
        yield from self._combination_problems()
        yield from self._machine_problems()

    def _combination_problems(self) -> Iterator[str]:
        """Check for settings that exclude each other or have no effect."""
        video = self.interpolation.frames > 0
        rows, columns = self.style_mixing.rows, self.style_mixing.columns
        sources = [key for key in ("seeds", "images", "w") if getattr(self, key) is not None]
        w_sources = [key for key in sources if key != "seeds"]
        if len(sources) > 1:
            yield (
                f"{' and '.join(sources)} exclude each other, because images are made from one of "
                "them: remove the others."
            )
        if rows is not None and w_sources:
            yield (
                f"style_mixing.rows and {w_sources[0]} exclude each other, because the rows come "
                "from one of them: remove the other."
            )
        if columns is None and rows is not None:
            yield (
                "style_mixing.rows needs style_mixing.columns, the seeds whose layers are mixed in."
            )
        if columns is not None and rows is None and not w_sources:
            yield (
                "style_mixing.columns needs style_mixing.rows, the seeds of the rows (or "
                "images, w)."
            )
        if columns is not None and self.seeds is not None:
            yield (
                "seeds has no effect with style_mixing, whose rows and columns are seeds: "
                "remove seeds."
            )
        if columns is not None and video:
            yield (
                "style_mixing and interpolation exclude each other: make the table and the video "
                "in two commands."
            )
        yield from self._transform_problems()
        yield from self._edit_problems()
        if self.truncation_center == "class" and self.truncation_psi == 1:
            yield (
                "truncation_center=class has no effect with truncation_psi=1, which truncates "
                "nothing: remove truncation_center, or, for a generator with w such as StyleGAN's, "
                "add truncation_psi=0.7."
            )
        if w_sources and columns is None:
            for key, value, default in (
                ("class", self.class_, None),
                ("truncation_psi", self.truncation_psi, 1),
                ("truncation_cutoff", self.truncation_cutoff, None),
                ("truncation_center", self.truncation_center, "global"),
            ):
                if value != default:
                    yield (
                        f"{key}={format_value(value)} applies to images made from seeds, but "
                        f"{w_sources[0]} gives latents w directly: remove {key}."
                    )

    def _transform_problems(self) -> Iterator[str]:
        """Check the settings of the canvas."""
        transform = self.transform
        if len(transform.translate) != 2:
            yield (
                f"transform.translate={format_value(transform.translate)} must be [x,y], to the "
                "right and down in units of the image, such as [0.1,0]."
            )
        if not transform.frames:
            return
        if not (any(transform.translate) or transform.rotate):
            yield (
                "transform.frames makes a video of a motion, and there is none: add "
                "transform.rotate=360 or transform.translate=[0.2,0]."
            )
        for key, is_set in (
            ("interpolation", self.interpolation.frames > 0),
            ("style_mixing", self.style_mixing.columns is not None),
        ):
            if is_set:
                yield (
                    f"transform.frames and {key} exclude each other: make the video of the motion "
                    "in a command of its own."
                )

    def _edit_problems(self) -> Iterator[str]:
        """Check the settings of edits."""
        edit = self.edit
        yield from edit.problems()
        for key, is_set in (
            ("interpolation.frames", self.interpolation.frames > 0),
            ("transform.frames", self.transform.frames > 0),
            ("style_mixing", self.style_mixing.columns is not None),
        ):
            if is_set and (edit.images or edit.frames):
                yield (
                    f"A range of edit.strength and {key} exclude each other: give one strength, or "
                    f"leave {key} out."
                )

    def _machine_problems(self) -> Iterator[str]:
        """Check the files, the output folder, the video encoder and the device."""
        out = Path(self.out) if self.out else None
        yield from run_problems(self.run)
        for key, path in (("images", self.images), ("w", self.w)):
            if path is not None and not Path(path).exists():
                yield f"{key}={path}: there is no such file{' or folder' * (key == 'images')}."
        if out and out.exists() and not (out.is_dir() and not any(out.iterdir())):
            yield (
                f"out={out} already exists and is not overwritten: name a new or an empty folder."
            )
        video = self.interpolation
        has_video = video.frames > 0 or self.transform.frames > 0 or self.edit.frames > 0
        if has_video and video.format == "mp4" and not is_installed("av"):
            yield (
                "interpolation.format=mp4 needs a video encoder: pip install 'gantrain[video]', or "
                "use interpolation.format=webp."
            )
        yield from device_problems(self.device, self.precision)


def number_problems(key: str, value: Any, largest: int) -> tuple[str, ...]:
    """Return a sentence if a value is no list of numbers from 0 to `largest`, else none."""
    if not accepts(value, Numbers):  # None, or already reported by the annotation check
        return ()
    try:
        read_numbers(key, value, largest)
    except ConfigError as error:
        return error.problems
    return ()
