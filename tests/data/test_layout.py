import pytest

from gantrain.errors import ConfigError
from tests.helpers.picture_sets import folder, picture, prepared, write_set


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
    refused("x.rar is a file", "or a .zip", where=tmp_path / "x.rar")


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


def test_another_case(root):
    (root / "trainA").rename(root / "TrainA")
    refused("but TrainA: rename to trainA", where=root)


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
