from pathlib import Path

import pytest

from gantrain.data.roots import open_root, resolve_root
from gantrain.errors import ConfigError
from tests.helpers.single_sets import pack, write_labels, write_pictures


@pytest.fixture(params=["folder", "zip"])
def rooted(request, tmp_path):
    """Names of pictures -> data.root of a folder or zip that holds them."""

    def make(*names: str) -> str:
        root = write_pictures(tmp_path / "set", list(names), 8, 8)
        return str(root if request.param == "folder" else pack(root, tmp_path / "set.zip"))

    return make


def names(root: str) -> dict[str, list[str]]:
    return {split: place.names() for split, place in resolve_root(root, None).splits.items()}


def test_all_pictures_below(rooted):
    root = rooted("b/2.png", "a/x/1.png", "0.png", "a b/3.png")
    assert names(root) == {"train": ["0.png", "a/x/1.png", "a b/3.png", "b/2.png"]}


def test_train_and_test(rooted):
    root = rooted("train/c/1.png", "test/2.png", "val/3.png", "4.png")
    assert names(root) == {"train": ["c/1.png"], "test": ["2.png"]}
    assert resolve_root(root, None).unused == ["val"]


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("TRAIN", "Test"), ("training_set", "test-set"), ("train", "TEST")],
)
def test_splits_by_other_names(rooted, train, test):
    root = rooted(f"{train}/c/1.png", f"{test}/c/2.png", "Valid/c/3.png")
    assert names(root) == {"train": ["c/1.png"], "test": ["c/2.png"]}
    assert resolve_root(root, None).unused == ["Valid"]
    if (train, test) != ("train", "TEST"):
        flat = [f"{train}/c/1.png", f"{test}/c/2.png", "Valid/c/3.png"]
        earlier = resolve_root(root, None, 1).splits
        assert {split: sorted(place.names()) for split, place in earlier.items()} == {
            "train": sorted(flat)
        }


def test_the_usual_name_of_a_split_goes_before_others(rooted):
    root = rooted("train/1.png", "Training/2.png")
    assert names(root) == {"train": ["1.png"]} and resolve_root(root, None).unused == ["Training"]


def test_two_names_of_one_split_are_refused(rooted):
    root = rooted("Train/1.png", "Training/2.png")
    with pytest.raises(ConfigError, match=r"Train and Training, which mean the same: rename"):
        resolve_root(root, None)


def test_validation_images_are_not_used_by_any_name(rooted):
    root = rooted("train/1.png", "test/2.png", "val/3.png", "valset/4.png")
    assert names(root) == {"train": ["1.png"], "test": ["2.png"]}
    assert resolve_root(root, None).unused == ["val", "valset"]


@pytest.mark.parametrize("name", ["Testing", "val", "Validation"])
def test_other_splits_alone_are_not_trained_on(rooted, name):
    with pytest.raises(ConfigError, match=rf"has {name}/ but not train/.*: move"):
        resolve_root(rooted(f"{name}/1.png", "more/2.png"), None)


def test_two_domains_by_other_names_are_not_mixed(rooted):
    with pytest.raises(ConfigError, match=r"images of two domains"):
        resolve_root(rooted("train_A/1.png", "train_B/2.png"), None)


def test_classes_called_a_and_b_are_no_domains(rooted):
    assert names(rooted("A/1.png", "B/2.png")) == {"train": ["A/1.png", "B/2.png"]}


def test_train_alone(rooted):
    assert names(rooted("train/1.png")) == {"train": ["1.png"]}


def test_what_wraps_everything_is_entered(rooted):
    root = rooted("pets/v1/train/cat/1.png", "pets/v1/test/cat/2.png")
    assert names(root) == {"train": ["cat/1.png"], "test": ["cat/2.png"]}
    assert str(resolve_root(root, None).top).endswith("/pets/v1")


def test_labels_on_top_wrap_nothing(rooted, tmp_path):
    rooted("00000/1.png")
    write_labels(tmp_path / "set", [["00000/1.png", 0]])
    for root in (tmp_path / "set", pack(tmp_path / "set", tmp_path / "set.zip")):
        assert names(str(root)) == {"train": ["00000/1.png"]}
        content = resolve_root(str(root), None).top.label_file()
        assert content and b"00000/1.png" in content


def test_test_pictures_are_not_trained_on(rooted):
    root = rooted("test/1.png", "more/2.png")
    with pytest.raises(ConfigError, match=r"test/ but not train/.*: move"):
        resolve_root(root, None)


def test_two_domains_are_not_mixed(rooted):
    root = rooted("trainA/1.png", "trainB/2.png", "testA/3.png")
    with pytest.raises(ConfigError, match=r"images of two domains"):
        resolve_root(root, None)


def test_an_archive_is_known_by_its_ending_whatever_the_case(tmp_path):
    packed = pack(write_pictures(tmp_path / "set", ["1.png"], 8, 8), tmp_path / "SET.ZIP")
    assert names(str(packed)) == {"train": ["1.png"]}
    (tmp_path / "folder.zip").mkdir()
    write_pictures(tmp_path / "folder.zip", ["2.png"], 8, 8)
    assert names(str(tmp_path / "folder.zip")) == {"train": ["2.png"]}


def test_links_are_followed_once(tmp_path):
    root = write_pictures(tmp_path / "set", ["a/1.png"], 8, 8)
    write_pictures(tmp_path / "elsewhere", ["2.png"], 8, 8)
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "again").symlink_to(root)
    (tmp_path / "link").symlink_to(root)
    for place in (root, tmp_path / "link"):
        assert names(str(place)) == {"train": ["a/1.png", "b/2.png"]}


@pytest.mark.parametrize(
    ("root", "told"),
    [
        (None, r"data\.root is not set: give data\.root=FOLDER or a \.zip"),
        ("nowhere", r"data\.root=nowhere does not exist \(looked in .*\): check"),
        ("set.7z", r"data\.root=set\.7z is a file, .*: extract it first"),
        ("set.tar.gz", r"data\.root=set\.tar\.gz is compressed, .*: unpack it to a \.tar"),
        ("text.zip", r"text\.zip is no readable zip archive .*: download or pack it again"),
    ],
)
def test_wrong_roots(tmp_path, monkeypatch, root, told):
    monkeypatch.chdir(tmp_path)
    Path("set.tar.gz").touch()
    Path("set.7z").touch()
    Path("text.zip").write_text("no archive")
    with pytest.raises(ConfigError, match=told) as caught:
        resolve_root(root, "Ask Ada.")
    missing = root in (None, "nowhere")
    assert ("Ask Ada." in caught.value.problems) == missing


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ConfigError, match=r"cannot be listed \(Permission denied\): check"):
        resolve_root(str(tmp_path), None)


def test_an_address_with_one_slash_is_recognized() -> None:
    with pytest.raises(ConfigError, match=r"data\.root=s3:/b/x does not exist: write s3://b/x"):
        open_root("data.root", "s3:/b/x", [])
