"""Addresses of remote objects: which ones there are, what they need, and how secrets stay out."""

from __future__ import annotations

import importlib.util
import os
from urllib.parse import urlsplit

from gantrain.errors import ConfigError

SIGNED = "GANTRAIN_SIGNED_URLS"  # complete addresses, separated by spaces
_WEB = ("http", "https")
_PACKAGES = {  # modules that a protocol needs, and what pip calls them
    "http": (("fsspec", "aiohttp"), "'gantrain[remote]'"),
    "https": (("fsspec", "aiohttp"), "'gantrain[remote]'"),
    "s3": (("fsspec", "s3fs"), "'gantrain[remote]'"),
    "hf": (("fsspec", "huggingface_hub"), "'gantrain[remote]'"),
    "gs": (("fsspec", "gcsfs"), "gcsfs"),
    "memory": (("fsspec",), "'gantrain[remote]'"),
}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for "
    "another server than Amazon's; FSSPEC_S3_ANON=true for a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS; FSSPEC_GS_TOKEN=anon for a public bucket",
    "hf": "HF_TOKEN",
    "http": f"~/.netrc, or {SIGNED} for a signed address, which may have expired",
    "https": f"~/.netrc, or {SIGNED} for a signed address, which may have expired",
    "memory": "none",
}


def is_address(text: str) -> bool:
    """Return whether a text is an address, such as s3://bucket/set.zip, and not a path."""
    return "://" in text


def meant_address(path: str) -> str:
    """Return "s3://b/x" of "s3:/b/x", as pathlib writes it; "": no address is meant."""
    protocol, colon, rest = path.partition(":/")
    return f"{protocol}://{rest}" if colon and protocol in _PACKAGES else ""


def protocol_of(address: str) -> str:
    """Return the protocol of an address, such as "s3"."""
    return address.partition("://")[0].lower()


def is_web(address: str) -> bool:
    """Return whether an address is of a web server, which does not list its files."""
    return protocol_of(address) in _WEB


def address_fault(setting: str, address: str) -> str:
    """Return what is wrong with an address as typed, a sentence without its secrets, or "".

    Nothing is read. The command line and the settings of a run are seen by others, so that
    passwords and signatures are taken from the environment only.

    Args:
        setting: the dotted key.
        address: its value.
    """
    protocol = protocol_of(address)
    if protocol not in _PACKAGES:
        known = ", ".join(f"{name}://" for name in _PACKAGES if name != "memory")
        return f"{setting}: {protocol}:// is no protocol that is read; these are: {known}."
    # Not parsed as an address of the web: a key may hold ? and #.
    place = address.partition("://")[2].partition("/")[0]
    if "@" in place or (is_web(address) and ("?" in address or "#" in address)):
        return (
            f"{setting}={bare(address)} was given with a password, a signature or another query, "
            f"which would be recorded: remove it here, and put the complete address into the "
            f"environment variable {SIGNED} (of https://); other stores take their credentials "
            f"from the environment ({_CREDENTIALS['s3']})."
        )
    if not place:
        return f"{setting}={address} names no bucket or server: write {protocol}://NAME/PATH."
    return ""


def require_packages(setting: str, address: str) -> None:
    """Check that what an address needs is installed.

    Raises:
        ConfigError: names the package and the command.
    """
    modules, package = _PACKAGES[protocol_of(address)]
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{setting}={address} needs {' and '.join(missing)}: pip install {package}."
        )


def bare(address: str) -> str:
    """Return an address without user, password, query and fragment."""
    protocol, _, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    if is_web(address):
        place, path = (part.partition("?")[0].partition("#")[0] for part in (place, path))
    return f"{protocol}://{place.rpartition('@')[2]}{slash}{path}"


def complete(address: str) -> str:
    """Return an address of the web as it is requested, with what the environment adds to it."""
    signed = os.environ.get(SIGNED, "").split()
    return next((one for one in signed if bare(one) == address), address)


def credentials(address: str) -> str:
    """Return where the credentials of an address come from, for sentences."""
    return _CREDENTIALS[protocol_of(address)]


def last_name(address: str) -> str:
    """Return the last part of the path, or the name of the bucket or server."""
    return urlsplit(address).netloc if address.count("/") < 3 else address.rpartition("/")[2]
