"""Render latents into image files, contact sheets and videos."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from gantrain.data.encode import missing_package
from gantrain.inference import contact_sheet, image_io, latent_sources
from gantrain.inference.animation import Format, write_animation
from gantrain.inference.image_io import RunPixels, run_pixels
from gantrain.inference.interpolation import interpolate
from gantrain.inference.latent_sources import LatentBatch
from gantrain.inference.model import Model, Noise
from gantrain.inference.style_mixing import mix_styles
from gantrain.ops.value_range import to_uint8
from gantrain.tracking.grids import save_png, shown_bands, to_image

SHEET = "grid.png"


def explain_missing_package(model: Model) -> list[str]:
    """Return a sentence if a package is missing to write the images of a model, else none."""
    _, dtype, suffix = _kind_of_files(model)
    channels = getattr(model.generator, "channels", 3)
    fault = missing_package("TIFF" if suffix == ".tiff" else "PNG", dtype, channels)
    return [f"Each image of {model.file} {fault}."] if fault else []


def _kind_of_files(model: Model) -> tuple[RunPixels, np.dtype, str]:
    """Return the pixels of the run, and the dtype and the suffix of its images."""
    pixels = run_pixels(model.meta.get("data", {}))
    channels = getattr(model.networks.get("G"), "channels", 3)
    dtype = pixels.result_dtype(np.dtype(np.uint8))
    is_bands = channels > 4 or (channels in (2, 4) and pixels.alpha is False)
    suffix = ".tiff" if is_bands or dtype.name not in ("uint8", "uint16") else ".png"
    return pixels, dtype, suffix


class ImageWriter:
    """Renders latents into a folder.

    Images have the bit depth of the run (PNG, of floats TIFF), sheets and videos have 8 bits.

    Attributes:
        descriptions: what each written file shows, by name.
        values: latents of the images, if `keep_values`.

    Args:
        model: a model with latents.
        folder: where files are written.
        noise: see `Model.sample`.
        batch: images rendered at once.
        keep_values: whether to collect the latents.
        transform: of the canvas, see `Model.synthesis`.
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        noise: Noise,
        batch: int,
        *,
        keep_values: bool,
        transform: Tensor | None = None,
    ) -> None:
        self.model, self.folder, self.batch = model, folder, batch
        self.noise: Noise = noise
        self.keep_values, self.transform = keep_values, transform
        self.pixels, self.dtype, self.suffix = _kind_of_files(model)
        self.descriptions: dict[str, str] = {}
        self.values: list[Tensor] = []

    def write_images(
        self, batches: Iterable[LatentBatch], sheet: bool, columns: int | None = None
    ) -> None:
        """Write a file for each image, and a contact sheet.

        Args:
            batches: the latents.
            sheet: whether to write the sheet; encoded images are shown beside their inputs.
            columns: of the sheet; None: as many as make it nearly square.
        """
        cells: list[Image.Image] = []
        captions: list[str] = []
        for latents in batches:
            images = self._save(latents)
            if latents.inputs is not None:
                inputs = [to_image(pixels) for pixels in latents.inputs.numpy()]
                images = [
                    contact_sheet.side_by_side(*pair) for pair in zip(inputs, images, strict=True)
                ]
            cells += images[: contact_sheet.max_images(images[0].size) - len(cells)]
            captions += latents.descriptions
        if sheet:
            count = len(self.descriptions)
            is_partial = len(cells) < count
            self.descriptions[SHEET] = (
                f"the first {len(cells)} (of {count}) images" if is_partial else "all images"
            )
            grid = contact_sheet.image_grid(cells, captions[: len(cells)], columns)
            save_png(self.folder / SHEET, grid)

    def write_style_mixing(
        self,
        rows: LatentBatch,
        columns: LatentBatch,
        layers: Sequence[int],
        sheet: bool,
        edit: Callable[[Iterator[LatentBatch]], Iterator[LatentBatch]],
    ) -> None:
        """Write a file for each mix, and a table of rows, columns and mixes.

        Args:
            rows: latents with w.
            columns: latents with w.
            layers: indices of the ws that come from the column.
            sheet: whether to write the table.
            edit: moves the mixes; the rows and columns stay as they are.
        """
        mixed = edit(mix_styles(rows, columns, layers, self.batch))
        cells = [image for latents in mixed for image in self._save(latents)]
        if not sheet:
            return
        width = len(columns.names)
        table: list[list[Image.Image | None]] = [[None, *self._render_all(columns)]]
        for i, image in enumerate(self._render_all(rows)):
            table.append([image, *cells[i * width : (i + 1) * width]])
        save_png(self.folder / SHEET, contact_sheet.image_table(table))
        self.descriptions[SHEET] = "rows, columns and their mixes"

    def write_video(
        self, keys: LatentBatch, steps: int, kind: Format, *, fps: float, loop: bool
    ) -> None:
        """Write a video of a path through latents.

        Args:
            keys: latents that the path passes through.
            steps: frames from one key to the next.
            kind: format of the file.
            fps: frames per second.
            loop: whether the path returns to the first key and the video repeats.
        """
        if self.keep_values:
            self.values.append(keys.values)
        path = interpolate(keys, steps, self.batch, loop=loop)
        frames = (image for latents in path for image in self._render(latents))
        file = self.folder / f"video.{kind}"
        write_animation(file, frames, kind, fps=fps, loop=loop)
        self.descriptions[file.name] = ", ".join(keys.descriptions)

    def write_motions(
        self,
        batches: Iterable[LatentBatch],
        transforms: Tensor,
        kind: Format,
        *,
        fps: float,
        loop: bool,
    ) -> None:
        """Write a video of each image, whose canvas moves.

        Args:
            batches: the latents.
            transforms: of each frame, [F, 3, 3].
            kind: format of the files.
            fps: frames per second.
            loop: whether the videos repeat.
        """
        for latents in batches:
            if self.keep_values:
                self.values.append(latents.values)
            for part in latent_sources.split(latents, 1):
                frames = (
                    image
                    for moved in transforms.split(self.batch)
                    for image in self._move(part, moved)
                )
                file = self.folder / f"{part.names[0]}.{kind}"
                write_animation(file, frames, kind, fps=fps, loop=loop)
                self.descriptions[file.name] = part.descriptions[0]

    def write_films(
        self, films: Iterable[LatentBatch], kind: Format, *, fps: float, loop: bool
    ) -> None:
        """Write a video of each sequence of latents.

        Args:
            films: frames of one video each; its name and description are those of the first frame.
            kind: format of the files.
            fps: frames per second.
            loop: whether the videos repeat.
        """
        for film in films:
            if self.keep_values:
                self.values.append(film.values)
            parts = latent_sources.split(film, self.batch)
            frames = (image for part in parts for image in self._render(part))
            file = self.folder / f"{film.names[0]}.{kind}"
            write_animation(file, frames, kind, fps=fps, loop=loop)
            self.descriptions[file.name] = film.descriptions[0]

    def _move(self, latents: LatentBatch, transforms: Tensor) -> list[Image.Image]:
        """Render one image under each of the transforms."""
        count = len(transforms)
        values, seeds = latents.values.expand(count, -1, -1), latents.seeds * count
        images = self.model.synthesize(values, self.noise, seeds, transforms)
        return [to_image(pixels) for pixels in self._shown(images)]

    def _save(self, latents: LatentBatch) -> list[Image.Image]:
        """Render latents, write a file for each image, and return the images."""
        floats = self._synthesize(latents).cpu()
        for name, text, x in zip(latents.names, latents.descriptions, floats, strict=True):
            file = f"{name}{self.suffix}"
            alpha = len(x) in (2, 4) and self.pixels.alpha is not False
            image_io.write(self.folder / file, x, self.dtype, self.pixels, alpha)
            self.descriptions[file] = text
        if self.keep_values:
            self.values.append(latents.values)
        return [to_image(pixels) for pixels in self._shown(floats)]

    def _render_all(self, latents: LatentBatch) -> list[Image.Image]:
        batches = latent_sources.split(latents, self.batch)
        return [image for part in batches for image in self._render(part)]

    def _render(self, latents: LatentBatch) -> list[Image.Image]:
        images = self._synthesize(latents)
        return [to_image(pixels) for pixels in self._shown(images)]

    def _shown(self, images: Tensor) -> np.ndarray:
        """Return images as they are seen, uint8 [N, C, H, W] with 1 to 4 channels."""
        show = self.model.meta.get("data", {}).get("show")
        is_alpha = self.pixels.alpha is not False
        return shown_bands(to_uint8(images), show, is_alpha).cpu().numpy()

    def _synthesize(self, latents: LatentBatch) -> Tensor:
        return self.model.synthesize(latents.values, self.noise, latents.seeds, self.transform)
