"""Names that every system takes."""

import pytest

from gantrain.io.names import name_fault


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a:b", "has the character ':'"), ("what?", "has the character '?'"),
        ("a\\b", r"has the character '\\'"), ("a/b", "has the character '/'"),
        ("a\tb", r"has the character '\t'"), ("end.", "ends with a dot"),
        ("end ", "ends with a space"), ("..", "is not a name"), ("", "is not a name"),
        ("CON", "is the name of a device on Windows"), ("aux.txt", "is the name of a device"),
        ("com1", "is the name of a device"), ("Lpt¹.tar.gz", "is the name of a device"),
        ("conout$", "is the name of a device"),
    ],
)  # fmt: skip
def test_refused(name: str, fault: str) -> None:
    assert (name_fault(name) or "").startswith(fault)


@pytest.mark.parametrize(
    "name", ["run", ".hidden", "größe→1", "two words", "console", "com10", "aux-1", "a.con", "nul_"]
)
def test_taken(name: str) -> None:
    assert name_fault(name) is None
