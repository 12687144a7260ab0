"""How the functions behind the page answer: errors as sentences, warnings as notes."""

from __future__ import annotations

import functools
import html
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from gantrain.engine import memory
from gantrain.errors import ConfigError

SECONDS = 20  # that a sentence stays


def in_sentences(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of the page raise what users can mend as sentences on the page."""

    @functools.wraps(function)
    def answer(*values: Any, **keys: Any) -> Any:
        try:
            return function(*values, **keys)
        except ConfigError as error:
            raise _on_the_page(error.problems) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _on_the_page([f"{where}{error.strerror or error}."]) from None
        except (RuntimeError, MemoryError) as error:
            if not memory.is_exhausted(error):
                raise
            text = f"Out of memory. {memory.shortage(error)} Try device=cpu, or a smaller picture."
            raise _on_the_page([text]) from None

    return answer


def warn(text: str) -> None:
    """Show a note."""
    gr.Warning(_shown(text), duration=SECONDS, title="Note")


def uploaded(path: str) -> Path:
    """Return the file of an upload.

    Raises:
        ConfigError: it is gone.
    """
    if not Path(path).is_file():
        raise ConfigError("This file is no longer here: drop it once more.")
    return Path(path)


def _on_the_page(problems: Any) -> gr.Error:
    text = "<br>".join(map(_shown, problems))
    return gr.Error(text, duration=SECONDS, title="This does not work", print_exception=False)


def _shown(sentence: str) -> str:
    """Return a sentence as HTML, which gradio renders: names of files come from strangers.

    Uploads are called as the user calls them, without the folder that they are in here.
    """
    home = re.escape(os.environ.get("GRADIO_TEMP_DIR", ""))
    return html.escape(re.sub(rf"{home}/(?:[^/\s]+/)+", "", sentence) if home else sentence)
