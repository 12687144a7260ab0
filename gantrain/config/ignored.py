"""Settings that have no effect beside others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gantrain.config import data_kind
from gantrain.config.addresses import REMOTE_KEYS
from gantrain.engine.distributed import environment

Get = Callable[[str], Any]


def _is_remote(get: Get) -> bool:
    return any("://" in str(get(key)) for key in REMOTE_KEYS if key.startswith("data."))


# {key: (whether it has no effect, why)}; a message is "key has no effect: why."
IGNORED: dict[str, tuple[Callable[[Get], bool], str]] = {
    "model.blocks": (
        lambda get: get("model.generator") in ("unet_128", "unet_256"),
        "only model.generator=resnet has blocks",
    ),
    "model.d_layers": (
        lambda get: get("model.discriminator") == "pixel",
        "only model.discriminator=patch has layers to count",
    ),
    "model.gp_weight": (
        lambda get: get("model.loss") not in (None, "wgan_gp"),
        "only model.loss=wgan_gp has a gradient penalty",
    ),
    "model.lambda_identity": (
        lambda get: get("model.lambda_cycle") == 0,
        "it is relative to model.lambda_cycle, which is 0",
    ),
    **dict.fromkeys(
        ("model.ada_target", "model.ada_kimg", "model.ada_max_p"),
        (lambda get: get("model.augment") != "ada", "only model.augment=ada uses it"),
    ),
    **dict.fromkeys(
        ("model.augment_p", "model.augment_spec"),
        (lambda get: get("model.augment") == "none", "model.augment=none"),
    ),
    "model.r1_interval": (
        lambda get: (
            get("model.r1_gamma") == 0
            or (get("model.r1_gamma") is None and get("model.loss") == "wgan_gp")
        ),
        "model.r1_gamma is 0 (null means 0 with model.loss=wgan_gp)",
    ),
    "model.pl_interval": (lambda get: get("model.pl_weight") == 0, "model.pl_weight=0"),
    "model.adversarial_kimg": (
        lambda get: get("model.lambda_latent") == 0 and get("model.lambda_image") == 0,
        "model.lambda_latent=0 and model.lambda_image=0: there is no second stage",
    ),
    "runtime.timeout": (
        lambda get: get("runtime.devices") == 1 and environment.from_environment() is None,
        "there is only one process",
    ),
    "train.ema_rampup": (lambda get: get("train.ema_kimg") == 0, "train.ema_kimg=0"),
    "lr.decay": (
        lambda get: get("lr.schedule") in ("constant", "step"),
        "only lr.schedule=linear and cosine decay over a fraction of the budget",
    ),
    "lr.step_kimg": (lambda get: get("lr.schedule") != "step", "only lr.schedule=step uses it"),
    "lr.step_factor": (lambda get: get("lr.schedule") != "step", "only lr.schedule=step uses it"),
    "lr.compat": (lambda get: get("lr.unit") == "image", "only lr.unit=epoch uses it"),
    "lr.unit": (lambda get: get("lr.schedule") == "constant", "lr.schedule=constant never changes"),
    "data.load_size": (
        lambda get: get("data.preprocess") in ("crop", "none"),
        "data.preprocess=crop and none do not resize",
    ),
    "data.cache_gb": (lambda get: get("data.cache") == "none", "data.cache=none"),
    "data.cache_dir": (
        lambda get: get("data.cache") in ("none", "memory") and not _is_remote(get),
        "only data.cache=disk and auto write files",
    ),
    "data.remote_cache_gb": (
        lambda get: not _is_remote(get),
        "only data at an address, such as data.root=s3://..., is kept in that cache",
    ),
    "evaluation.test_images": (
        lambda get: data_kind.class_attribute(get("model._target_"), "takes") == "images",
        "only models with two domains translate test images",
    ),
    **{
        f"{key}every_kimg": (
            lambda get, key=key: get(f"{key}every_epochs") is not None,
            f"{key}every_epochs is given instead",
        )
        for key in ("checkpoint.", "checkpoint.snapshot_", "evaluation.", "tracking.grid_")
    },
    "tracking.grid_images": (
        lambda get: (
            get("tracking.grid_every_kimg") == 0 and get("tracking.grid_every_epochs") is None
        ),
        "tracking.grid_every_kimg=0 writes no grids",
    ),
    "tracking.health_images": (
        lambda get: get("tracking.health_every_kimg") == 0,
        "tracking.health_every_kimg=0 turns the probes off",
    ),
    "tracking.project": (
        lambda get: not {"wandb", "mlflow"} & set(get("tracking.to")),
        "only the trackers wandb and mlflow have projects",
    ),
    "tracking.tags": (
        lambda get: not {"wandb", "mlflow"} & set(get("tracking.to")),
        "only the trackers wandb and mlflow have tags",
    ),
    "tracking.entity": (lambda get: "wandb" not in get("tracking.to"), "it is of wandb"),
    "tracking.mode": (lambda get: "wandb" not in get("tracking.to"), "it is of wandb"),
    "tracking.uri": (lambda get: "mlflow" not in get("tracking.to"), "it is of mlflow"),
    "stop_on_failure": (lambda get: get("stop_on_failure"), "there is only one run"),
    "resume_force": (lambda get: get("resume") is None, "resume is not set"),
}
