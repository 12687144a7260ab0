"""Suggest the intended key for an unknown one, with a value that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import yaml

from gantrain.config import choices, data_kind, foreign
from gantrain.config.annotations import accepts, describe, takes_schedule
from gantrain.config.machine import DEVICES
from gantrain.errors import format_value, listed, shown, similarity

ALIASES = {  # the name in other programs -> our key
    **dict.fromkeys(("batch_size", "bs", "batchsize", "batchSize"), "train.batch"),
    **dict.fromkeys(("micro_batch", "microbatch_size", "batch_gpu"), "train.microbatch"),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs", "niter"), "train.epochs"),
    **dict.fromkeys(("total_kimg", "max_kimg"), "train.kimg"),
    **dict.fromkeys(("ema", "ema_decay", "ema_half_life"), "train.ema_kimg"),
    **dict.fromkeys(("lr", "learning_rate", "lr_g", "glr"), "optimizer.lr"),
    **dict.fromkeys(("beta1", "beta2", "beta"), "optimizer.betas"),
    **dict.fromkeys(("wd", "l2"), "optimizer.weight_decay"),
    **dict.fromkeys(("lr_policy", "scheduler", "lr_schedule"), "lr.schedule"),
    **dict.fromkeys(("n_epochs_decay", "niter_decay", "decay_epochs"), "lr.decay"),
    **dict.fromkeys(("gpu", "gpu_ids", "cuda", "accelerator"), "runtime.device"),
    **dict.fromkeys(("gpus", "num_gpus", "nproc", "nproc_per_node"), "runtime.devices"),
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
    **dict.fromkeys(("input", "input_dir", "source"), "data.root"),
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
    **dict.fromkeys(("save_epoch_freq", "save_every_epochs"), "checkpoint.every_epochs"),
    **dict.fromkeys(("save_minutes", "save_every_minutes"), "checkpoint.every_minutes"),
    **dict.fromkeys(("eval_freq", "eval_every"), "evaluation.every_kimg"),
    **dict.fromkeys(("log_every", "log_freq", "print_freq", "tick"), "tracking.every_kimg"),
    **dict.fromkeys(("display_freq", "sample_every"), "tracking.grid_every_kimg"),
    **dict.fromkeys(("num_test", "n_test"), "evaluation.test_images"),
    **dict.fromkeys(("dataset",), "data"),
    **dict.fromkeys(("optim",), "optimizer"),
    **dict.fromkeys(("exp", "recipe", "config"), "experiment"),
}

CHOICES = {  # the same for the choices of a group
    "data": {
        **dict.fromkeys(("unpaired", "unaligned", "single", "images", "imagefolder"), "folder"),
        **dict.fromkeys(("aligned", "pairs", "side_by_side"), "paired"),
        **dict.fromkeys(("colorization", "colourize"), "colorize"),
    },
}

MISSPELLED = 0.8  # similarity from which a key of another choice is meant
NEAR = 0.7  # of a word to a known key, from which the slower search in other choices is left out


@dataclass(frozen=True)
class Situation:
    """What is known about a command line beside the key in question.

    Attributes:
        typed: the values of all settings, by last part of the key.
        current: the value of a key of the config, or None.
        chosen: group -> choice.
        deliberate: the groups whose choice was typed or follows from an experiment.
        takes: the kind of images that the model takes; None: unknown.
        elsewhere: the commands that have a key.
    """

    typed: Mapping[str, str] = field(default_factory=dict)
    current: Callable[[str], Any] = lambda _: None
    chosen: Mapping[str, str] = field(default_factory=dict)
    deliberate: frozenset[str] = frozenset()
    takes: str | None = None
    elsewhere: Callable[[str], list[str]] = lambda _: []


NOTHING_KNOWN = Situation()


def unknown_key(
    key: str, value: Any, known: Mapping[str, Any], situation: Situation = NOTHING_KNOWN
) -> str:
    """Return the sentence for a key that is not among the `known` dotted keys.

    Args:
        key: the dotted key as typed.
        value: its plain value, repeated in the suggestion if the suggested key takes it.
        known: the annotation of every dotted key of the config.
        situation: the rest of the command line.
    """
    sections = known.keys() - _without_sections(known).keys()
    known = _without_sections(known)
    return (
        _translation(key, value, known, situation)
        or _other_choice(key, value, known, situation)
        or f"{key} is not a key. {_hint(key, value, known, sections, situation)}"
    )


def suggest(
    key: str, known: Iterable[str], elsewhere: Callable[[str], list[str]] = lambda _: []
) -> str | None:
    """Return the known key most likely meant, by full name, last part or alias; None: no idea.

    Args:
        key: the dotted key as typed.
        known: all dotted keys of the config.
        elsewhere: the commands that have a key: then no similar one is suggested.
    """
    known, last = list(known), key.rpartition(".")[2]
    same = [name for name in known if "." in name and name.rpartition(".")[2] == last]
    if len(same) == 1:
        return same[0]
    if ALIASES.get(last) in known:
        return ALIASES[last]
    if elsewhere(key):
        return None
    scores = {name: _similarity(key, name) for name in known}
    for alias, name in ALIASES.items():
        if name in known:
            scores[name] = max(scores[name], 0.95 * similarity(last, alias))
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] >= 0.6 else None


def budget_alone(key: str, current: Callable[[str], Any]) -> list[str]:
    """Return the overrides that leave `key`, train.kimg or train.epochs, as the only budget.

    Args:
        key: the budget.
        current: the value of another key.
    """
    other = {"train.epochs": "train.kimg", "train.kimg": "train.epochs"}.get(key)
    if not other or current(other) is None:
        return []
    by_epoch = current("lr.unit") == "epoch" and current("lr.schedule") != "constant"
    unit = ["lr.unit=image"] if key == "train.kimg" and by_epoch else []
    return [f"{other}=null", *unit]


def names() -> list[str]:
    """Return the names of settings of other programs that are recognized."""
    return sorted({*ALIASES, *foreign.names()})


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a key takes a value, also as the text or list that it is converted to."""
    candidates = [value]
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        candidates += [str(value), [str(value)]]
    return any(accepts(candidate, annotation) for candidate in candidates)


def _without_sections(known: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the sections, which take no value; a group's annotation lists its choices.

    A key that holds a ramp, such as model.gamma of R3GAN, takes values as well.
    """
    sections = {key.rpartition(".")[0] for key in known}
    return {
        key: annotation
        for key, annotation in known.items()
        if key not in sections or get_origin(annotation) is Literal or takes_schedule(annotation)
    }


def _hint(
    key: str, value: Any, known: dict[str, Any], sections: set[str], situation: Situation
) -> str:
    meant = suggest(key, [*known, *sections], situation.elsewhere)
    if meant is None:
        if commands := situation.elsewhere(key):
            return f"It is a key of gantrain {listed(commands)}."
        return "List all keys with --help."
    if meant in sections:
        inside = [name for name in known if name.startswith(f"{meant}.")]
        return f"Did you mean the section {meant}? Its keys: {', '.join(inside)}."
    if meant == "runtime.device" and not re.fullmatch(DEVICES, format_value(value)):
        return f"Did you mean {meant}? It must be auto, cpu, cuda, cuda:N or mps."
    if fits(value, known[meant]):
        overrides = [
            shown(f"{meant}={format_value(value)}"),
            *budget_alone(meant, situation.current),
        ]
        return f"Did you mean {' '.join(overrides)}?"
    if get_origin(known[meant]) is Literal:
        names = ", ".join(map(format_value, get_args(known[meant])))
        return f"Did you mean {meant}? Choices: {names}."
    return f"Did you mean {meant}? It must be {describe(known[meant])}."


def _translation(key: str, value: Any, known: dict[str, Any], situation: Situation) -> str | None:
    """Explain a setting of another program whose value means something else here."""
    name = key.rpartition(".")[2]
    if any(full.rpartition(".")[2] == name for full in known):
        return None
    text = format_value(value)
    answer = foreign.translate(
        foreign.Foreign(name, text, {**situation.typed, name: text}, situation.current)
    )
    if answer is None:
        return None
    overrides, note = answer
    settings = [text.partition("=")[::2] for text in overrides]
    taken = known | _keys_of_choices(settings)
    if not all(part in taken and fits(_plain(text), taken[part]) for part, text in settings):
        for part, text in settings:
            if sentence := _other_choice(part, _plain(text), known, situation):
                return sentence
        return None
    overrides += [text for part, _ in settings for text in budget_alone(part, situation.current)]
    meant = f"Did you mean {' '.join(overrides)}?" if overrides else ""
    return " ".join(filter(None, (f"{key} is not a key.", meant, note)))


def _keys_of_choices(settings: list[tuple[str, ...]]) -> dict[str, Any]:
    """Return the annotations of the keys that come with choices such as model=stylegan3."""
    return {
        f"{group}.{name}": annotation
        for group, choice in settings
        if group in choices.BUILT
        for (owner, _), arguments in choices.classes(group).items()
        if owner == choice
        for name, annotation in arguments.items()
    }


def _plain(text: str) -> Any:
    """Return the value that a translated text stands for."""
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return yaml.safe_load(text)


def _other_choice(key: str, value: Any, known: dict[str, Any], situation: Situation) -> str | None:
    """Explain a key that only other choices of its group have, such as data.root of data=shapes."""
    intended = _intended(key, known)
    group, _, name = intended.partition(".")
    if intended in known or group not in choices.BUILT or not name:
        return None
    owners = choices.owners(group, name)
    if not owners or not any(known_key.startswith(f"{group}.") for known_key in known):
        return None
    if group == "data" and situation.takes in data_kind.WORDS:
        kinds = {owner: data_kind.class_attribute(owner[1], "kind") for owner in owners}
        fitting = [owner for owner in owners if kinds[owner] == situation.takes]
        if not fitting:
            return (
                f"{intended} is a key for {data_kind.WORDS[str(kinds[owners[0]])]}, but this model "
                f"trains on {data_kind.WORDS[situation.takes]}: remove it."
            )
        owners = fitting
    return _owned(intended, value, owners, situation)


def _intended(key: str, known: Iterable[str]) -> str:
    """Return the key of any choice that is meant, also one typed without its section or misspelled.

    A key of `known` that is as similar wins.
    """
    section, _, last = key.rpartition(".")
    if not section and any(name.rpartition(".")[2] == last for name in known):
        return key  # known by its full name, such as gamma of model=r3gan
    if section in choices.BUILT and choices.owners(section, last):
        return key
    if last in ALIASES:
        return ALIASES[last]
    best_known = max((_similarity(key, name) for name in known), default=0.0)
    if best_known > NEAR if not section else section not in choices.BUILT:
        return key
    enough = max(MISSPELLED, best_known)
    possible = [
        f"{group}.{name}"
        for group in ([section] if section else choices.BUILT)
        for name in dict.fromkeys(name for args in choices.classes(group).values() for name in args)
    ]
    close = max(possible, key=lambda name: _similarity(key, name), default=key)
    return close if _similarity(key, close) > enough else key


def _owned(key: str, value: Any, owners: list[tuple[str, str]], situation: Situation) -> str:
    """Name the choices that have a key, and how to get there."""
    group, _, name = key.partition(".")
    choice = f"{group}={owners[0][0]}"
    *others, last = dict.fromkeys(f"{group}={owner}" for owner, _ in owners)
    every = f"{', '.join(others)} and {last}" if others else last
    where = every if group == "model" else choice
    annotation = choices.classes(group)[owners[0]][name]
    if not fits(value, annotation):
        return f"{key} is a key of {where}. It must be {describe(annotation)}."
    setting = shown(f"{key}={format_value(value)}")
    if group not in situation.deliberate:
        return f"{key} is a key of {where}: add {choice} {setting}."
    present = situation.chosen.get(group)
    if present is None:
        return f"{key} is a key of {where}, not of what you chose: remove it."
    return (
        f"{key} is a key of {where}, not of {group}={present}: remove it, or write {choice} "
        f"{setting} instead of {group}={present}."
    )


def _similarity(key: str, name: str) -> float:
    section, _, last = key.rpartition(".")
    name_section, _, name_last = name.rpartition(".")
    if bool(section) != bool(name_section):  # a key with as many dots as typed is more likely
        return 0.85 * similarity(last, name_last)
    same_section = 0.03 * (section == name_section)
    return max(similarity(key, name), 0.95 * similarity(last, name_last) + same_section)
