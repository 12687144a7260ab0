"""Fill the templates of HTML pages: one file each, which opens from disk and loads nothing."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """Return the page `templates/<template>` filled with `values`, which are escaped.

    Raises:
        jinja2.UndefinedError: the template uses a value that is not given.
    """
    return _environment().get_template(template).render(**values)


def data_url(kind: str, content: bytes) -> str:
    """Return the bytes of an image file ("png", "webp" or "jpeg") as a URL that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # 80 ms that few commands need

    return Environment(
        loader=PackageLoader("gantrain.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
