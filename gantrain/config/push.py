"""The settings of `gantrain push`, and what is checked of everything that is published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gantrain.config.machine import run_problems
from gantrain.io import hub

_LICENSE = r"[a-z0-9][a-z0-9.+-]*"


@dataclass(frozen=True)
class PushConfig:
    """The checked config of push: a model, and where on the hub it goes.

    Attributes:
        to: owner/name.
        private: whether nobody else may see it; of a new repository.
        revision: a branch, made if it is missing; None: the default one.
        license: identifier for the card, such as "mit"; None: not stated.
        pictures: on the card; None: of generators, whose pictures show no input.
        data_root: where the data set is now, for `pictures` of translators.
    """

    run: str
    to: str
    private: bool
    revision: str | None
    license: str | None
    pictures: bool | None
    data_root: str | None

    @property
    def address(self) -> hub.Address:
        """Where it goes."""
        return hub.Address(self.to, self.revision)

    def problems(self) -> Iterator[str]:
        """Yield the problems with the run, the address and the card."""
        yield from run_problems(self.run)
        if not hub.is_repository(self.to):
            yield f"to={self.to} is no name on the hub: write to=OWNER/NAME."
        if self.revision is not None and not hub.is_revision(self.revision):
            yield f"revision={self.revision} is no name of a branch: write it like v1 or half-way."
        yield from hub.missing_package(f"to={self.to}")
        yield from publishing_problems(self.license, self.pictures, self.data_root)


def publishing_problems(
    license: str | None, pictures: bool | None, data_root: str | None
) -> Iterator[str]:
    """Yield the problems with what a model's card shows.

    Args:
        license: see `PushConfig`.
        pictures: see `PushConfig`.
        data_root: see `PushConfig`.
    """
    if license is not None and not re.fullmatch(_LICENSE, license):
        lower = license.lower()
        hint = f" Did you mean license={lower}?" if re.fullmatch(_LICENSE, lower) else ""
        yield (
            f"license={license} is no identifier of the hub, such as mit, apache-2.0 or cc-by-4.0: "
            f"https://huggingface.co/docs/hub/repositories-licenses lists them.{hint}"
        )
    if data_root is not None and not pictures:
        yield "data_root is for pictures=true: remove it, or add pictures=true."
