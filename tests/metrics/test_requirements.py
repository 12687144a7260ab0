"""What cannot be measured is known before anything is."""

from dataclasses import replace

import pytest

from gantrain.metrics.protocol import EQUIVARIANCE, LATENT, METRICS, PAIRED
from gantrain.metrics.requirements import Subject, problems

CYCLEGAN = Subject("CycleGAN", True, True, False, (3, 3), 64, 50)
STYLEGAN3 = Subject("StyleGAN3", False, False, True, (3,), 64, 50, moves_canvas=True)
STYLEGAN = Subject("StyleGAN", False, False, True, (3,), 64, 50)


def test_what_can_be_measured() -> None:
    latent = [m for m in METRICS if m not in PAIRED]
    able = replace(STYLEGAN, moves_canvas=True, has_classes=True)
    assert not list(problems(latent, able, 6))
    assert not list(problems(["separability"], replace(STYLEGAN, examples=True), 6))
    without_w = replace(STYLEGAN, has_w=False, examples=True)
    assert not list(problems(["separability"], without_w, 6))
    translated = [m for m in METRICS if m not in (*LATENT, *EQUIVARIANCE)]
    assert not list(problems(translated, CYCLEGAN, None))
    assert not list(problems(["l1", "psnr", "ssim"], replace(CYCLEGAN, channels=(4, 4)), None))


def test_means_over_single_images_need_no_crowd() -> None:
    assert not list(problems(["l1", "psnr"], replace(CYCLEGAN, real=2), None))
    assert not list(problems(["l1", "psnr", "ssim", "lpips"], CYCLEGAN, 4))
    assert not list(problems(["eqt", "eqr"], STYLEGAN3, 4))
    assert not list(problems(["eqt", "eqr"], replace(STYLEGAN3, real=0), 4))


@pytest.mark.parametrize(
    ("metrics", "subject", "num_images", "told"),
    [
        (["fid"], replace(STYLEGAN, channels=(4,)), None, "x.metrics: fid needs grey or RGB"),
        (["kid"], replace(CYCLEGAN, channels=(3, 2)), None, "these have 2 channels"),
        (["path_length"], replace(STYLEGAN, channels=(4,)), None, "path_length needs grey or RGB"),
        (["path_length"], replace(STYLEGAN, has_w=False), None, "needs StyleGAN's w"),
        (["separability"], STYLEGAN, None, "this StyleGAN was trained without classes"),
        (["separability"], replace(STYLEGAN, has_w=False, has_classes=True), None, "that of z"),
        (["separability"], replace(CYCLEGAN, examples=True), None, "CycleGAN translates"),
        (["eqt"], STYLEGAN, None, "StyleGAN has none that could be moved, unlike StyleGAN3"),
        (["eqr"], CYCLEGAN, None, "eqr compares moved images with those of a moved canvas"),
        (["lpips"], replace(CYCLEGAN, side=12), None, "lpips needs images of at least 16 pixels"),
        (["ssim"], replace(CYCLEGAN, side=8), None, "ssim needs images of at least 11 pixels"),
        (["l1"], replace(CYCLEGAN, pairs=False), None, "data.test_pairs=true"),
        (["l1"], STYLEGAN, None, "generates images from noise"),
        (["kid"], STYLEGAN, 5, "x.num_images=5 is too small: kid needs at least 6, and hundreds"),
        (["l1", "fid"], CYCLEGAN, 4, "x.num_images=4 is too small: fid needs at least 6"),
        (["l1"], replace(CYCLEGAN, real=0), None, "only 0 real images to compare with: l1 needs"),
        (["eqt"], replace(STYLEGAN3, real=0), None, "only 0 real images"),
        (["fid", "eqt"], replace(STYLEGAN3, real=1), 9, "There is only 1 real image to compare"),
        (["kid"], replace(STYLEGAN, real=5, hint=" Try split=train."), None, "only 5 real images"),
    ],
)  # fmt: skip
def test_what_cannot(
    metrics: list[str], subject: Subject, num_images: int | None, told: str
) -> None:
    [sentence] = problems(metrics, subject, num_images, "x.")
    assert told in sentence and sentence.endswith(".")
