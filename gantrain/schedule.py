"""Numbers that change while training, as pure functions of the images seen."""

from gantrain.types import Schedule


def value_at(schedule: Schedule, nimg: int) -> float:
    """The value of a number or of points [[kimg, value], ...] after `nimg` images.

    Linear between points, constant before the first and after the last.
    """
    if isinstance(schedule, int | float):
        return float(schedule)
    kimg = nimg / 1000
    left_kimg, left = schedule[0]
    if kimg <= left_kimg:
        return float(left)
    for right_kimg, right in schedule[1:]:
        if kimg < right_kimg:
            return left + (right - left) * (kimg - left_kimg) / (right_kimg - left_kimg)
        left_kimg, left = right_kimg, right
    return float(left)
