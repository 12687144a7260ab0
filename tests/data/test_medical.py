"""DICOM and NIfTI files: numbers by the file's own scale, slices along an axis, windows."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantrain.data import medical
from gantrain.data.archive import Member
from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import count_images, decode, image_size
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.views import Formats, View
from gantrain.errors import ConfigError
from tests.helpers.medical_files import dicom, nifti

RAW = np.arange(600).reshape(20, 30)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_dicom_is_rescaled_by_the_file(tmp_path: Path, dtype: Any) -> None:
    path = dicom(tmp_path / "x.dcm", RAW.astype(dtype), RescaleSlope=2, RescaleIntercept=-1024)
    found = decode(path)
    assert found.pixels.dtype == np.int32 and (found.pixels[..., 0] == RAW * 2 - 1024).all()
    assert image_size(path) == (20, 30)
    dicom(path, RAW.astype(dtype), RescaleSlope=0.5, RescaleIntercept=0.25)
    found = decode(path).pixels
    assert found.dtype == np.float32 and (found[..., 0] == RAW / 2 + 0.25).all()


def test_frames_of_enhanced_dicom_are_rescaled_each_or_all(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs gantrain[medical]")

    def groups(*rescaling: tuple[float, float]) -> list[Any]:
        found = []
        for slope, intercept in rescaling:
            one, group = pydicom.Dataset(), pydicom.Dataset()
            one.RescaleSlope, one.RescaleIntercept = slope, intercept
            group.PixelValueTransformationSequence = [one]
            found.append(group)
        return found

    x = np.stack([RAW, RAW + 1]).astype(np.int16)
    path = tmp_path / "x.dcm"
    every = View(path, Formats(pages="channels"))
    dicom(path, x, SharedFunctionalGroupsSequence=groups((2, -1024)))
    assert (decode(every).pixels == np.moveaxis(x, 0, 2) * 2 - 1024).all()
    dicom(path, x, PerFrameFunctionalGroupsSequence=groups((2, -5), (3, 7)))
    wanted = [x[0] * 2 - 5, x[1] * 3 + 7]
    assert (decode(every).pixels == np.moveaxis(wanted, 0, 2)).all()
    for i in range(2):
        found = decode(View(path, Formats(pages="each"), i)).pixels[..., 0]
        assert (found == wanted[i]).all()


def test_values_that_a_table_maps_are_refused(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs gantrain[medical]")
    path = dicom(tmp_path / "x.dcm", RAW.astype(np.int16), ModalityLUTSequence=[pydicom.Dataset()])
    with pytest.raises(ImageFault, match="by a table"):
        decode(path)


def test_a_window_maps_numbers_to_0_and_1(tmp_path: Path) -> None:
    path = dicom(tmp_path / "x.dcm", RAW.astype(np.int16), WindowCenter=[300, 1], WindowWidth=200)
    for formats in (Formats(window=(300, 200)), Formats(window="file")):
        found = decode(View(path, formats)).pixels[..., 0]
        # PS3.3 C.11.2.1.2.1, restated case by case.
        for x in (0, 199, 200, 201, 250, 300, 399, 400, 599):
            low, high = 300 - 0.5 - 199 / 2, 300 - 0.5 + 199 / 2
            wanted = 0 if x <= low else 1 if x > high else (x - 299.5) / 199 + 0.5
            assert found[np.unravel_index(x, RAW.shape)] == pytest.approx(wanted, abs=1e-7)
    dicom(path, RAW.astype(np.int16), PhotometricInterpretation="MONOCHROME1")
    inverted = decode(View(path, Formats(window=(300, 200)))).pixels[..., 0]
    assert np.allclose(inverted, 1 - found)
    with pytest.raises(ImageFault, match=r"names no window: give data.window"):
        decode(View(path, Formats(window="file")))


@pytest.mark.parametrize("window", ["file", [40, 400]])
def test_a_window_needs_the_range_of_its_numbers(tmp_path: Path, window: Any) -> None:
    for i in range(2):
        dicom(tmp_path / f"{i}.dcm", RAW.astype(np.int16))
    settings = {"seed": 0, "root": str(tmp_path), "window": window, "depth": "float"}
    with pytest.raises(ConfigError, match=r"data.window=.* from 0 to 1, and value_range=\[-9,9\]"):
        ImageFolder(**settings, value_range=[-9, 9])
    ImageFolder(**settings, value_range=[0, 1])
    two = {**settings, "root": None, "root_a": str(tmp_path / "a"), "root_b": str(tmp_path / "b")}
    for domain in "ab":
        (tmp_path / domain).mkdir()
        for i in range(2):
            dicom(tmp_path / f"{domain}/{i}.dcm", RAW.astype(np.int16))
    with pytest.raises(ConfigError, match=r"use data.value_range=\[0,1\], or leave out"):
        UnpairedFolder(**two, value_range=[-9, 9])
    UnpairedFolder(**two, value_range_a=[-9, 9])


def test_frames_of_dicom(tmp_path: Path) -> None:
    x = np.stack([RAW, RAW + 1, RAW + 2]).astype(np.int16)
    path = dicom(tmp_path / "x.dcm", x)
    with pytest.raises(ImageFault, match="holds 3 frames"):
        decode(path)
    assert (decode(View(path, Formats(pages="channels"))).pixels == np.moveaxis(x, 0, 2)).all()
    assert count_images(path, Formats(pages="each")) == 3
    for number in range(3):
        found = decode(View(path, Formats(pages="each"), number)).pixels
        assert (found[..., 0] == x[number]).all()


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_nifti_is_cut_into_slices(tmp_path: Path, ending: str, axis: int, dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 200, (4, 5, 6)).astype(dtype)
    path, formats = nifti(tmp_path / f"x.{ending}", x), Formats(slices=axis)
    assert count_images(path, formats) == x.shape[axis]
    for number in range(x.shape[axis]):
        view = View(path, formats, number)
        found, wanted = decode(view).pixels, np.take(x, number, axis)
        assert (found[..., 0] == wanted).all() and image_size(view) == wanted.shape
        assert found.dtype == (np.float32 if dtype is np.float32 else np.int32)  # never levels
    with pytest.raises(ImageFault, match=r"is a volume of 4 x 5 x 6: .*data.slices=0, 1 or 2"):
        decode(path)


def test_nifti_is_scaled_by_the_file(tmp_path: Path) -> None:
    x = np.arange(20, dtype=np.int16).reshape(4, 5, 1)
    path = nifti(tmp_path / "x.nii", x, slope=0.5)
    stored = np.asanyarray(pytest.importorskip("nibabel").load(path).dataobj)[..., 0]
    found = decode(path).pixels
    assert found.dtype == np.float32 and np.abs(found[..., 0] - stored).max() < 1e-6


def test_a_set_of_slices(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    x = np.random.default_rng(0).integers(-1000, 2000, (16, 16, 3)).astype(np.int16)
    for name in ("a", "b"):
        nifti(tmp_path / f"set/{name}.nii.gz", x)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("a", "b"):
            archive.write(tmp_path / f"set/{name}.nii.gz", f"{name}.nii.gz")
    for root in ("set", "set.zip"):
        data = ImageFolder(
            seed=0, root=str(tmp_path / root), resolution=16, resize="none", channels=1, flip=False,
            depth=16, value_range=[-1000, 2000], slices=2, cache="memory",
        )  # fmt: skip
        data.prepare(batch=1, multiple=1, log=lambda _: None)
        assert data.train_count() == 6
        found = (data.train_item("image", 4)[0] + 1) * 1500 - 1000
        assert np.abs(found - x[..., 1]).max() < 1e-3
    member = Member(tmp_path / "set.zip", "a.nii.gz")
    assert image_size(View(member, Formats(slices=0), 1)) == (16, 3)


@pytest.mark.parametrize("name", ["x.dcm", "x.nii", "x.nii.gz"])
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08", b"DICM" * 50, bytes(400)])
def test_damaged_files_are_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    pytest.importorskip("pydicom", reason="needs gantrain[medical]")
    pytest.importorskip("nibabel", reason="needs gantrain[medical]")
    (tmp_path / name).write_bytes(content)
    for read in (decode, image_size):
        with pytest.raises(ImageFault):
            read(tmp_path / name)
    assert count_images(tmp_path / name, Formats(pages="each", slices=0)) == 1


@pytest.mark.parametrize("name", ["x.dcm", "x.nii"])
def test_without_the_packages_a_sentence_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(bytes(400))
    monkeypatch.setattr(medical.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImageFault, match=r"pip install 'gantrain\[medical\]'"):
        decode(tmp_path / name)
