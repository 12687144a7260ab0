"""What every kind of archive answers about its members."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any


class Members(ABC):
    """The files in an archive or below a remote folder, by their paths with forward slashes."""

    @property
    @abstractmethod
    def is_remote(self) -> bool:
        """Whether they come over a network."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was left out."""
        return ()

    @abstractmethod
    def names_below(self, prefix: str) -> Iterable[str]:
        """Return the paths below a folder, sorted as in a folder, without hidden ones.

        Args:
            prefix: the folder with a slash at its end, or "": names are relative to it.

        Raises:
            ConfigError: they cannot be listed.
        """

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Return whether there is a member of this name."""

    @abstractmethod
    def title(self, name: str) -> str:
        """Return a member as text, such as "photos.zip!/cats/1.png"."""

    @abstractmethod
    def member_identity(self, name: str) -> list[object]:
        """Return plain values that change with a member's content."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the unpacked size of a member in bytes."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a member.

        Raises:
            OSError: it cannot be read, or has changed.
            ConfigError: it is remote, and has changed or cannot be reached.
        """

    def sample_labels(self, names: Sequence[str], prefix: str, complete: bool) -> list[Any]:
        """Return the labels that the archive has beside images.

        Args:
            names: paths of images below `prefix`.
            prefix: see `names_below`.
            complete: whether all images must have one, if one has.

        Returns:
            One value per image, None without a label; []: no image has one.

        Raises:
            ConfigError: some images have none, or it cannot be read.
        """
        return []
