"""Rendering points of a model into files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from gantrain.inference import contact_sheet, latent_sources
from gantrain.inference.animation import Format, write_animation
from gantrain.inference.interpolation import interpolate
from gantrain.inference.latent_sources import LatentBatch
from gantrain.inference.model import Model, Noise
from gantrain.inference.style_mixing import mixes
from gantrain.ops.value_range import to_uint8
from gantrain.tracking.grids import save_png, to_image

SHEET = "grid.png"


class ImageWriter:
    """Renders into `folder`, at most `batch` pictures at a time.

    told: each file made -> what it shows.
    values: the points of the pictures, if `keep_values`.
    """

    def __init__(
        self, model: Model, folder: Path, noise: Noise, batch: int, *, keep_values: bool
    ) -> None:
        self.model, self.folder, self.batch = model, folder, batch
        self.noise: Noise = noise
        self.keep_values = keep_values
        self.told: dict[str, str] = {}
        self.values: list[Tensor] = []

    def pictures(self, portions: Iterable[LatentBatch], sheet: bool) -> None:
        """A file each, and a sheet of them, there beside the real pictures if they are of such."""
        cells: list[Image.Image] = []
        for points in portions:
            images = self._save(points)
            if points.inputs is not None:
                real = [to_image(pixels) for pixels in points.inputs.numpy()]
                images = [
                    contact_sheet.side_by_side(*pair) for pair in zip(real, images, strict=True)
                ]
            cells += images[: contact_sheet.max_images(images[0].size) - len(cells)]
        if sheet:
            count = len(self.told)
            more = f" (of {count})" if len(cells) < count else ""
            self.told[SHEET] = f"the first {len(cells)}{more} pictures" if more else "all pictures"
            save_png(self.folder / SHEET, contact_sheet.image_grid(cells))

    def mixing(
        self, rows: LatentBatch, columns: LatentBatch, layers: Sequence[int], sheet: bool
    ) -> None:
        """A file for each mix, and a table of them with the rows' and columns' own pictures."""
        mixed = mixes(rows, columns, layers, self.batch)
        cells = [picture for points in mixed for picture in self._save(points)]
        if not sheet:
            return
        width = len(columns.names)
        lines: list[list[Image.Image | None]] = [[None, *self._all(columns)]]
        for i, picture in enumerate(self._all(rows)):
            lines.append([picture, *cells[i * width : (i + 1) * width]])
        save_png(self.folder / SHEET, contact_sheet.table(lines))
        self.told[SHEET] = "rows, columns and their mixes"

    def video(self, keys: LatentBatch, steps: int, kind: Format, *, fps: float, loop: bool) -> None:
        """One file: a path through the keys, `steps` frames from one to the next."""
        if self.keep_values:
            self.values.append(keys.values)
        path = interpolate(keys, steps, self.batch, loop=loop)
        frames = (picture for points in path for picture in self._render(points))
        file = self.folder / f"video.{kind}"
        write_animation(file, frames, kind, fps=fps, loop=loop)
        self.told[file.name] = ", ".join(keys.told)

    def _save(self, points: LatentBatch) -> list[Image.Image]:
        """Render and write a file each."""
        images = self._render(points)
        for name, told, image in zip(points.names, points.told, images, strict=True):
            save_png(self.folder / f"{name}.png", image)
            self.told[f"{name}.png"] = told
        if self.keep_values:
            self.values.append(points.values)
        return images

    def _all(self, points: LatentBatch) -> list[Image.Image]:
        return [p for part in latent_sources.split(points, self.batch) for p in self._render(part)]

    def _render(self, points: LatentBatch) -> list[Image.Image]:
        images = self.model.render(points.values, self.noise, points.seeds)
        return [to_image(pixels) for pixels in to_uint8(images).cpu().numpy()]
