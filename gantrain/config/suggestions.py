"""Suggest the intended key for an unknown one."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher
from typing import Any

from gantrain.errors import format_value

ALIASES = {  # the name in other programs -> our key
    **dict.fromkeys(("batch_size", "bs", "batchsize", "batchSize"), "train.batch"),
    **dict.fromkeys(("micro_batch", "microbatch_size", "batch_gpu"), "train.microbatch"),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs", "niter"), "train.epochs"),
    **dict.fromkeys(("total_kimg", "max_kimg"), "train.kimg"),
    **dict.fromkeys(("ema", "ema_decay", "ema_half_life"), "train.ema_kimg"),
    **dict.fromkeys(("lr", "learning_rate", "lr_g", "glr", "dlr"), "optimizer.lr"),
    **dict.fromkeys(("beta1", "beta2", "beta"), "optimizer.betas"),
    **dict.fromkeys(("wd", "l2"), "optimizer.weight_decay"),
    **dict.fromkeys(("lr_policy", "scheduler", "lr_schedule"), "lr.schedule"),
    **dict.fromkeys(("n_epochs_decay", "niter_decay", "decay_epochs"), "lr.decay"),
    **dict.fromkeys(("gpus", "gpu", "gpu_ids", "cuda", "accelerator", "devices"), "runtime.device"),
    **dict.fromkeys(
        ("amp", "dtype", "half", "fp16", "bf16", "mixed_precision"), "runtime.precision"
    ),
    **dict.fromkeys(("num_workers", "num_threads", "nworkers"), "runtime.workers"),
    **dict.fromkeys(("torch_compile", "jit"), "runtime.compile"),
    **dict.fromkeys(("lambda_A", "lambda_B", "lambda_cyc", "cycle_weight"), "model.lambda_cycle"),
    **dict.fromkeys(("lambda_idt", "lambda_id", "identity_weight"), "model.lambda_identity"),
    **dict.fromkeys(("gan_mode", "gan_loss"), "model.loss"),
    **dict.fromkeys(("netG", "net_g", "backbone"), "model.generator"),
    **dict.fromkeys(("netD", "net_d"), "model.discriminator"),
    **dict.fromkeys(("n_layers_D", "n_layers"), "model.d_layers"),
    **dict.fromkeys(("n_blocks", "num_blocks", "resblocks"), "model.blocks"),
    **dict.fromkeys(("norm_layer", "normalization"), "model.norm"),
    **dict.fromkeys(("init_type",), "model.init"),
    **dict.fromkeys(("no_dropout", "use_dropout"), "model.dropout"),
    **dict.fromkeys(("pool", "buffer_size", "replay_size"), "model.pool_size"),
    **dict.fromkeys(("dataroot", "data_root", "data_dir", "dataset_path", "path"), "data.root"),
    **dict.fromkeys(
        ("crop_size", "image_size", "img_size", "size", "fine_size"), "data.resolution"
    ),
    **dict.fromkeys(("loadSize", "resize"), "data.load_size"),
    **dict.fromkeys(("input_nc", "in_channels"), "data.channels_a"),
    **dict.fromkeys(("output_nc", "out_channels"), "data.channels_b"),
    **dict.fromkeys(("max_dataset_size", "limit"), "data.max_images"),
    **dict.fromkeys(("no_flip", "hflip", "mirror", "xflip"), "data.flip"),
    **dict.fromkeys(("gamma", "r1", "r1_weight"), "model.r1_gamma"),
    **dict.fromkeys(("latent_dim", "nz", "z_size"), "model.z_dim"),
    **dict.fromkeys(("map_depth", "n_mapping", "num_mapping_layers"), "model.mapping_layers"),
    **dict.fromkeys(("cbase", "fmap_base", "fmaps"), "model.channel_base"),
    **dict.fromkeys(("aug", "augmentation", "ada"), "model.augment"),
    **dict.fromkeys(("augpipe", "aug_pipe"), "model.augment_spec"),
    **dict.fromkeys(("freezed", "freezeD", "freeze"), "model.freeze_d"),
    **dict.fromkeys(("cond", "conditional", "class_cond"), "data.labels"),
    **dict.fromkeys(("rampup", "ema_ramp"), "train.ema_rampup"),
    **dict.fromkeys(("psi", "trunc", "truncation"), "truncation_psi"),
    **dict.fromkeys(("network", "pkl", "snapshot", "model_path"), "run"),
    **dict.fromkeys(("class_idx", "label"), "class"),
    **dict.fromkeys(("noise_mode",), "noise"),
    **dict.fromkeys(("row_seeds", "rows"), "style_mixing.rows"),
    **dict.fromkeys(("col_seeds", "cols"), "style_mixing.columns"),
    **dict.fromkeys(("styles", "col_styles"), "style_mixing.layers"),
    **dict.fromkeys(("frames",), "interpolation.frames"),
    **dict.fromkeys(("output", "output_dir", "outdir", "checkpoints_dir", "save_dir"), "out"),
    **dict.fromkeys(("exp_name", "run_name"), "name"),
    **dict.fromkeys(("continue_train", "resume_from"), "resume"),
    **dict.fromkeys(("pretrained", "finetune", "weights"), "init_from"),
    **dict.fromkeys(("manual_seed", "random_seed"), "seed"),
    **dict.fromkeys(("snap", "snapshot_every"), "checkpoint.snapshot_every_kimg"),
    **dict.fromkeys(("save_every", "save_freq", "save_latest_freq"), "checkpoint.every_kimg"),
    **dict.fromkeys(("log_every", "log_freq", "print_freq", "tick"), "tracking.every_kimg"),
    **dict.fromkeys(("display_freq", "sample_every"), "tracking.grid_every_kimg"),
    **dict.fromkeys(("num_test", "n_test"), "evaluation.test_images"),
    **dict.fromkeys(("dataset",), "data"),
    **dict.fromkeys(("optim",), "optimizer"),
    **dict.fromkeys(("exp", "recipe", "config"), "experiment"),
}


def unknown_key(key: str, value: Any, known: Collection[str]) -> str:
    """Return the sentence for a key that is not among the `known` dotted keys.

    Args:
        key: the dotted key as typed.
        value: its value, repeated in the suggestion.
        known: all dotted keys of the config.
    """
    suggestion = suggest(key, known)
    if suggestion:
        hint = f"Did you mean {suggestion}={format_value(value)}?"
    else:
        hint = "List all keys with --cfg job."
    return f"{key} is not a key. {hint}"


def suggest(key: str, known: Collection[str]) -> str | None:
    """Return the known key most likely meant, by full name, last part or alias; None: no idea.

    Args:
        key: the dotted key as typed.
        known: all dotted keys of the config.
    """
    last = key.rpartition(".")[2]
    same = [name for name in known if "." in name and name.rpartition(".")[2] == last]
    if len(same) == 1:
        return same[0]
    if ALIASES.get(last) in known:
        return ALIASES[last]
    scores = {name: _similarity(key, name) for name in known}
    for alias, name in ALIASES.items():
        if name in known:
            scores[name] = max(scores[name], 0.95 * _ratio(last, alias))
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] >= 0.6 else None


def _similarity(key: str, name: str) -> float:
    section, _, last = key.rpartition(".")
    name_section, _, name_last = name.rpartition(".")
    if bool(section) != bool(name_section):  # a key with as many dots as typed is more likely
        return 0.85 * _ratio(last, name_last)
    same_section = 0.03 * (section == name_section)
    return max(_ratio(key, name), 0.95 * _ratio(last, name_last) + same_section)


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a.lower(), b.lower()).ratio()


def names() -> list[str]:
    """Return the names of settings of other programs that are recognized."""
    return sorted(ALIASES)
