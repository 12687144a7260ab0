"""What is translated, and under which names."""

from pathlib import Path

import pytest
from PIL import Image

from gantrain.data.decode import holds_numbers
from gantrain.data.views import AnyFile
from gantrain.errors import ConfigError
from gantrain.inference.inputs import find_tasks
from gantrain.inference.results import ResultFolder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("in/a.jpg", "in/b.png", "in/sub/a.jpg", "in/sub/c.tif", "in/notes.txt", "d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suffix(file: AnyFile) -> str:
    return ".tiff" if holds_numbers(file) else ".png"


def names(*inputs: str, keep: bool = False) -> list[str]:
    return [task.name for task in find_tasks([*inputs], None if keep else suffix)[0]]


def test_folders_files_and_patterns(home: Path) -> None:
    assert names("in") == ["a.png", "b.png", "sub/a.png", "sub/c.png"]
    assert names("in", keep=True) == ["a.jpg", "b.png", "sub/a.jpg", "sub/c.tif"]
    assert names("d.png") == ["d.png"] == names(str(home / "d.png"))
    assert names("in/*.jpg") == ["a.png"]
    assert names("in/**/*.jpg") == ["a.png", "sub/a.png"]
    assert names("*/sub") == ["in/sub/a.png", "in/sub/c.png"]
    assert names("in", "in/b.png") == ["a.png", "b.png", "sub/a.png", "sub/c.png"]  # each once
    assert [task.source for task in find_tasks(["d.png"], suffix)[0]] == [home / "d.png"]


def test_floats_become_tiff(home: Path) -> None:
    Image.new("F", (3, 2)).save(home / "in/sub/c.tif")
    assert names("in") == ["a.png", "b.png", "sub/a.png", "sub/c.tiff"]


def test_pictures_that_differ_in_their_ending_only(home: Path) -> None:
    (home / "in/b.jpg").touch()
    assert names("in") == ["a.png", "b.jpg.png", "b.png.png", "sub/a.png", "sub/c.png"]
    assert names("in", keep=True)[1:3] == ["b.jpg", "b.png"]


def test_folders_whose_results_would_meet(home: Path) -> None:
    (home / "other").mkdir()
    (home / "other/a.jpg").touch()
    with pytest.raises(
        ConfigError, match=r"name of another, such as a.jpg.png: translate the folders"
    ):
        names("in", "other")


def test_every_input_must_name_something(home: Path) -> None:
    (home / "empty").mkdir()
    with pytest.raises(ConfigError) as error:
        names("in", "nowhere", "empty", "in/*.bmp")
    assert len(error.value.problems) == 3


def test_results_of_a_run_of_floats_are_tiff(home: Path) -> None:
    tasks, _ = find_tasks(["in"], lambda _: ".tiff")
    assert [task.name for task in tasks] == ["a.tiff", "b.tiff", "sub/a.tiff", "sub/c.tiff"]


@pytest.mark.parametrize("inputs", [["."], ["*"], ["**/*.png", "in"]])
def test_results_are_no_inputs(home: Path, inputs: list[str]) -> None:
    wanted, _ = find_tasks(inputs, suffix)
    for folder in ("out", "old/er", "in/out"):
        (home / folder / "deep").mkdir(parents=True)
        (home / folder / "deep/x.png").touch()
    for folder in ("old/er", "in/out"):  # of an earlier command
        (home / folder / "translate.json").touch()
    tasks, left_out = find_tasks(inputs, suffix, output=Path("out"))
    assert {task.source for task in tasks} == {task.source for task in wanted}
    assert len(set(left_out)) == 3
    back, _ = find_tasks(["old/er"], suffix, output=Path("out"))  # said, so meant
    assert [task.name for task in back] == ["deep/x.png"]


def test_results_are_no_parts_of_stacks(home: Path) -> None:
    for name in ("rgb/1.png", "depth/1.png", "rgb/out/1.png"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    tasks, left_out = find_tasks(["rgb", "depth"], suffix, home / "rgb/out", stacked=2)
    assert [task.name for task in tasks] == ["1.png"]
    assert [path.resolve() for path in left_out] == [home / "rgb/out/1.png"]


@pytest.mark.parametrize("text", ["out", "out/deep", "out/deep/x.png", "out/deep/*.png"])
def test_an_input_must_not_lie_in_the_output(home: Path, text: str) -> None:
    (home / "out/deep").mkdir(parents=True)
    (home / "out/deep/x.png").touch()
    with pytest.raises(ConfigError, match="lies in output=out: give another output"):
        find_tasks([text], suffix, output=Path("out"))


def test_a_folder_of_results_only_is_called_that(home: Path) -> None:
    (home / "in/sub/translate.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"input=i\*/\*\*/c.tif holds only results of gantrain"):
        names("i*/**/c.tif")


def test_an_input_that_vanished_is_not_done(home: Path) -> None:
    [task] = find_tasks(["d.png"], suffix)[0]
    folder = ResultFolder(home / "out", {})
    (home / "out/d.png").touch()
    folder.add(folder.row(task))
    assert folder.has(task)
    (home / "d.png").unlink()
    assert not folder.has(task)


def test_a_record_that_is_no_file_is_a_sentence(home: Path) -> None:
    ResultFolder(home / "out", {})
    (home / "out/inputs.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"output=.*out cannot be used"):
        ResultFolder(home / "out", {})
