"""Models on the Hugging Face Hub: addresses, downloads into its cache, and uploads."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError
from gantrain.io import hub_folder

PREFIX = "hub:"
UNSAFE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")  # pickles: never fetched
INSTALL = "pip install 'gantrain[hub]'"
_NAME = r"[A-Za-z0-9](?:[\w.-]*\w)?"


@dataclass(frozen=True)
class Address:
    """Where a model is.

    Attributes:
        repository: owner/name.
        revision: branch, tag or commit; None: the default branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repository}{at}"


@dataclass(frozen=True)
class Upload:
    """What an upload has made.

    Attributes:
        address: with its commit.
        url: of the repository, for a browser.
    """

    address: Address
    url: str


def is_address(text: str | Path) -> bool:
    """Return whether a value of run= means a model on the hub, well written or not."""
    return str(text).startswith(PREFIX)


def is_repository(text: str) -> bool:
    """Return whether a text is OWNER/NAME as the hub allows it."""
    return bool(re.fullmatch(rf"{_NAME}/{_NAME}", text))


def is_revision(text: str) -> bool:
    """Return whether a text can be a branch, a tag or a commit."""
    return bool(re.fullmatch(r"\w[\w./-]*", text))


def parse(text: str | Path) -> Address:
    """Return an address as its parts.

    Args:
        text: hub:OWNER/NAME or hub:OWNER/NAME@REV.

    Raises:
        ConfigError: it is written in another way, or the package for it is missing.
    """
    if found := [*problems("run", text)]:
        raise ConfigError(*found)
    return _split(text)


def problems(key: str, text: str | Path) -> Iterator[str]:
    """Yield a sentence if an address cannot be read, or the package for it is missing.

    Args:
        key: the setting that holds it.
        text: such as "hub:owner/name@v1".
    """
    address = _split(text)
    has_at = "@" in str(text)
    fits = is_address(text) and is_repository(address.repository)
    if not fits or (has_at and not is_revision(address.revision or "")):
        yield (
            f"{key}={text} is no address on the hub: write hub:OWNER/NAME, or hub:OWNER/NAME@REV "
            "with a branch, a tag or a commit."
        )
    yield from missing_package(f"{key}={text}")


def missing_package(where: str) -> Iterator[str]:
    """Yield a sentence if the package for the hub is not installed.

    Args:
        where: what needs it.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        yield f"{where} needs a package that is not installed: {INSTALL}."


def _split(text: str | Path) -> Address:
    repository, _, revision = str(text).removeprefix(PREFIX).partition("@")
    return Address(repository, revision or None)


def fetch(address: Address) -> tuple[Address, Path]:
    """Download a model into the cache of huggingface_hub, unless it is there.

    config.json comes first: without one of gantrain's, the weights are not downloaded. No other
    file is. Without a connection, what the cache has is used.

    Returns:
        (the address with the commit, the folder).

    Raises:
        ConfigError: there is no such model, it is not for this user, or it cannot be reached.
    """
    with _explained(address, "run"):
        try:
            file = _download(address.repository, hub_folder.CONFIG, address.revision or "main")
            hub_folder.read_config(file)
            # The same commit, whatever has been pushed since.
            _download(address.repository, hub_folder.WEIGHTS, file.parent.name)
        except _missing_entry():
            raise ConfigError(_explain_missing(address)) from None
    return Address(address.repository, file.parent.name), file.parent


def _download(repository: str, name: str, revision: str) -> Path:
    """Return a file in the cache, which is newly downloaded if it has changed."""
    from huggingface_hub import hf_hub_download

    asked: dict[str, Any] = {"repo_id": repository, "filename": name, "revision": revision}
    try:
        return Path(hf_hub_download(library_name="gantrain", **asked))
    except Exception as error:  # the library itself goes on only if nobody answers at all
        if not _is_of_connection(error):
            raise
        return Path(hf_hub_download(local_files_only=True, **asked))


def forget(folder: Path) -> None:
    """Remove the weights of a folder in the cache, which is where its links lead."""
    link = folder / hub_folder.WEIGHTS
    link.resolve().unlink(missing_ok=True)
    link.unlink(missing_ok=True)


def _missing_entry() -> type[Exception]:
    """Return the error of a repository without the file."""
    from huggingface_hub import errors

    return errors.RemoteEntryNotFoundError


def _explain_missing(address: Address) -> str:
    """Return the sentence about a repository without one of the two files."""
    from huggingface_hub import HfApi

    names = HfApi().list_repo_files(address.repository, revision=address.revision)
    needed = f"{hub_folder.CONFIG} and {hub_folder.WEIGHTS}"
    if unsafe := [name for name in names if name.endswith(UNSAFE)]:
        return (
            f"{address} has no {needed} of gantrain. {unsafe[0][:80]} is a pickle, which could run "
            "code, and was not downloaded."
        )
    return f"{address} is no model of gantrain: it has no {needed}."


def check_access(to: Address, private: bool) -> str:
    """Check that a model can be uploaded, before anything is.

    Args:
        to: where to.
        private: whether nobody else may see it.

    Returns:
        Whose token it is.

    Raises:
        ConfigError: there is no token, it may not write there, or the repository is public and
            should be private.
    """
    from huggingface_hub import HfApi, errors

    api = HfApi(library_name="gantrain")
    with _explained(to, "to"):
        user = api.whoami()
        if why := _explain_refusal(to.repository.partition("/")[0], user):
            raise ConfigError(f"to={to.repository}: {why}")
        try:
            existing = api.model_info(to.repository)
        except errors.GatedRepoError:
            raise
        except errors.RepositoryNotFoundError:
            existing = None
        if private and existing is not None and not existing.private:
            raise ConfigError(
                f"to={to.repository} exists and is public, and private=true does not change that: "
                "make it private in its settings on the hub, or give another name."
            )
    return str(user.get("name"))


def _explain_refusal(owner: str, user: dict[str, Any]) -> str | None:
    """Return why a token may not write to what `owner` has, as far as the hub tells."""
    token = (user.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        return (
            f"the token {token.get('displayName') or ''!r} may only read: make one with write "
            "access at https://huggingface.co/settings/tokens, then hf auth login."
        )
    groups = {one.get("name"): one for one in user.get("orgs") or ()}
    if owner == user.get("name"):
        return None
    if owner not in groups:
        names = " or ".join([str(user.get("name")), *map(str, groups)])
        return f"you are {user.get('name')}, not a member of {owner}: write to={names}/NAME."
    if groups[owner].get("roleInOrg") == "read":
        return f"you may only read in {owner}: ask its admins for the right to write."
    return None


def upload(folder: Path, to: Address, private: bool) -> Upload:
    """Upload all files of a folder in one commit; the repository and the branch are made.

    Raises:
        ConfigError: the hub refuses it or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api, repository = HfApi(library_name="gantrain"), to.repository
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with _explained(to, "to"):
        url = api.create_repo(repository, private=private, exist_ok=True)
        if to.revision is not None:
            api.create_branch(repository, branch=to.revision, exist_ok=True)
        commit = api.create_commit(
            repository,
            [CommitOperationAdd(str(path.relative_to(folder)), path) for path in files],
            commit_message="Upload a model of gantrain",
            revision=to.revision,
        )
    return Upload(Address(repository, commit.oid), str(url))


@contextmanager
def _explained(address: Address, key: str) -> Iterator[None]:
    """Raise what huggingface_hub reports inside the block as a sentence.

    Args:
        address: of the model.
        key: "run" or "to".
    """
    from huggingface_hub import errors

    name, where = address.repository, f"{key}={address if key == 'run' else address.repository}"
    login = "log in with hf auth login, or set HF_TOKEN"
    try:
        yield
    except errors.LocalTokenNotFoundError:
        raise ConfigError(f"{where} needs a token: {login}.") from None
    except errors.GatedRepoError:
        raise ConfigError(
            f"{where} is gated: ask for access at https://huggingface.co/{name}, then {login}."
        ) from None
    except errors.RepositoryNotFoundError:
        raise ConfigError(
            f"{where}: there is no such model on the hub, or it is private: check the name, or "
            f"{login}."
        ) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(
            f"{where}: {name} has no such branch, tag or commit {address.revision!r}."
        ) from None
    except errors.HfHubHTTPError as error:
        raise ConfigError(f"{where}: {_of_status(error)}") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
        raise ConfigError(_UNREACHABLE.format(where=where)) from None
    except ConfigError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # of the cache, or of a broken answer
        reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise ConfigError(f"{where}: {reason}") from None
    except Exception as error:
        if not _is_of_connection(error):
            raise
        raise ConfigError(_UNREACHABLE.format(where=where)) from None


def _is_of_connection(error: Exception) -> bool:
    """Return whether an error is one of the HTTP package that huggingface_hub uses."""
    return type(error).__module__.partition(".")[0] in _HTTP


_LONGEST = 250  # letters of what others report
_HTTP = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "hf_xet")
_UNREACHABLE = (
    "{where}: the hub cannot be reached, and the cache does not have it: check the connection, and "
    "HF_ENDPOINT and HF_HUB_OFFLINE if they are set."
)


def _of_status(error: Any) -> str:
    """Return a sentence about an HTTP status without a class of its own."""
    status = error.response.status_code
    said = (getattr(error, "server_message", None) or "").strip().splitlines()
    reason = f" ({said[0][:_LONGEST]})" if said else ""
    if status == 401:
        return f"the hub does not know the token{reason}: log in again with hf auth login."
    if status == 403:
        return (
            f"the token may not do this{reason}: make one with write access at "
            "https://huggingface.co/settings/tokens, then hf auth login."
        )
    if status == 429:
        return f"too many requests{reason}: wait a few minutes, then repeat the command."
    return f"the hub answered with status {status}{reason}: repeat the command later."
