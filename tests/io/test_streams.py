"""Streams whose encoding lacks characters."""

import io

from gantrain.io.streams import escape_unprintable


def test_what_the_encoding_lacks_is_escaped() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, "cp1252", write_through=True)
    escape_unprintable(stream)
    stream.write("größe → 1")
    assert written.getvalue() == b"gr\xf6\xdfe \\u2192 1"


def test_a_choice_of_the_user_is_kept() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "cp1252", errors="replace")
    escape_unprintable(stream)
    assert stream.errors == "replace"


def test_what_is_not_of_a_file_is_left_alone() -> None:
    escape_unprintable(io.StringIO())
