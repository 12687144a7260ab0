"""Generators between two domains are named after their direction: "ab" from a to b, "ba" back."""

from collections.abc import Iterable

DIRECTIONS = ("ab", "ba")  # a GAN has one of them or both


def directions_of(networks: Iterable[str]) -> list[str]:
    """Return the directions of generators between two domains; [] if they are none.

    Args:
        networks: names of generators, as in a snapshot.
    """
    names = set(networks)
    return [name for name in DIRECTIONS if name in names] if names <= {*DIRECTIONS} else []
