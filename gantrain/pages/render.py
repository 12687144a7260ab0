"""Fill the templates of HTML pages: one file each, which opens from disk and loads nothing."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """Return the page `templates/<template>` filled with `values`, which are escaped.

    Args:
        template: the name of the template.
        values: the values that it uses.

    Raises:
        jinja2.UndefinedError: the template uses a value that is missing.
    """
    return _environment().get_template(template).render(**values)


def data_url(kind: str, content: bytes) -> str:
    """Return a data URL of an image.

    Args:
        kind: "png", "webp" or "jpeg".
        content: the bytes of the image file.
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # 80 ms; few commands need it

    return Environment(
        loader=PackageLoader("gantrain.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
