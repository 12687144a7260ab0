"""Every YAML in configs/ is a test: two steps, checkpoint, resume, snapshot, reload."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from gantrain.config import paths
from gantrain.config.train import load as load_run_config
from gantrain.runs.training import run
from gantrain.snapshot import load_snapshot
from tests.helpers.command_line import final_state, rows
from tests.helpers.golden_files import GOLDEN
from tests.helpers.published_sets import cifar10_folder, mnist_folder

CONFIGS = paths.config_dir()
CHOICES = sorted(f"{file.parent.name}={file.stem}" for file in CONFIGS.glob("*/*.yaml"))
TINY_MODEL = {
    "cyclegan": "ngf=2 ndf=2 blocks=1 d_layers=1 pool_size=1 adversarial_kimg=0.001",
    "pix2pix": "generator=resnet blocks=1 ngf=2 ndf=2 d_layers=1",
    "cut": "ngf=2 ndf=2 blocks=1 d_layers=1 head_width=8",
    "stylegan": "z_dim=8 w_dim=8 channel_base=128 channel_max=8",
    "stylegan2": "z_dim=8 w_dim=8 channel_base=128 channel_max=8",
    "stylegan3": "z_dim=8 w_dim=8 channel_base=64 channel_max=4",
    "dcgan": "z_dim=8 g_width=8 d_width=2",
    "r3gan": "z_dim=8 channel_base=64 channel_max=8",
}
TRANSLATORS = ("cyclegan", "cut", "pix2pix")
OFFICIAL = "apple2orange cezanne2photo facades horse2zebra iphone2dslr_flower maps monet2photo "
OFFICIAL += "summer2winter_yosemite ukiyoe2photo vangogh2photo"
PAIRED = ("data=paired", "data=cityscapes", "data=edges2handbags", "data=edges2shoes")
COLORIZE = "data=colorize"
PAIRED += ("data=facades_pairs", "data=maps_pairs", "data=night2day")
FOLDER = ("data=folder", *(f"data={name}" for name in OFFICIAL.split()), "experiment=cyclegan_64px")
FOLDER += (*PAIRED, COLORIZE, "experiment=cyclegan_reference", "experiment=cut_reference")
FOLDER += ("experiment=fastcut",)
FOLDER += tuple(f"experiment=stylegan_{name}" for name in ("paper256", "paper512", "paper1024"))
FOLDER += ("experiment=stylegan_stylegan2", "experiment=cyclegan_128px", "experiment=stylegan_64px")
FOLDER += ("experiment=stylegan_finetune",)
STYLEGAN3 = tuple(f"experiment=stylegan3_{c}_{side}" for c in "tr" for side in (256, 512, 1024))
FOLDER += STYLEGAN3
R3GAN = tuple(f"experiment=r3gan_{x}" for x in ("ffhq64", "ffhq256", "imagenet32", "imagenet64"))
FOLDER += (*R3GAN, "experiment=r3gan_small")
CIFAR10 = ("data=cifar10", "experiment=stylegan_cifar", "experiment=r3gan_cifar10")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    values = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir()
        for i in range(3):
            pixels = values.integers(0, 256, (300, 320, 3), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{i}.png")
    for name in ("cat", "dog"):
        shutil.copytree(root / "trainA", root / "classes" / name)
    cifar10_folder(root / "cifar")
    mnist_folder(root / "mnist")
    return root


def model_of(choice: str) -> str:
    """The GAN that a choice is tried with."""
    group, _, option = choice.partition("=")
    if option in ("cut_reference", "fastcut"):
        return "cut"
    if group == "model" or option.startswith(("stylegan_", "stylegan3_", "r3gan_")):
        return option.partition("_")[0]
    if choice in (*PAIRED, COLORIZE):
        return "pix2pix"
    return "dcgan" if choice in ("data=cifar10", "data=hf", "data=mnist") else "cyclegan"


@pytest.fixture(autouse=True)
def _hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def train(*overrides: str) -> None:
    config = load_run_config(compose("train", list(overrides)), typed_keys=[])
    run(config, list(overrides), "data")


def commands(choice: str, pictures: Path) -> list[str]:
    group = choice.partition("=")[0]
    overrides = [choice, "name=run", "tracking.grid_images=2"]
    if choice == "debug=overfit":
        overrides += [
            "train.epochs=null",
            "train.kimg=0.002",
            "lr.unit=image",
            "data.resolution=32",
        ]
    elif choice != "debug=smoke":
        overrides += ["debug=smoke"]
    if choice == "tracking=default" or group == "experiment":
        overrides += ["tracking.to=[tensorboard]"]
    if choice in FOLDER:
        root = pictures if model_of(choice) in TRANSLATORS else pictures / "trainA"
        root = pictures / "classes" if "imagenet" in choice or choice == COLORIZE else root
        overrides += [f"data.root={root}", "data.cache=memory"]
    if choice == "experiment=stylegan_finetune":
        overrides += ["init_from=runs/source"]
    if choice in CIFAR10:
        overrides += [f"data.root={pictures}/cifar"]
    if choice == "data=mnist":
        overrides += [f"data.root={pictures}/mnist"]
    if choice == "data=hf":
        overrides += [f"data.root={GOLDEN}/hf_plain"]
    model = model_of(choice)
    if not any(text.startswith("data.root=") for text in overrides):
        overrides += ["data.train_images=16", "data.test_images=4"]  # of the procedural set
    if group == "data" and model != "cyclegan":
        labels = "data.label=label" if choice == "data=hf" else "data.labels=true"
        overrides += [f"model={model}"] + [labels] * (model not in TRANSLATORS)
    return overrides + [f"model.{setting}" for setting in TINY_MODEL[model].split()]


NEEDS_CUDA = ("runtime=gpu",)
# As the first but for the URL
SAME = {f"data={name}" for name in OFFICIAL.split()[1:]} | {*PAIRED[2:]}


def marks(choice: str) -> tuple[pytest.MarkDecorator, ...]:
    if choice in NEEDS_CUDA:
        return (pytest.mark.gpu,)
    return (pytest.mark.ci,) if choice in SAME or choice in STYLEGAN3[1:] else ()


@pytest.mark.parametrize("choice", NEEDS_CUDA)
def test_config_that_cannot_run_here_is_valid(choice: str) -> None:
    config = load_run_config(compose("train", [choice]), typed_keys=[])
    assert config.runtime.device == "cuda"


@pytest.mark.parametrize(
    "choice",
    [pytest.param(c, marks=marks(c)) for c in CHOICES],
)
def test_config(choice: str, pictures: Path) -> None:
    overrides = commands(choice, pictures)
    if "init_from=runs/source" in overrides:
        other = {choice: "experiment=stylegan_64px", "init_from=runs/source": "name=source"}
        train(*(other.get(text, text) for text in overrides if text != "name=run"))
    train(*overrides)
    folder = Path("runs/run")
    assert final_state(folder)["nimg"] == 2

    again = [text for text in overrides if not text.startswith("init_from=")]
    again += ["init_from=null"] if again != overrides else []
    train(*again, "resume=runs/run", "train.kimg=0.003")
    assert final_state(folder)["nimg"] == 3

    snapshot = load_snapshot(folder)
    assert snapshot.meta["nimg"] == 3
    for name, network in snapshot.networks.items():
        x = torch.rand(2, 3, 32, 32) * 2 - 1
        if name == "G":
            label = torch.eye(network.label_dim)[:2] if network.label_dim else None
            y = network(torch.randn(2, 8), label)
            x = x[:, :1] if choice == "data=mnist" else x
        elif name == "E":
            assert network(x).shape == (2, network.num_ws, network.w_dim)
            continue
        else:
            is_colors = choice == COLORIZE  # of a lightness
            y = network(x[:, :1] if is_colors else x)
            x = x[:, :2] if is_colors else x
            assert y.abs().max() <= 1
        assert y.shape == x.shape and torch.isfinite(y).all()


STYLEGAN = [
    *[f"model.loss={loss}" for loss in ("hinge", "lsgan", "wgan_gp")],
    "model.augment=fixed model.augment_p=0.9 model.augment_spec=bgcfnc",
    "model.augment=none",
    "model.g_architecture=resnet model.d_architecture=skip",
    "model.g_architecture=orig model.d_architecture=orig",
    "model.noise=none model.style_mixing_prob=0 model.pl_weight=0 model.r1_gamma=0",
    "model.freeze_d=4",
    "data.labels=true",
    "data.resolution=48",
    "train.batch=4 train.microbatch=2 train.kimg=0.008",
    "train.batch=null train.ema_kimg=null train.kimg=0.032",
    "runtime.precision=bf16",
    "runtime.channels_last=true",
    "optimizer=rmsprop",
]


@pytest.mark.parametrize("settings", STYLEGAN)
def test_stylegan_setting(settings: str, pictures: Path) -> None:
    train(*commands("model=stylegan", pictures), *settings.split())
    assert final_state(Path("runs/run"))["nimg"] >= 2


@pytest.mark.parametrize(
    "settings",
    [
        ["model.generator=unet_128", "data.resolution=128", "data.train_images=4"],
        ["model.generator=unet_256", "data.resolution=256", "data.train_images=4"],
        ["model.discriminator=pixel"],
        ["model.upsample=resize", "model.downsample=antialias", "model.spectral_norm=true"],
        ["model.upsample=antialias", "runtime.channels_last=true"],
        ["model.norm=batch", "train.batch=2"],
        ["model.norm=none"],
        ["model.dropout=true"],
        ["model.mode=reference"],
        ["model.init=xavier"],
        *[[f"model.loss={loss}"] for loss in ("vanilla", "hinge", "wgan_gp")],
        ["train.batch=4", "train.microbatch=2", "train.kimg=0.004"],
        ["runtime.channels_last=true"],
        ["runtime.precision=bf16"],
        ["runtime.deterministic=true"],
        ["train.on_nonfinite=skip"],
        ["lr.schedule=cosine"],
        ["train.kimg=null", "train.epochs=0.5", "lr.unit=epoch", "data.train_images=4"],
    ],
    ids=" ".join,
)
def test_setting(settings: list[str], pictures: Path) -> None:
    train(*commands("data=shapes", pictures), *settings)
    assert final_state(Path("runs/run"))["nimg"] >= 2


@pytest.mark.parametrize(
    "settings",
    [
        ["model.nce_identity=false", "model.flip_equivariance=true", "model.spectral_norm=true"],
        ["model.norm=batch", "train.batch=2", "model.all_negatives=true"],
        ["model.dropout=true", "model.discriminator=pixel"],
        ["model.upsample=transpose", "model.downsample=strided", "model.nce_layers=[0,4]"],
        ["model.direction=ba", "model.loss=wgan_gp", "model.mode=reference"],
        ["train.batch=4", "train.microbatch=2", "train.kimg=0.004", "runtime.channels_last=true"],
        ["runtime.precision=bf16", "model.lambda_nce=[[0,0],[0.001,1]]"],
    ],
    ids=" ".join,
)
def test_cut_setting(settings: list[str], pictures: Path) -> None:
    train(*commands("model=cut", pictures), *settings)
    assert final_state(Path("runs/run"))["nimg"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cyclegan", "cut", "stylegan", "dcgan"])
@pytest.mark.parametrize("loss", ["lsgan", "wgan_gp"])
def test_compiled(model: str, loss: str, pictures: Path) -> None:
    if model == "dcgan" and loss == "wgan_gp":
        loss = "hinge"
    choice = [*commands(f"model={model}", pictures), "data.resolution=16", f"model.loss={loss}"]
    train(*choice, "out=eager")
    train(*choice, "runtime.compile=true")
    ours, theirs = rows(Path("runs/run"))[0], rows(Path("eager/run"))[0]
    losses = [name for name in theirs if name.startswith("loss/")]
    assert len(losses) >= 3
    for name in losses:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-6), name


def test_stylegan2_is_another_name_of_stylegan() -> None:
    assert compose("train", ["model=stylegan2"]) == compose("train", ["model=stylegan"])
