"""Style mixing (Karras et al. 2019, section 3.1): one picture's w in some layers of another's."""

from collections.abc import Iterator, Sequence

from gantrain.inference.latent_sources import LatentBatch


def mixes(
    rows: LatentBatch, columns: LatentBatch, layers: Sequence[int], batch: int
) -> Iterator[LatentBatch]:
    """Each row's ws with `layers` taken from each column's, row by row.

    Portions of at most `batch`; a portion stays within a row. Random noise is the row's.
    """
    chosen = list(layers)
    for i, (name, told, seed) in enumerate(zip(rows.names, rows.told, rows.seeds, strict=True)):
        for start in range(0, len(columns.names), batch):
            part = slice(start, start + batch)
            values = columns.values[part].clone()
            kept = [layer for layer in range(values.shape[1]) if layer not in chosen]
            values[:, kept] = rows.values[i, kept]
            yield LatentBatch(
                [f"{name}-{other}" for other in columns.names[part]],
                [f"{told}, layers of {other}" for other in columns.told[part]],
                values,
                [seed] * len(values),
            )
