"""Sets that come from the network: published archives into the cache folder, once."""

import gzip
import hashlib
import io
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantrain.data import cifar10, mnist, remote
from gantrain.errors import ConfigError
from gantrain.io import download
from tests.data.test_cifar10 import packed
from tests.helpers import picture_sets
from tests.helpers.loopback import Server, serving
from tests.helpers.picture_sets import write_set
from tests.helpers.published_sets import cifar10_folder, mnist_folder
from tests.helpers.single_sets import prepared


@pytest.fixture(autouse=True)
def _no_proxy_no_pauses(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def archived(root: Path, top: str = "zebras/") -> bytes:
    """All files below `root` as a zip archive, in the folder `top`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                file.write(path, f"{top}{path.relative_to(root).as_posix()}")
    return content.getvalue()


@pytest.fixture
def zebras(server: Server, tmp_path: Path) -> bytes:
    content = archived(write_set(tmp_path / "zebras"))
    server.files["/zebras.zip"] = content
    return content


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def online(server: Server, cache: Path, name: str = "zebras.zip", **settings):
    return picture_sets.folder(None, url=server.url(name), cache_dir=str(cache), **settings)


@pytest.mark.parametrize("top", ["zebras/", "", "another/"])
def test_a_set_is_fetched_and_unpacked_once(server, zebras, tmp_path, top):
    server.files["/zebras.zip"] = content = archived(tmp_path / "zebras", top)
    cache = tmp_path / "new" / "cache"
    expected = picture_sets.folder(tmp_path / "zebras")
    picture_sets.prepared(expected)
    for _ in range(2):
        data = online(server, cache, url_sha256=sha(content), url_bytes=len(content))
        picture_sets.prepared(data)
        assert len(server.asked) == 1 and data.images_per_epoch == 7
        assert (data.item(3)["a"] == expected.item(3)["a"]).all()
        assert data.test_name("b", 1) == "p01"
        assert data.describe()["fingerprint"] == expected.describe()["fingerprint"]
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == ["zebras"]


def test_nothing_is_fetched_until_the_pictures_are_wanted(server, zebras, tmp_path):
    data = online(server, tmp_path / "cache")
    assert data.channels == {"a": 3, "b": 3} and data.resolution == (32, 32)
    assert not server.asked and not (tmp_path / "cache").exists()


def test_a_root_wins_over_the_url(server, zebras, tmp_path):
    data = picture_sets.folder(tmp_path / "zebras", url=server.url("zebras.zip"))
    picture_sets.prepared(data)
    assert not server.asked


def test_another_url_is_another_set(server, zebras, tmp_path):
    server.files["/more/zebras.zip"] = archived(write_set(tmp_path / "more", train=8))
    server.files = {"/zebras.zip": zebras, "/b.zip": server.files["/more/zebras.zip"]}
    counts = []
    for name in ("zebras.zip", "b.zip"):
        data = online(server, tmp_path / "cache", name)
        picture_sets.prepared(data)
        counts.append(data.images_per_epoch)
    assert counts == [7, 10]


def test_an_archive_placed_by_hand_is_used_and_kept(server, zebras, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "zebras.zip").write_bytes(zebras)
    picture_sets.prepared(online(server, cache, url_sha256=sha(zebras)))
    assert not server.asked and (cache / "zebras.zip").is_file()


def test_the_cache_variable(server, zebras, tmp_path, monkeypatch):
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "mine"))
    picture_sets.prepared(
        picture_sets.folder(None, url=server.url("zebras.zip"), url_sha256=sha(zebras))
    )
    assert (tmp_path / "mine" / "zebras" / "zebras" / "trainA").is_dir()


def test_without_network_the_error_says_how_to_place_it(tmp_path):
    url = "http://127.0.0.1:9/zebras.zip"
    data = picture_sets.folder(None, url=url, url_sha256="0" * 64, cache_dir=str(tmp_path))
    told = rf"download {url} on another machine and put it at {tmp_path}/zebras\.zip, or unpack it"
    with pytest.raises(ConfigError, match=told):
        picture_sets.prepared(data)


def test_a_mirror_must_hold_the_same_file(server, zebras, tmp_path):
    with pytest.raises(ConfigError, match=r"instead of 0+"):
        picture_sets.prepared(online(server, tmp_path / "cache", url_sha256="0" * 64))


def test_an_archive_without_the_folders(server, tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "readme.txt").write_text("nothing")
    server.files["/zebras.zip"] = archived(tmp_path / "odd")
    with pytest.raises(ConfigError, match=r"has no folder trainA and no folder trainB"):
        picture_sets.prepared(online(server, tmp_path / "cache"))


def test_a_read_only_cache(server, zebras, tmp_path):
    # A file where the folder should be: root may write wherever permissions forbid it.
    (tmp_path / "cache").touch()
    told = r"cannot be used \(.+\): set data\.cache_dir or GANTRAIN_CACHE .*data\.root=FOLDER"
    with pytest.raises(ConfigError, match=told):
        picture_sets.prepared(online(server, tmp_path / "cache"))


def test_a_full_disk_while_unpacking_leaves_nothing(server, zebras, tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remote, "_write", full)
    with pytest.raises(ConfigError, match=r"No space left on device.*GANTRAIN_CACHE"):
        picture_sets.prepared(online(server, tmp_path / "cache", url_sha256=sha(zebras)))
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".lock", ".lock", ".zip"]
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    picture_sets.prepared(online(server, tmp_path / "cache", url_sha256=sha(zebras)))
    assert len(server.asked) == 1  # what had been fetched was good


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def evil(*entries: tuple[zipfile.ZipInfo, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("set/trainA/0.png", b"x")
            for info, content in entries:
                file.writestr(info, content, zipfile.ZIP_DEFLATED)

    return write


def lying(path: Path) -> None:
    """Says to hold a byte and holds 3 MB."""
    evil((entry("big.png"), bytes(3_000_000)))(path)
    content = path.read_bytes()
    size = (3_000_000).to_bytes(4, "little")
    assert content.count(size) == 2  # in the entry's own header and in the list at the end
    path.write_bytes(content.replace(size, (1).to_bytes(4, "little")))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (evil((entry("../out.png"), b"x")), "a path outside its folder"),
        (evil((entry("set/../../out.png"), b"x")), "a path outside its folder"),
        (evil((entry("/tmp/out.png"), b"x")), "a path outside its folder"),
        (evil((entry("C:/out.png"), b"x")), "a path outside its folder"),
        (evil((entry("..\\out.png"), b"x")), "a path outside its folder"),
        (evil((entry("set/link", stat.S_IFLNK | 0o777), b"/etc")), "a link or a device"),
        (evil((entry("set/pipe", stat.S_IFIFO | 0o666), b"")), "a link or a device"),
        (evil((entry("bomb.png"), bytes(40_000_000))), "claims to hold 0.0 GB, far more"),
        (evil(*((entry(f"{i}.png"), b"") for i in range(30))), "holds 31 files"),
        (lying, "no readable zip archive|holds far more than it claims"),
        (lambda path: path.write_bytes(b"PK" + bytes(100)), "no readable zip archive"),
    ],
)
def test_malicious_archives_write_nothing(tmp_path, monkeypatch, write, told):
    monkeypatch.setattr(remote, "_EXTRA_BYTES", 100_000)
    monkeypatch.setattr(remote, "MAX_FILES", 20)
    cache = tmp_path / "deep" / "cache"
    cache.mkdir(parents=True)
    write(cache / "set.zip")
    with pytest.raises(ConfigError, match=told):
        remote.unpack(cache / "set.zip", cache / "set")
    assert sorted(tmp_path.rglob("*")) == [cache.parent, cache, cache / "set.zip"]


def test_a_locked_or_torn_archive(tmp_path, zebras):
    torn = tmp_path / "torn.zip"
    torn.write_bytes(zebras[:-100])
    with pytest.raises(ConfigError, match="no readable zip archive"):
        remote.unpack(torn, tmp_path / "set")
    flipped = bytearray(zebras)
    flipped[200] ^= 255
    torn.write_bytes(flipped)
    with pytest.raises(ConfigError, match="no readable zip archive"):
        remote.unpack(torn, tmp_path / "set")
    locked = bytearray(zebras)
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(mark) + place] |= 1
    torn.write_bytes(locked)
    with pytest.raises(ConfigError, match="protected by a password"):
        remote.unpack(torn, tmp_path / "set")
    assert not (tmp_path / "set").exists()


PREPARES = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from tests.helpers import picture_sets
data = picture_sets.folder(None, url=sys.argv[1], cache_dir=sys.argv[2])
picture_sets.prepared(data)
print(data.images_per_epoch)
"""


@pytest.mark.multi
def test_a_real_sized_set_over_a_bad_connection_shared_by_processes(server, tmp_path):
    """35 MB, a connection that breaks again and again, three processes that want it at once."""
    root = write_set(tmp_path / "set")
    (root / "notes").mkdir()
    for number in range(35):
        (root / "notes" / f"{number}.bin").write_bytes(os.urandom(1_000_000))
    server.files["/set.zip"] = archived(root)
    places = [str(tmp_path / "cache"), str(Path(__file__).parent)]
    command = [sys.executable, "-c", PREPARES, server.url("broken/set.zip"), *places]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [run.communicate()[0].strip() for run in runs] == ["7"] * 3
    assert [wanted for _, wanted in server.asked].count(None) == 1  # begun once, then gone on with
    assert len(list((tmp_path / "cache").rglob("*.bin"))) == 35


def test_cifar10_comes_from_its_url(server, tmp_path):
    cifar10_folder(tmp_path)
    server.files["/c.tar.gz"] = packed(tmp_path, tmp_path / "c.tar.gz").read_bytes()
    settings = {"seed": 0, "url": server.url("c.tar.gz"), "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):
        data = cifar10.CIFAR10(**settings)
        prepared(data)
        assert data.images_per_epoch == 20 and len(server.asked) == 1
    settings["url"] = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    with pytest.raises(ConfigError, match=rf"instead of {cifar10.MD5}.*remove it"):
        prepared(cifar10.CIFAR10(**settings))  # what a mirror gave is not taken for the original


def test_cifar10_without_network_says_how_to_place_it(tmp_path):
    data = cifar10.CIFAR10(seed=0, url="http://127.0.0.1:9/c", cache_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=r"another machine and give data\.root=FOLDER"):
        prepared(data)


@pytest.mark.parametrize("slash", ["", "/"])
def test_mnist_comes_from_its_url(server, tmp_path, monkeypatch, slash):
    mnist_folder(tmp_path / "set")
    for name in mnist.FILES:
        content = gzip.compress((tmp_path / "set" / name).read_bytes())
        server.files[f"/{name}.gz"] = content
    settings = {"seed": 0, "url": server.url("")[:-1] + slash, "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):
        data = mnist.MNIST(**settings)
        prepared(data)
        assert data.images_per_epoch == 8 and len(server.asked) == 4
    monkeypatch.setattr(mnist, "MIRROR", settings["url"])
    with pytest.raises(ConfigError, match=r"kept from an earlier start.*instead of f68b3c2d"):
        prepared(mnist.MNIST(**settings))
