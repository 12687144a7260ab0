"""From arguments to overrides that compose: what the command line and `gantrain.train` share."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from gantrain.cli.arguments import Arguments, positional_overrides
from gantrain.cli.saved_overrides import prepend_saved
from gantrain.config import hydra_keys
from gantrain.config.overrides import as_typed, in_runs, key_of
from gantrain.errors import ConfigError

QUICKSTART_OPT_OUT = {"model", "data", "experiment", "resume"}  # keys that say what to train
DEMO = "No model, data, experiment or resume given: running the demo, experiment=quickstart."
SWEEPS_WITHOUT_MODEL = {"sweep=optuna", "sweep=null"}


def read(arguments: Arguments) -> None:
    """Bring the overrides into Hydra's grammar and under the present names of their keys.

    Args:
        arguments: changed in place.

    Raises:
        ConfigError: lists everything that is wrong with the arguments.
    """
    arguments.overrides = [
        as_typed(arguments.command, in_runs(text), arguments.config_dir, arguments.sweep)
        for text in arguments.overrides
    ]
    if arguments.command == "train":
        from gantrain.config import renamed

        arguments.overrides = renamed.admit(arguments.overrides, _say)
    if arguments.problems or arguments.dashed:
        _raise_problems(arguments)


def complete(arguments: Arguments) -> None:
    """Add the overrides of the run that is resumed, or those of the demo if nothing is chosen.

    Args:
        arguments: changed in place.

    Raises:
        ConfigError: there is no such run, or its overrides cannot be taken over.
    """
    if arguments.command == "train" and not arguments.sweep:
        arguments.overrides = prepend_saved(arguments.overrides, arguments.config_dir)
    _default_to_quickstart(arguments)
    _drop_null_choices(arguments.overrides)


def close(arguments: Arguments) -> None:
    """Add the overrides that words without "=" stand for, and refuse Hydra's own settings.

    Args:
        arguments: changed in place.

    Raises:
        ConfigError: there are too many words, or settings that have no place in gantrain.
    """
    arguments.overrides += positional_overrides(arguments)
    if refused := [*hydra_keys.problems(arguments.command, arguments.overrides)]:
        raise ConfigError(*refused)


def raise_explained(error: Exception, arguments: Arguments) -> NoReturn:
    """Raise what Hydra says about the overrides as a ConfigError; any other error as it is."""
    from gantrain.config import hydra_errors

    problems = hydra_errors.to_sentences(
        error, arguments.command, arguments.overrides, arguments.config_dir, arguments.sweep
    )
    if not problems:
        raise error
    raise ConfigError(*problems) from error


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _raise_problems(arguments: Arguments) -> NoReturn:
    """Report everything that is wrong with the arguments, settings typed like flags included."""
    from gantrain.config import hydra_errors

    command, typed = arguments.command, {text: flag for flag, text in arguments.dashed}
    found = hydra_errors.examine(
        command, [*arguments.overrides, *typed], arguments.config_dir, arguments.sweep
    )
    flags: dict[str, list[str]] = {}  # by advice
    for text, flag in typed.items():
        sentence = next((sentence for wrong, sentence in found if wrong == text), f": {text}")
        flags.setdefault(sentence.rpartition(hydra_errors.UNKNOWN)[2], []).append(flag)
    dashed = [
        f"{' and '.join(names)} {'are not flags' if len(names) > 1 else 'is not a flag'}. Settings "
        f"are written without dashes{advice if advice[0] == ':' else f'. {advice}'}"
        for advice, names in flags.items()
    ]
    others = hydra_errors.merged(sentence for text, sentence in found if text not in typed)
    raise ConfigError(*arguments.problems, *dashed, *others)


def _default_to_quickstart(arguments: Arguments) -> None:
    keys = {key_of(text) for text in arguments.overrides}
    if "resume=auto" in arguments.overrides:
        keys.discard("resume")  # starts the run if none exists, like the command without it
    if "sweep" in keys and not SWEEPS_WITHOUT_MODEL & set(arguments.overrides):
        return  # a sweep such as stylegan_gamma names its model
    if arguments.command != "train" or keys & QUICKSTART_OPT_OUT:
        return
    arguments.overrides.insert(0, "experiment=quickstart")
    arguments.demo = os.environ.get("RANK", "0") == "0"


def _drop_null_choices(overrides: list[str]) -> None:
    """Remove group=null and the choices it cancels, because Hydra does not know null choices."""
    for group in ("experiment", "debug", "launcher", "sweep"):
        if f"{group}=null" in overrides:
            last = len(overrides) - overrides[::-1].index(f"{group}=null")
            remaining = [text for text in overrides[:last] if not text.startswith(f"{group}=")]
            overrides[:last] = remaining
