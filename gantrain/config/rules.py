"""Combinations of settings that cannot work.

A rule depends on the keys that exist, never on the name of a GAN: the rule about generators skips
a model without a `generator` key. Every value has already passed its own check.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from gantrain.config import data_kind, schedules
from gantrain.config.ignored import IGNORED
from gantrain.config.machine import DEVICES
from gantrain.config.suggestions import budget_alone
from gantrain.errors import format_value
from gantrain.io.names import name_fault
from gantrain.metrics.protocol import FEATURES, METRICS, value_names

Config = dict[str, Any]
LONGEST_NAME = 255  # bytes, on every usual file system
PAIR_METRICS = ("l1", "psnr", "ssim")  # see metrics.paired
# The sides of an image must be multiples of this, by generator
MULTIPLES = {"resnet": 4, "unet_128": 128, "unet_256": 256}


def problems(config: Config) -> list[str]:
    """Return one sentence for each combination that cannot work."""
    checks = (
        _budget,
        _learning_rate,
        _ramps,
        _machine,
        _sizes,
        _channels,
        _resampling,
        _losses,
        _penalty,
        _momentum,
        _augmentation,
        _starting_point,
        name_problems,
        _objective,
        _evaluation,
    )
    return [problem for check in checks for problem in check(config)]


def warnings(config: Config, typed_keys: set[str]) -> list[str]:
    """Return sentences about keys without effect, and advice on unusual combinations.

    Args:
        config: plain values of the whole config.
        typed_keys: the dotted keys on the command line; only these are reported as without effect.
    """
    sentences = [
        f"{key} has no effect: {why}."
        for key, (without_effect, why) in IGNORED.items()
        if key in typed_keys and without_effect(lambda name: _get(config, name))
    ]
    if _get(config, "model.loss") == "wgan_gp" and _get(config, "model.norm") == "batch":
        sentences.append(
            "model.loss=wgan_gp with model.norm=batch: the gradient penalty is meant for one image "
            "at a time and batch norm mixes them; model.norm=instance is the usual choice."
        )
    if _get(config, "model.augment") == "fixed" and not _get(config, "model.augment_p"):
        sentences.append(
            "model.augment=fixed with model.augment_p=0 (the default) augments nothing: raise "
            "model.augment_p, for example to model.augment_p=0.2."
        )
    if _get(config, "model.freeze_d") and not config["init_from"] and _is_new(config):
        sentences.append(
            f"model.freeze_d={format_value(_get(config, 'model.freeze_d'))} without init_from "
            "freezes layers with random weights: it is meant for fine-tuning, give init_from=."
        )
    first_stage, kimg = _get(config, "model.adversarial_kimg"), _get(config, "train.kimg")
    if first_stage and kimg is not None and first_stage >= kimg:
        sentences.append(
            f"model.adversarial_kimg={format_value(first_stage)} leaves nothing of "
            f"train.kimg={format_value(kimg)} for the second stage: this run trains with the "
            "adversarial losses alone."
        )
    return sentences


def _is_new(config: Config) -> bool:
    return config["resume"] in (None, "auto")


def _get(config: Config, key: str) -> Any:
    section, _, name = key.rpartition(".")
    return (config[section] if section else config).get(name)


def _evaluation(config: Config) -> Iterator[str]:
    section = config["evaluation"]
    if not (section["every_kimg"] or section["every_epochs"]):
        return
    if not section["metrics"]:
        yield "evaluation.metrics is empty: name metrics, or set evaluation.every_kimg=0."
    for name in section["metrics"]:
        if name not in METRICS:
            yield (
                f"evaluation.metrics: {format_value(name)} is not a metric. Metrics: "
                f"{', '.join(METRICS)}."
            )
    best, measured = section["best"], value_names(section["metrics"])
    if best is not None and best not in measured:
        yield f"evaluation.best={best} is not measured: it must be one of {', '.join(measured)}."
    needed = {
        "inception": section["extractor"] == "inception" and set(section["metrics"]) & {*FEATURES},
        "lpips": set(section["metrics"]) & {"lpips", "path_length"},
    }
    from gantrain.metrics import weights  # its downloads import http.client

    for name in (name for name, metrics in needed.items() if metrics):
        if message := weights.missing_message(name, section[name]):
            yield message.replace(f"weights.{name}=", f"evaluation.{name}=")


def _budget(config: Config) -> Iterator[str]:
    train = config["train"]
    kimg, epochs, batch, micro = (train[k] for k in ("kimg", "epochs", "batch", "microbatch"))
    if kimg is not None and epochs is not None:
        fix = " ".join(budget_alone("train.kimg", lambda key: _get(config, key)))
        yield (
            f"train.kimg={format_value(kimg)} and train.epochs={format_value(epochs)} are two "
            f"budgets: add {fix} (or train.kimg=null)."
        )
    if kimg is None and epochs is None:
        yield "train.kimg and train.epochs are both null: give one, for example train.kimg=100."
    if micro and batch and batch % micro:
        divisors = [n for n in range(1, batch + 1) if batch % n == 0]
        near = min(divisors, key=lambda n: abs(n - micro))
        yield (
            f"train.microbatch={micro} does not divide train.batch={batch}: "
            f"the nearest that does is train.microbatch={near}."
        )


def _learning_rate(config: Config) -> Iterator[str]:
    lr, by_epochs = config["lr"], config["train"]["epochs"] is not None
    if lr["unit"] == "epoch" and lr["schedule"] != "constant" and not by_epochs:
        yield "lr.unit=epoch needs a budget in train.epochs: add lr.unit=image."
    if lr["schedule"] == "step" and lr["step_kimg"] is None:
        yield "lr.schedule=step needs lr.step_kimg, for example lr.step_kimg=50."


def _ramps(config: Config) -> Iterator[str]:
    if config["train"]["kimg"] is not None:
        return
    found = schedules.find(config).items()
    if names := [key for key, schedule in found if schedules.is_open(schedule)]:
        yield (
            f"{', '.join(names)}: a ramp of kimg=null lasts as long as train.kimg, which is null: "
            "give the budget as train.kimg, or every ramp its kimg."
        )


def _machine(config: Config) -> Iterator[str]:
    device, precision = config["runtime"]["device"], config["runtime"]["precision"]
    if not re.fullmatch(DEVICES, device):
        yield f"runtime.device={device} is not a device: use auto, cpu, cuda, cuda:N or mps."
    elif precision == "tf32" and device in ("cpu", "mps"):
        yield (
            f"runtime.precision=tf32 works on NVIDIA GPUs only, and runtime.device={device}: "
            "use runtime.precision=fp32 or bf16."
        )
    devices, batch = config["runtime"]["devices"], config["train"]["batch"]
    if devices > 1 and (device == "mps" or ":" in device):
        yield (
            f"runtime.devices={devices} does not fit runtime.device={device}, a single device: use "
            "runtime.device=cuda (CUDA_VISIBLE_DEVICES selects the GPUs) or cpu."
        )
    if batch and batch % devices:
        near = max(round(batch / devices), 1) * devices
        yield (
            f"train.batch={batch} (images per step, over all devices) cannot be split evenly "
            f"over runtime.devices={devices}: the nearest that can is train.batch={near}."
        )


def _sizes(config: Config) -> Iterator[str]:
    data = config["data"]
    preprocess = data.get("preprocess", "resize_and_crop")
    if "resolution" not in data or "crop" not in preprocess:
        return  # the size comes from the images: the preflight of the data set checks it
    sides = _sides(data["resolution"])
    multiple = MULTIPLES.get(config["model"].get("generator", ""), 1)
    if any(side % multiple for side in sides):
        near = [max(multiple, round(side / multiple) * multiple) for side in sides]
        yield (
            f"data.resolution={format_value(data['resolution'])} does not fit "
            f"model.generator={config['model']['generator']}, which needs multiples of {multiple}: "
            f"the nearest is data.resolution={format_value(near if len(near) > 1 else near[0])}."
        )
    load = data.get("load_size")
    if load is not None and preprocess == "resize_and_crop" and _smaller(_sides(load), sides):
        yield (
            f"data.load_size={format_value(load)} is smaller than data.resolution="
            f"{format_value(data['resolution'])}, the crop taken from it: make it at least as "
            "large, or null."
        )


def _losses(config: Config) -> Iterator[str]:
    """Refuse a generator without any loss; models without lambda_adversarial always have one."""
    weights = {key: x for key, x in config["model"].items() if key.startswith("lambda_")}
    if "lambda_adversarial" not in weights:
        return
    for name, weight in weights.items():
        without_effect, _ = IGNORED.get(f"model.{name}", (lambda get: False, ""))
        is_used = not without_effect(lambda key: _get(config, key))
        if is_used and not schedules.is_zero(weight):
            return
    keys = [f"model.{name}" for name in weights]
    yield f"{', '.join(keys)}: all are 0, and the generator would learn nothing. Raise one of them."


def _penalty(config: Config) -> Iterator[str]:
    preprocess = config["data"].get("preprocess")
    if config["model"].get("loss") == "wgan_gp" and preprocess in ("none", "scale_width"):
        yield (
            f"model.loss=wgan_gp interpolates between images and translations of the same size, "
            f"but data.preprocess={preprocess} leaves images of any size: use resize_and_crop."
        )


def _sides(size: int | list[int]) -> list[int]:
    return size if isinstance(size, list) else [size]


def _smaller(load: list[int], sides: list[int]) -> bool:
    count = max(len(load), len(sides))
    pairs = zip(load * (count // len(load)), sides * (count // len(sides)), strict=False)
    return any(a < b for a, b in pairs)


def _channels(config: Config) -> Iterator[str]:
    a, b = config["data"].get("channels_a"), config["data"].get("channels_b")
    if a != b and config["model"].get("lambda_identity"):
        yield (
            f"model.lambda_identity={format_value(config['model']['lambda_identity'])} compares "
            f"an image with its own translation, but data.channels_a={a} and data.channels_b={b} "
            "differ: add model.lambda_identity=0."
        )
    if a != b and "nce_layers" in config["model"]:
        yield (
            "This model's generator also encodes its own translations, but "
            f"data.channels_a={a} and data.channels_b={b} differ: make them equal, or use "
            "model=cyclegan model.lambda_identity=0."
        )


def _resampling(config: Config) -> Iterator[str]:
    model = config["model"]
    if not model.get("generator", "").startswith("unet"):
        return
    for key, published in (("upsample", "transpose"), ("downsample", "strided")):
        if model.get(key, published) != published:
            yield (
                f"model.{key}={model[key]} needs model.generator=resnet: the U-Net's own layers "
                f"change the size, so add model.{key}={published}."
            )


def _momentum(config: Config) -> Iterator[str]:
    optimizer = config["optimizer"]
    if optimizer.get("nesterov") and (not optimizer.get("momentum") or optimizer.get("dampening")):
        yield "optimizer.nesterov=true needs optimizer.momentum above 0 and optimizer.dampening=0."


def _augmentation(config: Config) -> Iterator[str]:
    model = config["model"]
    p, max_p = model.get("augment_p"), model.get("ada_max_p")
    if model.get("augment") == "ada" and p is not None and max_p is not None and p > max_p:
        yield (
            f"model.augment_p={format_value(p)}, ADA's initial value, is above its bound "
            f"model.ada_max_p={format_value(max_p)}: lower the first or raise the second."
        )


def _starting_point(config: Config) -> Iterator[str]:
    resume, name = config["resume"], config["name"]
    if resume == "auto" and name is None:
        yield "resume=auto needs the name of the run: add name=..., the same at every start."
    if resume not in (None, "auto") and config["init_from"] is not None:
        yield (
            f"resume={resume} and init_from={config['init_from']} exclude each other: "
            "resume continues a run, init_from starts a new one from its weights."
        )


def name_problems(config: Config) -> Iterator[str]:
    """Yield the problems with the keys `name` and `out`, which make up a run directory."""
    name = config["name"]
    if name is not None and (not name or re.search(r"[/\\]", name) or name in (".", "..")):
        yield f"name={name} must be a plain folder name: its parent folder is out=..."
    elif (
        name is not None
        and (fault := name_fault(name))
        and config.get("resume") in (None, "auto")  # else it is that of a folder that is there
    ):
        yield (
            f"name={name} {fault}, so the run could not be copied to every system: give another "
            "name (an existing run goes on with resume=FOLDER)."
        )
    elif name is not None and (size := len(os.fsencode(name))) > LONGEST_NAME:
        yield (
            f"name={name[:20]}... is too long for a folder: {size} bytes, and at most "
            f"{LONGEST_NAME} are possible."
        )
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in str(config["out"]).split("/")):
        yield f"out={config['out'][:20]}... has a folder whose name is too long."
    if not config["out"]:
        yield "out= is empty: give a folder, for example out=runs."


def _objective(config: Config) -> Iterator[str]:
    """Yield the problems that can be known before the first report: those of test pair metrics."""
    name = config["objective"]
    if name in PAIR_METRICS:
        yield f"objective={name} is not a full name: write objective=pairs/{name}."
    if name is None or not name.startswith("pairs/"):
        return
    known = [f"pairs/{way}{metric}" for way in ("", "ab/", "ba/") for metric in PAIR_METRICS]
    if name not in known:
        yield (
            f"objective={name} is not a value measured on test pairs. Those are {', '.join(known)}."
        )
    elif data_kind.class_attribute(config["model"].get("_target_"), "takes") == "images":
        yield (
            f"objective={name} compares translations with their ground truth, but this model does "
            "not translate: use another value that it reports, such as loss/G/adversarial."
        )
    elif config["evaluation"]["test_images"] == 0:
        yield f"objective={name} needs test images: give evaluation.test_images=100."
