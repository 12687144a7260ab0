"""Addresses as typed: which there are, and that no secret gets out of them."""

import importlib.util

import pytest

from gantrain.errors import ConfigError, hide_secrets
from gantrain.io.remote import address

SIGNED = "https://h.org/a/set.zip?X-Amz-Credential=AKIA&X-Amz-Signature=abc"


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/set.zip", "s3://bucket/a dir/what?#=&.zip", "gs://b", "hf://datasets/u/r@main/x",
        "https://h.org:8080/a/set.zip", "http://127.0.0.1/x.zip", "s3://b/train-{000..003}.tar",
    ],
)  # fmt: skip
def test_addresses_that_are_fine(text: str) -> None:
    assert address.is_address(text) and address.address_fault("data.root", text) == ""
    assert address.bare(text) == address.complete(text) == text


@pytest.mark.parametrize("text", ["a/b", "/a/b.zip", "s3:/b/x", "C:/x", "~/x", ""])
def test_paths_are_no_addresses(text: str) -> None:
    assert not address.is_address(text)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (SIGNED, ["AKIA", "abc"]),
        ("https://me:hush@h.org/x.zip", ["me:", "hush"]),
        ("https://h.org/x.zip#hush", ["hush"]),
        ("https://h.org?sig=hush", ["hush"]),
        ("s3://AKIA:hush@bucket/x.zip", ["AKIA:", "hush"]),
        ("https://h.org/download?id=5", ["id=5"]),
    ],
)
def test_secrets_are_refused_without_being_shown(text: str, secrets: list[str]) -> None:
    fault = address.address_fault("data.root", text)
    assert "GANTRAIN_SIGNED_URLS" in fault and not any(secret in fault for secret in secrets)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("az://b/x.zip", "az:// is no protocol that is read; these are: http://"),
        ("file:///x.zip", "file:// is no protocol"),
        ("s3:///x.zip", "names no bucket or server: write s3://NAME/PATH"),
    ],
)
def test_what_is_no_address_is_told(text: str, said: str) -> None:
    assert said in address.address_fault("data.root", text)


def test_signed_addresses_come_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv(address.SIGNED, f"https://h.org/other.zip?sig=1 {SIGNED}")
    assert address.complete("https://h.org/a/set.zip") == SIGNED
    assert address.complete("https://h.org/a/set2.zip") == "https://h.org/a/set2.zip"


def test_a_missing_package_is_a_sentence_with_the_command(monkeypatch) -> None:
    find = importlib.util.find_spec
    missing = ("s3fs", "gcsfs")
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in missing else find(n))
    with pytest.raises(ConfigError, match=r"needs s3fs: pip install 'gantrain\[remote\]'\."):
        address.require_packages("data.root", "s3://b/x.zip")
    with pytest.raises(ConfigError, match=r"needs gcsfs: pip install gcsfs\."):
        address.require_packages("data.root", "gs://b/x.zip")
    address.require_packages("data.root", "https://h.org/x.zip")


def test_no_sentence_shows_a_secret() -> None:
    texts = [f"cannot read '{SIGNED}': 403", "at https://me:hush@h.org/x, twice"]
    shown = str(ConfigError(*texts))
    assert "AKIA" not in shown and "abc" not in shown and "hush" not in shown and "me:" not in shown
    assert "https://h.org/a/set.zip?...': 403" in shown and "https://...@h.org/x, twice" in shown
    plain = "https://z.org/a.zip?download=1, hf://datasets/u/r@main, a@b.c, s3://b/k"
    assert hide_secrets(plain) == plain
