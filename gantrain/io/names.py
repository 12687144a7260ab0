"""Names and paths of files that mean the same on every system, so that runs can be moved."""

import re
from pathlib import Path

# Windows reserves them with any suffix and in either case.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.I | re.S)
_FORBIDDEN = re.compile(r'[<>:"|?*\\/\x00-\x1f]')


def local_path(text: str) -> Path:
    r"""Return the path that a setting names; "~" is expanded.

    One that was typed on Windows, such as photos\cats in the settings of a run that has moved,
    leads to photos/cats where that is there.
    """
    path = Path(text).expanduser()
    if "\\" in text and not path.exists():
        other = Path(text.replace("\\", "/")).expanduser()
        return other if other.exists() else path
    return path


def name_fault(name: str) -> str | None:
    """Return why `name` cannot name a file or folder on every system, or None if it can.

    The reason goes on a sentence about the name, such as "has the character '?'".
    """
    if not name or name in (".", ".."):
        return "is not a name"
    if found := _FORBIDDEN.search(name):
        return f"has the character {found[0]!r}"
    if name[-1] in ". ":
        return f"ends with {'a dot' if name[-1] == '.' else 'a space'}"
    if _RESERVED.fullmatch(name):
        return "is the name of a device on Windows"
    return None
