import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantrain.errors import ConfigError
from gantrain.io import download
from gantrain.io.download import RemoteFile, fetch
from tests.helpers.loopback import Server, serving

BODY = os.urandom(3_000_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
BY_HAND = "fetch it by hand."


@pytest.fixture(autouse=True)
def _no_proxy_no_pauses(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.files["/set.bin"] = BODY
        yield running


def get(*urls: str, target: Path, checksum: str | None = MD5, size: int | None = None) -> list[str]:
    lines: list[str] = []
    assert fetch(RemoteFile(urls, checksum, size), target, lines.append, BY_HAND) == target
    return lines


def left(folder: Path) -> list[str]:
    """What lies there beside the lock."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("kind", ["", "unknown-length/", "weak/", "deaf/", "busy/"])
@pytest.mark.parametrize("checksum", [None, MD5, SHA256], ids=["", "md5", "sha256"])
def test_a_file_is_fetched_once(server, tmp_path, kind, checksum):
    target = tmp_path / "new" / "cache" / "set.bin"
    url = server.url(f"{kind}set.bin")
    assert "downloading" in get(url, target=target, checksum=checksum)[0]
    assert target.read_bytes() == BODY
    times = len(server.asked)
    assert get(url, target=target, checksum=checksum) == []
    assert len(server.asked) == times == (3 if kind == "busy/" else 1)
    assert left(target.parent) == ["set.bin"]


def test_progress_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_LOG_SECONDS", 0)
    lines = get(server.url("set.bin"), target=tmp_path / "set.bin")
    assert lines[-1].startswith(f"data: {'#' * 20} 3 of 3 MB, ") and lines[-1].endswith("0 s left")
    lines = get(server.url("unknown-length/set.bin"), target=tmp_path / "other")
    assert lines[-1].startswith("data: 3 MB, ")


@pytest.mark.parametrize("checksum", [None, SHA256], ids=["", "sha256"])
def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path, checksum):
    get(server.url("broken/set.bin"), target=tmp_path / "set.bin", checksum=checksum)
    assert (tmp_path / "set.bin").read_bytes() == BODY
    starts = [wanted for _, wanted in server.asked]
    assert starts[:3] == [None, "bytes=1500000-", "bytes=2250000-"]
    assert left(tmp_path) == ["set.bin"]


def stopped_halfway(server: Server, folder: Path, name: str = "set.bin") -> None:
    """A download of which a third has arrived when the process is killed."""
    (folder / "set.bin.partial").write_bytes(BODY[:1_000_000])
    note = {"url": server.url(name), "version": server.etag}
    (folder / "set.bin.partial.json").write_text(json.dumps(note))


@pytest.mark.parametrize("kind", ["", "deaf/", "weak/"])
def test_the_next_start_goes_on(server, tmp_path, kind):
    stopped_halfway(server, tmp_path, f"{kind}set.bin")
    get(server.url(f"{kind}set.bin"), target=tmp_path / "set.bin")
    assert (tmp_path / "set.bin").read_bytes() == BODY  # also where the server sends all of it anew
    assert server.asked == [(f"/{kind}set.bin", "bytes=1000000-")]


@pytest.mark.parametrize("checksum", [None, SHA256], ids=["", "sha256"])
def test_a_file_that_has_changed_meanwhile_is_fetched_anew(server, tmp_path, checksum):
    stopped_halfway(server, tmp_path)
    server.etag = '"two"'
    (tmp_path / "set.bin.partial").write_bytes(bytes(1_000_000))  # of the other version
    get(server.url("set.bin"), target=tmp_path / "set.bin", checksum=checksum)
    assert (tmp_path / "set.bin").read_bytes() == BODY


def test_parts_that_do_not_fit_are_fetched_once_more(server, tmp_path):
    stopped_halfway(server, tmp_path)
    (tmp_path / "set.bin.partial").write_bytes(bytes(1_000_000))
    lines = get(server.url("set.bin"), target=tmp_path / "set.bin")
    assert any("do not fit" in line for line in lines)
    assert [wanted for _, wanted in server.asked] == ["bytes=1000000-", None]


def test_parts_of_unknown_origin_are_not_mixed(server, tmp_path):
    (tmp_path / "set.bin.partial").write_bytes(bytes(1_000_000))
    get(server.url("set.bin"), target=tmp_path / "set.bin", checksum=None)
    assert (tmp_path / "set.bin").read_bytes() == BODY


def test_all_of_it_had_arrived(server, tmp_path):
    stopped_halfway(server, tmp_path)
    (tmp_path / "set.bin.partial").write_bytes(BODY)
    get(server.url("set.bin"), target=tmp_path / "set.bin")
    assert left(tmp_path) == ["set.bin"]


def test_the_second_url(server, tmp_path):
    urls = [server.url(name) for name in ("gone.bin", "silent/set.bin", "set.bin")]
    get(*urls, target=tmp_path / "set.bin")
    assert (tmp_path / "set.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("chunked-broken/set.bin", r"cannot be downloaded \(.+\)"),
        ("silent/set.bin", r"cannot be downloaded \(.*[Rr]emote end closed"),
        ("odd/set.bin", r"cannot be downloaded \(.*'many'"),
        ("gone.bin", r"cannot be downloaded \(404 Not Found\)"),
    ],
)
def test_what_goes_wrong_is_a_sentence(server, tmp_path, name, told):
    with pytest.raises(ConfigError, match=rf"{told}.*: fetch it by hand\."):
        get(server.url(name), target=tmp_path / "set.bin", checksum=None)
    assert "set.bin" not in left(tmp_path)
    get(server.url("set.bin"), target=tmp_path / "set.bin")  # and the next try is free to succeed


def test_what_arrived_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PAUSES", ())
    server.files["/other.bin"] = BODY[:1_000_000]
    stopped_halfway(server, tmp_path, "silent/set.bin")
    with pytest.raises(ConfigError, match=r"The 1\.0 MB received are kept"):
        get(server.url("silent/set.bin"), target=tmp_path / "set.bin")
    assert (tmp_path / "set.bin.partial").read_bytes() == BODY[:1_000_000]


@pytest.mark.parametrize("kind", ["md5:", "sha256:"])
def test_a_wrong_checksum_is_refused(server, tmp_path, kind):
    right = MD5 if kind == "md5:" else SHA256
    told = rf"{right.partition(':')[2]} instead of 0+: .*try again, or fetch it by hand\."
    with pytest.raises(ConfigError, match=told):
        get(server.url("set.bin"), target=tmp_path / "set.bin", checksum=kind + "0" * 32)
    assert left(tmp_path) == []


def test_another_length_is_refused_before_the_download(server, tmp_path):
    with pytest.raises(ConfigError, match=r"it has 3000000 bytes there, not 4000000: another file"):
        get(server.url("set.bin"), target=tmp_path / "set.bin", checksum=None, size=4_000_000)
    assert left(tmp_path) == []
    get(server.url("set.bin"), target=tmp_path / "set.bin", size=3_000_000)


def test_a_kept_file_is_checked_too(server, tmp_path):
    (tmp_path / "set.bin").write_bytes(BODY[:-1])
    with pytest.raises(ConfigError, match=rf"set\.bin.* instead of {MD5[4:]}.*remove it"):
        get(server.url("set.bin"), target=tmp_path / "set.bin")
    with pytest.raises(ConfigError, match=r"2999999 bytes instead of 3000000.*remove it"):
        get(server.url("set.bin"), target=tmp_path / "set.bin", size=3_000_000)
    assert not server.asked


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://no.such.host.invalid/x", "nonsense", "http://a b/x"]
)
def test_no_network(tmp_path, url):
    with pytest.raises(ConfigError, match=r"cannot be downloaded \(.+\): fetch it by hand\.$"):
        get(url, target=tmp_path / "x")
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    told = r"cannot be used \(.+\): set data\.cache_dir or GANTRAIN_CACHE .*fetch it by hand"
    with pytest.raises(ConfigError, match=told):
        get(server.url("set.bin"), target=tmp_path / "file" / "set.bin")
    with pytest.raises(ConfigError, match=r"the file has 10{15} MB\): set data\.cache_dir"):
        get(server.url("set.bin"), target=tmp_path / "set.bin", size=10**21 - 1)


FETCHES = """
import sys
from pathlib import Path
from gantrain.io.download import RemoteFile, fetch
fetch(RemoteFile([sys.argv[1]], sys.argv[2]), Path(sys.argv[3]), print, "")
"""


@pytest.mark.multi
def test_processes_share_one_download(server, tmp_path):
    command = [sys.executable, "-c", FETCHES, server.url("set.bin"), MD5, str(tmp_path / "set.bin")]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(server.asked) == 1 and (tmp_path / "set.bin").read_bytes() == BODY


@pytest.mark.parametrize("url", ["file:///dev/zero", "FILE:/etc/passwd", "ftp://x/set.bin", "x"])
def test_only_the_web_is_downloaded_from(tmp_path, url):
    with pytest.raises(ConfigError, match="no http:// or https:// address"):
        get(url, target=tmp_path / "set.bin")
    assert left(tmp_path) == []
