"""The stores behind the protocols, through fsspec: list objects, and read ranges of one version."""

from __future__ import annotations

import importlib
import os
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from gantrain.io.remote.address import complete, is_web, protocol_of

CONNECT_SECONDS, READ_SECONDS = 15, 60  # of one request, without a byte
_OTHER_VERSION = ("PreconditionFailed", "412", "InvalidRange", "416")  # what S3 answers to that


@dataclass(frozen=True)
class Stamp:
    """What identifies the content of an object.

    Args:
        size: in bytes.
        version: the store's tag of the content, or the time of its last change.
    """

    size: int
    version: str


class Refusal(Exception):
    """A final answer, a phrase that follows the address: another attempt would not change it."""


class Changed(Exception):
    """The object is not the one that it was at the start."""


class Store(Protocol):
    """Objects of a protocol. Whatever goes wrong raises an error of any kind."""

    def pin(self, address: str) -> str:
        """Return the address of the present version of a file or folder, if it can be named."""
        ...

    def stamp(self, address: str) -> Stamp:
        """Return the size and version of an object."""
        ...

    def find(self, address: str) -> dict[str, Stamp]:
        """Return all objects below a folder, by their path in it."""
        ...

    def read(self, address: str, start: int, end: int, stamp: Stamp) -> bytes:
        """Return the bytes from `start` to `end` (exclusive).

        Raises:
            Changed: they would not be of the version of `stamp`.
        """
        ...


def store_of(address: str) -> Store:
    """Return the store of an address, opened by this process."""
    protocol = "https" if is_web(address) else protocol_of(address)
    with _lock:
        if protocol not in _stores:
            _stores[protocol] = _KINDS.get(protocol, FileSystemStore)(protocol)
        return _stores[protocol]


class FileSystemStore:
    """Any file system of fsspec. The version is asked for after every read.

    Args:
        protocol: such as "gs".
        options: of the file system.
    """

    def __init__(self, protocol: str, **options: Any) -> None:
        fsspec: Any = importlib.import_module("fsspec")
        # A listing that is kept would hide a change.
        options = {"skip_instance_cache": True, "use_listings_cache": False, **options}
        self.files = fsspec.filesystem(protocol, **options)

    def pin(self, address: str) -> str:
        """Return the address: there are no others."""
        return address

    def stamp(self, address: str) -> Stamp:
        """Return the size and version of an object."""
        info = self.files.info(address)
        if info.get("type") == "directory":
            raise FileNotFoundError(address)
        return _stamp(info)

    def find(self, address: str) -> dict[str, Stamp]:
        """Return all objects below a folder, by their path in it."""
        top = str(self.files._strip_protocol(address)).rstrip("/")  # how fsspec's users do it
        found = self.files.find(address, detail=True)
        return {
            name.removeprefix(top).lstrip("/"): _stamp(info)
            for name, info in found.items()
            if info.get("type") == "file" and not name.endswith("/")
        }

    def read(self, address: str, start: int, end: int, stamp: Stamp) -> bytes:
        """Return a range of bytes, see `Store`."""
        content = self.files.cat_file(address, start=start, end=end)
        if self.stamp(address) != stamp:  # it does not change back
            raise Changed
        return content


class S3Store(FileSystemStore):
    """Amazon S3 and what speaks its protocol: ranges are asked for on condition of the version."""

    def __init__(self, protocol: str) -> None:
        # Attempts are counted in one place, see `objects`.
        config = {"retries": {"total_max_attempts": 1}}
        config |= {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
        super().__init__(protocol, config_kwargs=config)
        self.files.retries = 1

    def read(self, address: str, start: int, end: int, stamp: Stamp) -> bytes:
        """Return a range of bytes, see `Store`."""
        asyn: Any = importlib.import_module("fsspec.asyn")
        bucket, key, _ = self.files.split_path(address)
        wanted = {"Range": f"bytes={start}-{end - 1}", "IfMatch": stamp.version}
        try:
            answer = self.files.call_s3("get_object", Bucket=bucket, Key=key, **wanted)
        except OSError as error:
            answer = getattr(error.__cause__, "response", None) or {}
            if answer.get("Error", {}).get("Code") in _OTHER_VERSION:
                raise Changed from error
            raise
        body = answer["Body"]
        try:
            total = answer.get("ContentRange", "").rpartition("/")[2]
            if answer.get("ETag") != stamp.version or total != str(stamp.size):
                raise Changed
            return asyn.sync(self.files.loop, body.read)
        finally:
            body.close()


class HubStore(FileSystemStore):
    """Repositories of the Hugging Face Hub. A commit is pinned, so that nothing can change."""

    def pin(self, address: str) -> str:
        """Return the address with the hash of the commit that its revision is now."""
        place = self.files.resolve_path(address)
        if not hasattr(place, "repo_id"):  # a bucket has no commits
            return address
        hub: Any = importlib.import_module("huggingface_hub")
        api = hub.HfApi(endpoint=self.files.endpoint, token=self.files.token)
        about = api.repo_info(place.repo_id, repo_type=place.repo_type, revision=place.revision)
        kind = "" if place.repo_type == "model" else f"{place.repo_type}s/"
        return f"hf://{kind}{place.repo_id}@{about.sha}/{place.path_in_repo}".rstrip("/")


class WebStore:
    """Files of web servers, which have no folders.

    Args:
        protocol: "https", which stands for both.
    """

    def __init__(self, protocol: str) -> None:
        fsspec: Any = importlib.import_module("fsspec")
        # Proxies and ~/.netrc
        options = {"client_kwargs": {"trust_env": True}, "skip_instance_cache": True}
        self.files = fsspec.filesystem(protocol, **options)
        self._asyn: Any = importlib.import_module("fsspec.asyn")
        self._aiohttp: Any = importlib.import_module("aiohttp")

    def pin(self, address: str) -> str:
        """Return the address: there are no others."""
        return address

    def stamp(self, address: str) -> Stamp:
        """Return the size and version of a file, from the answer to a request for its first byte.

        A signed address often allows nothing but such requests.
        """
        return self._asyn.sync(self.files.loop, self._request, address, 0, 1, None)[0]

    def find(self, address: str) -> dict[str, Stamp]:
        """Refuse to list a folder."""
        raise Refusal(
            "is of a web server, which does not list its files reliably: pack the images into a "
            ".zip there, and give its address"
        )

    def read(self, address: str, start: int, end: int, stamp: Stamp) -> bytes:
        """Return a range of bytes, see `Store`."""
        return self._asyn.sync(self.files.loop, self._request, address, start, end, stamp)[1]

    async def _request(
        self, address: str, start: int, end: int, stamp: Stamp | None
    ) -> tuple[Stamp, bytes]:
        """Return the stamp of a file and a range of its bytes; of another version, raise Changed.

        Args:
            address: of the file.
            start: first byte.
            end: after the last byte.
            stamp: of the version that is wanted; None: any.
        """
        session = await self.files.set_session()
        # No compression: ranges count bytes of the file itself.
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        timeout = self._aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
        )
        request = session.get(_quoted(complete(address)), headers=headers, timeout=timeout)
        async with request as answer:
            if answer.status in (412, 416) and stamp is not None:
                raise Changed
            answer.raise_for_status()
            if answer.status != 206:  # the body, perhaps terabytes, is left unread
                raise Refusal(
                    "cannot be read in parts, since its server ignores ranges (it answers "
                    f"{answer.status} instead of 206): use another server, or download the file"
                )
            found = _stamp_of_answer(answer.headers)
            if stamp is not None and found != stamp:
                raise Changed
            return found, await answer.read()


def _quoted(address: str) -> Any:
    yarl: Any = importlib.import_module("yarl")
    # A signature is over the text as it is.
    return yarl.URL(address, encoded="?" in address)


def _stamp_of_answer(headers: Any) -> Stamp:
    total = headers.get("Content-Range", "").rpartition("/")[2]
    version = headers.get("ETag") or headers.get("Last-Modified")
    if not total.isdecimal() or not version:
        lacking = "the size of the file" if version else "ETag or Last-Modified"
        raise Refusal(
            f"cannot be read safely, since its server does not send {lacking}, so that a change "
            "would go unnoticed: use another server, or download the file"
        )
    return Stamp(int(total), version)


def _stamp(info: dict[str, Any]) -> Stamp:
    """Return the stamp in what fsspec knows of an object, under names of each file system."""
    large = info.get("lfs") or {}
    version = large.get("sha256") if isinstance(large, dict) else getattr(large, "sha256", None)
    for name in ("ETag", "etag", "blob_id", "xet_hash", "mtime", "LastModified", "created"):
        version = version or info.get(name)
    if not version:
        raise Refusal("has neither a tag nor a time, so that a change would go unnoticed")
    if hasattr(version, "timestamp"):  # of a listing it may be a number already
        version = version.timestamp()
    return Stamp(int(info["size"]), str(version))


_KINDS: dict[str, Any] = {"https": WebStore, "s3": S3Store, "hf": HubStore}
_lock = threading.Lock()
_stores: dict[str, Store] = {}  # of this process
_inherited: list[object] = []  # of the parent: not closed, since the connections are its own


def _reset_after_fork() -> None:
    global _lock, _stores
    _inherited.append(_stores)
    _lock, _stores = threading.Lock(), {}


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_reset_after_fork)
