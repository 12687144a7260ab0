"""R3GAN's networks, apart from the golden numbers."""

import pytest

from gantrain.errors import ConfigError
from gantrain.networks.r3gan import Block


@pytest.mark.parametrize(
    ("group_width", "channels", "multiple"), [(16, 12, 8), (7, 20, 7), (6, 16, 3), (64, 48, 32)]
)
def test_widths_that_groups_do_not_divide(group_width: int, channels: int, multiple: int) -> None:
    with pytest.raises(ConfigError, match=f"that are multiples of {multiple}, or another"):
        Block(channels, group_width, 1.0)
    Block(3 * multiple, group_width, 1.0)
