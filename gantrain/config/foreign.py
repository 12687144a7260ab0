"""Settings of other programs (pytorch-CycleGAN-and-pix2pix, StyleGAN's, ...) in gantrain's words.

For keys whose value may mean something else here; `suggestions.ALIASES` has plain names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gantrain.errors import format_value


@dataclass(frozen=True)
class Foreign:
    """A setting as typed, and what else was typed.

    Attributes:
        name: the last part of the key.
        value: as typed; a switch without a value is "true".
        typed: the values of all settings of the command line, by last part of the key.
        current: the value of one of gantrain's own keys, or None.
    """

    name: str
    value: str
    typed: dict[str, str]
    current: Callable[[str], Any] = field(repr=False)

    @property
    def on(self) -> bool:
        """Whether a switch is on."""
        return self.value.lower() not in ("false", "0", "no", "off", "none", "null")

    @property
    def number(self) -> float:
        """The value as a number.

        Raises:
            ValueError: it is none.
        """
        number = float(self.value)
        if not math.isfinite(number):
            raise ValueError
        return number


# Values of --cfg of the StyleGAN programs
RECIPES = (
    "auto", "paper256", "paper512", "paper1024", "stylegan2", "cifar", "stylegan3-t", "stylegan3-r",
)  # fmt: skip
Answer = tuple[list[str], str]  # overrides to write instead, and a sentence


def translate(setting: Foreign) -> Answer | None:
    """Return what to write instead of a setting of another program, and what to know about it.

    Returns:
        (overrides, a sentence or ""), or None if the name is not known here.
    """
    for names, explain in RULES.items():
        if setting.name in names:
            try:
                return explain(setting)
            except (ValueError, OverflowError, ZeroDivisionError):
                return None
    return None


def _number(value: float) -> str:
    return f"{value:.6g}" if abs(value) < 1e6 or value % 1 else f"{value:.0f}"


def _switch(key: str, inverted: bool = False) -> Callable[[Foreign], Answer]:
    return lambda x: ([f"{key}={format_value(x.on != inverted)}"], "")


def _scaled(key: str, factor: float, unit: str) -> Callable[[Foreign], Answer]:
    return lambda x: ([f"{key}={_number(x.number * factor)}"], unit)


def _choice(key: str, choices: dict[str, str]) -> Callable[[Foreign], Answer | None]:
    """Translate values; those that are not in `choices` are none of the other program either."""

    def explain(x: Foreign) -> Answer | None:
        chosen = choices.get(x.value.lower())
        return None if chosen is None else ([f"{key}={chosen}"], "")

    return explain


def _generator(x: Foreign) -> Answer | None:
    kind, _, size = x.value.partition("_")
    if kind == "resnet" and size.rstrip("blocks").isdigit():
        return ["model.generator=resnet", f"model.blocks={size.rstrip('blocks')}"], ""
    return ([f"model.generator={x.value}"], "") if x.value in ("unet_128", "unet_256") else None


def _discriminator(x: Foreign) -> Answer | None:
    if x.value == "n_layers":
        layers = x.typed.get("n_layers_D", "3")
        return ["model.discriminator=patch", f"model.d_layers={layers}"], ""
    if x.value == "basic":
        return ["model.discriminator=patch", "model.d_layers=3"], ""
    return (["model.discriminator=pixel"], "") if x.value == "pixel" else None


def _epochs(x: Foreign) -> Answer:
    """The reference gives epochs before and during the decay, gantrain their sum and the share."""

    def value(names: tuple[str, ...]) -> float:
        return float(next((x.typed[name] for name in names if name in x.typed), "100"))

    constant, decay = value(("n_epochs", "niter")), value(("n_epochs_decay", "niter_decay"))
    total = constant + decay
    if not total > 0 or constant < 0 or decay < 0:
        raise ValueError
    overrides = [f"train.epochs={_number(total)}"]
    if x.current("lr.schedule") in (None, "linear", "cosine"):
        overrides += [f"lr.decay={_number(decay / total)}"]
    return overrides, (
        f"In the reference, {_number(constant)} epochs come before the decay and {_number(decay)} "
        "are part of it."
    )


def _devices(x: Foreign) -> Answer:
    ids = [item for item in x.value.strip("[]").replace(" ", "").split(",") if item]
    if not all(item.lstrip("-").isdigit() for item in ids):
        raise ValueError
    if ids and all(int(item) >= 0 for item in ids):
        if len(ids) == 1:
            return [f"runtime.device=cuda:{int(ids[0])}"], ""
        return [f"runtime.devices={len(ids)}"], (
            f"With CUDA_VISIBLE_DEVICES={','.join(ids)} before the command, these are the GPUs."
        )
    return ["runtime.device=cpu"], ""


def _device_count(x: Foreign) -> Answer:
    count = int(x.value)
    return ([f"runtime.devices={count}"], "") if count > 0 else (["runtime.device=cpu"], "")


def _betas(x: Foreign) -> Answer:
    betas = x.current("optimizer.betas")
    first, second = betas if isinstance(betas, (list, tuple)) and len(betas) == 2 else (0.5, 0.999)
    first = x.typed.get("beta1", x.typed.get("beta", format_value(first)))
    second = x.typed.get("beta2", format_value(second))
    if not all(0 <= float(beta) < 1 for beta in (first, second)):
        raise ValueError
    return [f"optimizer.betas=[{first},{second}]"], ""


def _resume(x: Foreign) -> Answer:
    if not x.on:
        return [], "Leave it out: a new name= starts a new run."
    name = x.typed.get("name", x.current("name"))
    if name in (None, "null"):
        return [], "Write resume=runs/NAME, the directory of the run to continue."
    return ["resume=auto"], "Repeating the command of a run resumes it, too."


def _precision(x: Foreign) -> Answer | None:
    words = {"fp16": "bf16", "float16": "bf16", "half": "bf16", "16": "bf16", "bfloat16": "bf16"}
    words |= {"float32": "fp32", "32": "fp32", "bf16": "bf16", "fp32": "fp32", "tf32": "tf32"}
    if x.value.lower() in words:
        chosen = words[x.value.lower()]
    elif x.name == "dtype":
        return None
    else:
        chosen = "bf16" if x.on else "fp32"
    note = "gantrain trains with bf16 where others use fp16, which needs loss scaling."
    return [f"runtime.precision={chosen}"], note if "16" in x.name + x.value else ""


def _half_life(x: Foreign) -> Answer:
    """A decay per step, as a half-life in kimg."""
    decay, batch = x.number, x.current("train.batch")
    if not 0 < decay < 1 or not isinstance(batch, int):
        raise ValueError
    kimg = batch * math.log(0.5) / math.log(decay) / 1000
    return [f"train.ema_kimg={_number(kimg)}"], (
        f"It is the half-life in thousands of images, here for train.batch={batch}."
    )


def _direction(x: Foreign) -> Answer | None:
    way = {"atob": "ab", "btoa": "ba"}.get(x.value.lower())
    if way is None:
        return None
    if x.current("data.direction") is not None:
        return [f"data.direction={way}"], ""
    if x.current("gallery") is not None:  # of gantrain translate
        return [f"direction={way}"], ""
    return [], (
        f"A CycleGAN learns both directions: leave it out, and write direction={way} for gantrain "
        "translate."
    )


def _limit(x: Foreign) -> Answer:
    value = "null" if x.value.lower() in ("inf", "infinity") else str(int(x.number))
    return [f"data.max_images={value}"], ""


def _augmentation(x: Foreign) -> Answer | None:
    choices = {"noaug": "none", "ada": "ada", "fixed": "fixed", "none": "none"}
    choices |= {"true": "ada", "1": "ada", "false": "none", "0": "none"}
    if x.current("model.augment_color") is not None:  # R3GAN's augmentation is not adaptive
        return ([], "Leave it out: model=r3gan augments.") if x.on else (["model.augment_p=0"], "")
    chosen = choices.get(x.value.lower())
    return None if chosen is None else ([f"model.augment={chosen}"], "")


def _recipe(x: Foreign) -> Answer | None:
    if x.value not in RECIPES:
        return None
    if x.value in ("stylegan3-t", "stylegan3-r"):
        return ["model=stylegan3", f"model.config={x.value[-1]}"], ""
    if x.value == "auto":
        return ["model=stylegan"], ""
    return [f"experiment=stylegan_{x.value}"], ""


def _rate_of_d(x: Foreign) -> Answer:
    try:
        rate = float(x.typed.get("glr") or x.current("optimizer.lr"))
        factor = x.number / rate
    except (TypeError, ValueError, ZeroDivisionError):  # TypeError: a schedule
        return [], "Write lr.d_factor=..., D's learning rate divided by optimizer.lr, which is G's."
    note = f"It is D's learning rate divided by G's, which is {_number(rate)}."
    return [f"lr.d_factor={_number(factor)}"], note


def _preset(x: Foreign) -> Answer | None:
    recipe = x.value.lower().replace("-", "").replace("_", "")
    presets = ("cifar10", "ffhq64", "ffhq256", "imagenet32", "imagenet64")
    return ([f"experiment=r3gan_{recipe}"], "") if recipe in presets else None


def _snapshots(x: Foreign) -> Answer:
    tick = float(x.typed.get("tick", 4))
    kimg = f"checkpoint.snapshot_every_kimg={_number(x.number * tick)}"
    ticks = f"ticks of {_number(1000 * tick)} images"
    return [kimg], f"The reference counts {ticks}, gantrain thousands of images."


Rule = Callable[[Foreign], Answer | None]
EPOCHS = ("n_epochs", "n_epochs_decay", "niter", "niter_decay")
IMAGES = "The reference counts images, gantrain thousands of them."
LOSSES = {"lsgan": "lsgan", "vanilla": "vanilla", "wgangp": "wgan_gp", "wgan_gp": "wgan_gp"}
LOSSES |= {"wgan-gp": "wgan_gp", "hinge": "hinge"}
POLICIES = {name: name for name in ("constant", "linear", "cosine", "step")}
RULES: dict[tuple[str, ...], Rule] = {
    ("no_flip",): _switch("data.flip", inverted=True),
    ("no_dropout",): _switch("model.dropout", inverted=True),
    ("use_dropout",): _switch("model.dropout"),
    ("hflip", "mirror", "xflip"): _switch("data.flip"),
    ("cond", "conditional", "class_cond"): _switch("data.labels"),
    ("torch_compile", "jit"): _switch("runtime.compile"),
    EPOCHS: _epochs,
    ("gpu_ids", "gpu_id", "gpu"): _devices,
    ("gpus", "num_gpus", "ngpu", "n_gpus"): _device_count,
    ("cuda", "use_cuda"): lambda x: ([f"runtime.device={'cuda' if x.on else 'cpu'}"], ""),
    ("accelerator",): _choice("runtime.device", {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu"}),
    ("netG", "net_g"): _generator,
    ("netD", "net_d"): _discriminator,
    ("beta1", "beta2", "beta"): _betas,
    ("continue_train",): _resume,
    ("save_epoch_freq",): _scaled("checkpoint.every_epochs", 1, ""),
    ("save_latest_freq",): _scaled("checkpoint.every_kimg", 0.001, IMAGES),
    ("print_freq",): _scaled("tracking.every_kimg", 0.001, IMAGES),
    ("display_freq",): _scaled("tracking.grid_every_kimg", 0.001, IMAGES),
    ("snap",): _snapshots,
    ("amp", "dtype", "half", "fp16", "bf16", "mixed_precision"): _precision,
    ("ema_decay",): _half_life,
    ("gan_mode", "gan_loss"): _choice("model.loss", LOSSES),
    ("lr_policy", "scheduler", "lr_schedule"): _choice("lr.schedule", POLICIES),
    ("direction", "which_direction"): _direction,
    ("max_dataset_size",): _limit,
    ("aug", "augmentation", "ada"): _augmentation,
    ("cfg",): _recipe,
    ("preset",): _preset,
    ("dlr", "lr_d"): _rate_of_d,
}


def names() -> list[str]:
    """Return the names of all settings of other programs that are translated."""
    return sorted(name for rule in RULES for name in rule)
