"""When things happen: by crossing multiples of an interval, whatever the batch size."""


def crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` images (0: never) lies in (before, after]."""
    return every > 0 and after // every > before // every
