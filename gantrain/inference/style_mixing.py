"""Style mixing: one image's w in some layers of another's (Karras et al. 2019, section 3.1)."""

from collections.abc import Iterator, Sequence

from gantrain.inference.latent_sources import LatentBatch


def mix_styles(
    rows: LatentBatch, columns: LatentBatch, layers: Sequence[int], batch: int
) -> Iterator[LatentBatch]:
    """Yield every row's ws with some layers replaced by those of every column, row by row.

    Random noise is the row's.

    Args:
        rows: latents with w.
        columns: latents with w.
        layers: indices of the ws that come from the column.
        batch: latents per batch; a batch stays within a row.
    """
    column_layers = list(layers)
    for i, (name, description, seed) in enumerate(
        zip(rows.names, rows.descriptions, rows.seeds, strict=True)
    ):
        for start in range(0, len(columns.names), batch):
            part = slice(start, start + batch)
            values = columns.values[part].clone()
            row_layers = [layer for layer in range(values.shape[1]) if layer not in column_layers]
            values[:, row_layers] = rows.values[i, row_layers]
            yield LatentBatch(
                names=[f"{name}-{other}" for other in columns.names[part]],
                descriptions=[
                    f"{description}, layers of {other}" for other in columns.descriptions[part]
                ],
                values=values,
                seeds=[seed] * len(values),
            )
