"""What the page makes of generators, compared with what its commands write."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from gantrain.errors import ConfigError
from gantrain.studio import generating
from gantrain.studio.calls import Call
from gantrain.studio.generating import Look, Pin
from gantrain.studio.open_run import MOST_FOLDERS, Folders, OpenRun
from tests.helpers import generators
from tests.helpers.command_line import gantrain
from tests.helpers.open_runs import open_run, typed

pytestmark = pytest.mark.multi


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def style(home: Path) -> OpenRun:
    """With classes, noise and two directions."""
    run = generators.stylegan(home / "style", generators.ANIMALS)
    words = ("method=pca", "count=2", "samples=20", "seeds=0", "device=cpu")
    gantrain(home, "directions", "run=style", "output=style/pca", *words)
    return open_run(run)


@pytest.fixture(scope="module")
def plain(home: Path) -> OpenRun:
    return open_run(generators.dcgan(home / "plain", generators.ANIMALS))


def frames(file: Path) -> list[np.ndarray]:
    with Image.open(file) as image:
        return [np.asarray(frame.copy()) for frame in ImageSequence.Iterator(image)]


def assert_same_as_typed(run: OpenRun, call: Call, folder: Path) -> np.ndarray:
    """The picture of the page and the file of its command have the same pixels."""
    made = run.generate(call)
    typed(call, folder, "out=again", "grid=false")
    [file] = (path for path in (folder / "again").iterdir() if path.suffix != ".json")
    assert file.name == made.file.name
    for ours, theirs in zip(frames(made.file), frames(file), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(frames(made.shown)[0], frames(file)[0])
    return frames(made.file)[0]


def moved(run: OpenRun, *strengths: float) -> Look:
    keys = list(generating.directions(run))
    return Look(strengths=dict(zip(keys, strengths, strict=True)))


def pinned(run: OpenRun, call: Call, name: str) -> Pin:
    return generating.pin(run, run.generate(call), name)


CASES: dict[str, Callable[[OpenRun], Call]] = {
    "seed": lambda run: generating.of_seed(run, 7, Look()),
    "look": lambda run: generating.of_seed(run, 7, Look(0.5, "fox", "random")),
    "edit": lambda run: generating.of_seed(run, 7, moved(run, 2.5, 0)),
    "edits": lambda run: generating.of_seed(run, 7, moved(run, 2.5, -1)),
    "mix": lambda run: generating.of_mix(run, 1, 2, ["coarse (0-1)", "fine (4-5)"], Look(0.7)),
    "no mix": lambda run: generating.of_mix(run, 1, 2, [], Look(label="dog")),
    "pin": lambda run: generating.of_pin(
        run, pinned(run, generating.of_seed(run, 3, Look(0.7, "cat")), "three, a cat"),
        moved(run, 0, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_command_makes_the_same_picture(case: str, style: OpenRun, tmp_path: Path) -> None:
    call = CASES[case](style)
    other = style.generate(generating.of_seed(style, 99, Look()))
    assert not np.array_equal(assert_same_as_typed(style, call, tmp_path), frames(other.file)[0])


def test_a_generator_without_w(plain: OpenRun, tmp_path: Path) -> None:
    look = Look(label="dog")
    assert_same_as_typed(plain, generating.of_seed(plain, 5, look), tmp_path / "a")
    pins = [pinned(plain, generating.of_seed(plain, seed, look), "") for seed in (5, 6)]
    path = generating.of_path(plain, pins, 3, loop=True)
    assert "seeds=[5,6]" in path.text and "class=dog" in path.text
    assert_same_as_typed(plain, path, tmp_path / "b")
    other = pinned(plain, generating.of_seed(plain, 5, Look(label="cat")), "")
    with pytest.raises(ConfigError, match="pictures of one class only"):
        generating.of_path(plain, [*pins, other], 3, loop=True)
    assert generating.directions(plain) == {} and not generating.has_noise(plain)


def test_a_path_through_pins_of_any_kind(style: OpenRun, tmp_path: Path) -> None:
    seeds = [pinned(style, generating.of_seed(style, s, Look(0.7)), "") for s in (1, 2)]
    path = generating.of_path(style, seeds, 2, loop=False)
    assert "seeds=[1,2]" in path.text and "loop=false" in path.text
    assert_same_as_typed(style, path, tmp_path / "a")
    edited = pinned(style, generating.of_seed(style, 1, moved(style, 2, 0)), "")
    mixed = pinned(style, CASES["mix"](style), "")
    assert edited.seed is None and mixed.seed is None
    path = generating.of_path(style, [*seeds, edited, mixed], 2, loop=True)
    assert " w=pins.npz " in path.text
    first = assert_same_as_typed(style, path, tmp_path / "b")
    assert np.array_equal(first[..., :3], frames(seeds[0].shown)[0])  # it begins with the first pin
    with pytest.raises(ConfigError, match="Pin two pictures or more"):
        generating.of_path(style, seeds[:1], 2, loop=True)


def test_saved_latents_are_those_of_the_picture(style: OpenRun) -> None:
    made = style.generate(CASES["edits"](style))
    assert made.latents is not None
    with np.load(made.latents) as content:
        ws = torch.from_numpy(content["w"])
    again = (style.model.synthesis(ws).clamp(-1, 1) * 127.5 + 127.5).round().byte()[0]
    assert np.array_equal(again.permute(1, 2, 0).numpy(), frames(made.file)[0])


def test_choices(style: OpenRun, plain: OpenRun) -> None:
    assert [name for name, _ in generating.choices_of_class(style.model)] == [
        "by seed", "cat", "dog", "fox",
    ]  # fmt: skip
    assert list(generating.layer_groups(style).values()) == ["0-1", "2-3", "4-5"]
    assert list(generating.directions(style).values()) == ["pca0", "pca1"]
    assert generating.has_noise(style)
    made = style.generate(CASES["edit"](style))
    assert generating.describe(made) == "seed 7, edited"
    assert generating.describe(style.generate(CASES["mix"](style))) == "seeds 1 and 2"
    assert generating.describe(style.generate(CASES["pin"](style))) == "three--a-cat, edited"


def test_directions_of_another_generator(home: Path, style: OpenRun, tmp_path: Path) -> None:
    other = generators.stylegan3(tmp_path / "other")  # 16 layers: these fit
    file = str(home / "style/pca/directions.npz")
    assert generating.directions(open_run(other, direction_files=(file,)))
    (other / "sub").mkdir()
    (other / "sub/directions.npz").write_bytes(b"nothing")  # found, not named: left out
    assert generating.directions(open_run(other)) == {}
    with pytest.raises(ConfigError, match=r"directions=.*is no \.npz file of directions"):
        generating.directions(open_run(other, direction_files=(f"{other}/sub/directions.npz",)))


def test_directions_are_found_and_kept(tmp_path: Path) -> None:
    run = open_run(generators.stylegan(tmp_path / "run"))
    assert generating.directions(run) == {}
    generating.find_directions(run)
    found = generating.directions(run)
    assert len(found) == 10 and next(iter(found)) == f"{run.home}/directions/directions.npz:0"


def test_wrong_settings_are_sentences(style: OpenRun) -> None:
    with pytest.raises(ConfigError, match="cow"):
        style.generate(generating.of_seed(style, 0, Look(label="cow")))


def test_old_results_are_removed(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    made = [folders.new() for _ in range(MOST_FOLDERS + 3)]
    assert [path.exists() for path in made[:4]] == [False, False, False, True]


def test_a_picture_of_numbers_is_shown_with_8_bits(tmp_path: Path) -> None:
    path = tmp_path / "run"
    torch.manual_seed(0)
    network = generators.StyleGAN2Generator([16, 16], z_dim=8, w_dim=8, channel_base=64)
    generators.write(path, "gantrain.gans.stylegan.StyleGAN", {"G": network}, depth="float")
    run = open_run(path)
    made = run.generate(generating.of_seed(run, 0, Look()))
    assert made.file.suffix == ".tiff"
    with Image.open(made.shown) as shown:
        assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", (16, 16))
