import shutil

import pytest

from gantrain.errors import ConfigError
from tests.helpers.picture_sets import folder, picture, prepared, write_set
from tests.helpers.single_sets import pack


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "set")


def refused(*words, where=None, **settings):
    """The problems of an error that must come, and hold `words`."""
    with pytest.raises(ConfigError) as caught:
        folder(where, **settings)
    for word in words:
        assert str(word) in str(caught.value)
    return caught.value.problems


def test_no_root_and_its_hint():
    assert len(refused("data.root is not set", "data.root_a=FOLDER")) == 1
    assert refused(hint="Get it there.")[1] == "Get it there."


def test_a_root_that_is_not_there(tmp_path):
    refused("does not exist", "Get it there.", where=tmp_path / "none", hint="Get it there.")


def test_a_file_for_a_root(tmp_path):
    (tmp_path / "x.rar").touch()
    refused("x.rar is a file", "a .zip or a .tar", where=tmp_path / "x.rar")


def test_a_file_for_a_domain(root):
    (root / "trainB").rename(root / "old")
    (root / "trainB").touch()
    refused("trainB is a file", where=root)


def test_a_missing_domain(root):
    (root / "trainB").rename(root / "old")
    refused("no folder trainB", "hint", where=root, hint="hint")


def test_the_domain_itself_for_a_root(root):
    refused(f"use data.root={root}.", where=root / "trainA")


def test_the_folder_above_for_a_root(root):
    refused(f"did you mean data.root={root}?", where=root.parent)


NAMES = [
    {"trainA": "TrainA", "trainB": "train_B", "testA": "TEST-A", "testB": "test B"},
    {"trainA": "train/A", "trainB": "train/B", "testA": "test/A", "testB": "test/B"},
    {"trainA": "Training/domainA", "trainB": "Training/domainB", "testA": "Testing/a"},
    {"trainA": "A", "trainB": "B"},
    {"trainA": "a/train", "trainB": "b/Train", "testA": "a/test", "testB": "b/valid"},
]


def renamed(root, names):
    """The set under other names; folders without one are removed."""
    for number, old in enumerate(("trainA", "trainB", "testA", "testB")):
        (root / old).rename(root / f"old{number}")
    for number, old in enumerate(("trainA", "trainB", "testA", "testB")):
        if old not in names:
            shutil.rmtree(root / f"old{number}")
            continue
        (root / names[old]).parent.mkdir(exist_ok=True)
        (root / f"old{number}").rename(root / names[old])
    return root


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("packed", [False, True])
def test_other_names_of_the_splits(root, tmp_path, names, packed):
    place = renamed(root, names)
    data = folder(pack(place, tmp_path / "set.zip") if packed else place)
    lines = prepared(data)
    wanted = {"train_a": 5, "train_b": 7, "test_a": 3, "test_b": 3}
    if "testA" not in names:
        del wanted["test_a"]
    if "test" not in names.get("testB", "").lower():
        del wanted["test_b"]
    assert {split: len(found) for split, found in data._names.items()} == wanted
    for split in wanted:
        told = f"{split} from {tmp_path / 'set'}{'.zip!' if packed else ''}/"
        told += names[split[:-2] + split[-1].upper()]
        assert any(told in line for line in lines), told


def test_a_validation_folder_is_said_to_be_unused(root):
    (root / "testB").rename(root / "valB")
    (root / "valB" / "deep").mkdir()
    lines = prepared(folder(root))
    assert any("not used" in line and line.endswith("set/valB") for line in lines)


def test_images_beside_the_domains_are_counted(root):
    for name in ("x.png", "y.jpg", "z.txt"):
        (root / name).touch()
    lines = prepared(folder(root))
    assert any(line.endswith(f"not used: 2 images directly in {root}") for line in lines)


def test_two_folders_for_one_split_are_refused(root):
    (root / "trainA").rename(root / "train_A")
    (root / "testA").rename(root / "TrainA")
    refused("TrainA and train_A, which mean the same: rename", "to trainA", where=root)


def test_the_usual_name_goes_before_others(root):
    (root / "testA").rename(root / "train_A")
    data = folder(root)
    lines = prepared(data)
    assert data.describe()["train"]["a"] == 5
    assert any("not used" in line and line.endswith("set/train_A") for line in lines)


def test_an_earlier_run_sees_only_the_usual_names(root):
    (root / "testA").rename(root / "test_A")
    assert folder(root, reading=1).describe()["test_is_train"]["a"]
    assert not folder(root).describe()["test_is_train"]["a"]
    (root / "trainA").rename(root / "TrainA")
    refused("no folder trainA", where=root, reading=1)


def test_empty_and_one_image_domains_are_told_together(root):
    for path in (root / "trainA").iterdir():
        path.unlink()
    for path in sorted((root / "trainB").iterdir())[1:]:
        path.unlink()
    for path in (root / "testB").iterdir():
        path.unlink()
    problems = refused(where=root)
    words = ["trainA holds no images", "trainB holds only one image, p00.png", "testB holds no"]
    assert len(problems) == 3
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


def explicit(a, b, **settings):
    return {"root_a": str(a), "root_b": str(b), **settings}


def test_explicit_roots_of_either_form(root, tmp_path):
    (tmp_path / "horses" / "test").mkdir(parents=True)
    (root / "trainA").rename(tmp_path / "horses" / "train")
    picture(1).save(tmp_path / "horses" / "test" / "x.png")
    data = folder(None, **explicit(tmp_path / "horses", root / "trainB"))
    prepared(data)
    assert data.describe()["train"] == {"a": 5, "b": 7}
    assert [data.test_name("a", 0), data.test_count("a"), data.test_count("b")] == ["x", 1, 7]


def test_explicit_roots_that_mix_the_domains(root):
    a = root / "trainA"
    for one, other in ((a, a), (a, root), (root, a)):
        refused("mixes the domains", **explicit(one, other))


def test_explicit_roots_with_tests_among_the_training_pictures(root):
    (root / "testA").rename(root / "trainA" / "test")
    refused("test/ but not train/", **explicit(root / "trainA", root / "trainB"))


def test_half_or_double_roots(root):
    refused("data.root_b is not", root_a=str(root))
    refused("data.root_a is not", root_b=str(root))
    refused("both set", where=root, root_a=str(root))


def test_pairs_without_partners_are_listed(root):
    (root / "testA" / "p00.png").rename(root / "testA" / "q.png")
    picture(1).save(root / "testB" / "p02.jpg")
    problems = refused(where=root, test_pairs=True)
    assert len(problems) == 3
    assert "p02 occurs more than once" in problems[0]
    assert "no partner" in problems[1] and " q:" in problems[1] and " p00:" in problems[2]


def test_pairs_without_test_folders(root):
    (root / "testB").rename(root / "old")
    refused("data.test_pairs=true needs", where=root, test_pairs=True)
