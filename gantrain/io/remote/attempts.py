"""Requests that are repeated while they fail in passing, and what is said about the others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from gantrain.errors import ConfigError, hide_secrets
from gantrain.io.remote.address import credentials
from gantrain.io.remote.stores import Changed, Refusal

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before further attempts
AT_START = 4  # of them: somebody is waiting, and nothing is lost
_T = TypeVar("_T")
_given_up = threading.Event()  # by those that waited before it was replaced


def _reset_after_fork() -> None:
    global _given_up
    _given_up = threading.Event()


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_reset_after_fork)


def stop_waiting() -> None:
    """Let threads that wait for another attempt give up: their results are no longer wanted."""
    global _given_up
    _given_up.set()
    _given_up = threading.Event()


def attempt(address: str, action: Callable[[], _T], pauses: int | None = None) -> _T:
    """Return what an action returns, after further attempts if it fails in passing.

    Args:
        address: for sentences.
        action: a request.
        pauses: how many further attempts; None: all.

    Raises:
        ConfigError: says which object, what happened, and what to do.
    """
    begin, given_up, waits = time.monotonic(), _given_up, PAUSES[:pauses]
    for pause in (*waits, None):
        try:
            return action()
        except Exception as error:  # libraries raise almost anything
            if sentence := _final(address, error):
                raise ConfigError(sentence) from None  # its text may hold a signature
            if pause is None or given_up.wait(pause):
                seconds = time.monotonic() - begin
                raise ConfigError(
                    f"{address} cannot be read ({_reason(error)}), also not by "
                    f"{len(waits)} further attempts within {seconds:.0f} seconds: check the "
                    "network and the server, and start again; a training goes on from its last "
                    "checkpoint."
                ) from None
    raise AssertionError("the last attempt returns or raises")


def _final(address: str, error: Exception) -> str:
    """Return a sentence about an error that further attempts would not change, or ""."""
    status = _status(error)
    if isinstance(error, Changed):
        return (
            f"{address} has changed since the start, so that two versions would be mixed: start "
            "again with resume= to go on with the new one, or restore the old one first."
        )
    if isinstance(error, Refusal):
        return f"{address} {hide_secrets(str(error))}."
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return f"{address} does not exist (any more): check the address."
    is_denied = isinstance(error, PermissionError) or status in (401, 403)
    if is_denied or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return (
            f"{address} cannot be read, access is denied ({_reason(error)}): check the address and "
            f"the credentials, which come from the environment ({credentials(address)})."
        )
    return ""


def _status(error: Exception) -> int | None:
    """Return the HTTP status behind an error, where each library has it."""
    for holder, name in (
        (error, "status"),
        (getattr(error, "response", None), "status_code"),
        (error, "code"),
    ):
        if isinstance(found := getattr(holder, name, None), int):
            return found
    return None


def _reason(error: Exception) -> str:
    if status := _status(error):
        return f"the server answers {status}"
    text = hide_secrets(" ".join(str(error).split())).rstrip(".")
    return text[:300] if text else type(error).__name__
