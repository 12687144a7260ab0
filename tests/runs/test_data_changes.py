"""What a start says about images other than those that its run was trained on."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from gantrain.errors import ConfigError
from gantrain.runs import data_changes
from tests.helpers.command_line import gantrain

RUN = Path("runs/r")


def about(names: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    labels = {"dim": 3, "kind": "class", "names": names} if names else None
    return {"train": 12, "test": 0, "labels": labels, "fingerprint": "a"} | changes


def test_the_same_images_need_no_word() -> None:
    same = about(["blue", "green"])
    assert data_changes.check_resumed(same, about(["blue", "green"]), RUN, False) == []
    assert data_changes.check_initial(same, about(["blue", "green"]), "x") == []
    assert data_changes.check_resumed({}, same, RUN, False) == []  # an older run, without it


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (["blue", "green", "red"], ["green", "red", "zblue"]),
        (["10", "2"], ["2", "10"]),  # the same names in another order
        (["blue"], None),
        (None, ["blue"]),
    ],
)
def test_other_classes_are_refused(before: list[str] | None, now: list[str] | None) -> None:
    with pytest.raises(ConfigError, match=r"the classes were .* and are .*, in this order"):
        data_changes.check_resumed(about(before), about(now), RUN, False)
    [text] = data_changes.check_resumed(about(before), about(now), RUN, True)
    assert text.startswith("Warning: the classes were")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": 13}, "train: 12 -> 13"),
        ({"fingerprint": "b"}, "as many, but other files or sizes"),
        ({"train": {"a": 3, "b": 4}, "test": 2}, "test: 0 -> 2"),
    ],
)
def test_other_images_are_said(changes: dict[str, Any], said: str) -> None:
    [text] = data_changes.check_resumed(about(), about(**changes), RUN, False)
    assert said in text and "continues with the present ones" in text


def test_domains_are_counted_one_by_one() -> None:
    old, new = about(train={"a": 11, "b": 7}), about(train={"a": 10, "b": 7})
    [text] = data_changes.check_resumed(old, new, RUN, False)
    assert "(train a: 11 -> 10)" in text


def test_a_transfer_may_have_other_classes_but_not_the_same_ones_elsewhere() -> None:
    [text] = data_changes.check_initial(about(["cat", "dog"]), about(["red", "blue"]), "x")
    assert text.startswith("Note: the classes of init_from=x are cat, dog")
    assert data_changes.check_initial(about(["cat", "dog"]), about(), "x") == []
    with pytest.raises(ConfigError, match="the same class would have another number"):
        data_changes.check_initial(about(["cat", "dog"]), about(["dog", "fox"]), "x")


def test_the_description_of_a_source(tmp_path: Path) -> None:
    assert data_changes.of_source(tmp_path) == {}
    text = yaml.safe_dump({"derived": {"data": about(["a"])}})
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "s.pt").write_text("x")
    for source in (tmp_path, tmp_path / "snapshots" / "s.pt"):
        assert data_changes.of_source(source) == about(["a"])
    (tmp_path / "config.yaml").write_text("derived: 5")
    assert data_changes.of_source(tmp_path / "snapshots" / "s.pt") == {}


STYLEGAN = [
    "model=stylegan", "data=folder", "data.root=set", "data.labels=true", "data.resolution=16",
    "model.channel_base=32", "model.channel_max=4", "model.z_dim=4", "model.w_dim=4",
    "model.augment=none", "train.batch=4", "tracking.to=[]", "runtime=cpu",
    "tracking.grid_every_kimg=0", "runtime.workers=0", "evaluation.test_images=0",
]  # fmt: skip


@pytest.mark.ci
def test_renamed_and_changed_folders_through_the_command_line(tmp_path: Path) -> None:
    for number, name in enumerate(["blue", "green", "red"]):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(4):
            image = Image.new("RGB", (16, 16), (number * 80, i * 60, 0))
            image.save(tmp_path / "set" / name / f"{i}.png")
    gantrain(tmp_path, *STYLEGAN, "name=r", "train.kimg=0.008")
    (tmp_path / "set" / "blue").rename(tmp_path / "set" / "zblue")
    said = gantrain(tmp_path, "resume=runs/r", "train.kimg=0.012", code=2)
    assert "the classes were blue, green, red and are green, red, zblue" in said
    said = gantrain(tmp_path, *STYLEGAN, "name=n", "train.kimg=0.004", "init_from=runs/r", code=2)
    assert "the same class would have another number" in said
    (tmp_path / "set" / "zblue").rename(tmp_path / "set" / "blue")
    (tmp_path / "set" / "red" / "3.png").unlink()
    said = gantrain(tmp_path, "resume=runs/r", "train.kimg=0.012")
    assert "the images are not those that runs/r was trained on so far (train: 12 -> 11)" in said
