"""`gantrain.compose` and `gantrain.train`: configs and trainings as the command line has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals

from gantrain import config
from gantrain.cli import preparation
from gantrain.cli.arguments import Arguments, parse
from gantrain.config import compose as composing
from gantrain.config.overrides import plain_text
from gantrain.engine import startup
from gantrain.engine.distributed import environment
from gantrain.engine.signals import EXIT_STOPPED
from gantrain.errors import ConfigError, RunError
from gantrain.runs import preflight
from gantrain.runs.opened import OpenedRun
from gantrain.tracking.waiting import waiting

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig

FOLDER_FLAGS = ("--config-dir", "-cd")


def compose(overrides: Iterable[str | Iterable[str]], settings: Mapping[str, Any]) -> RunConfig:
    """Return the checked config; see `gantrain.compose`."""
    with _composed(_arguments(overrides, settings)) as checked:
        return checked


def train(overrides: Iterable[str | Iterable[str]], settings: Mapping[str, Any]) -> OpenedRun:
    """Train in this process; see `gantrain.train`."""
    arguments = _arguments(overrides, settings)
    with _composed(arguments) as checked:
        process = environment.from_environment()
        if checked.runtime.devices > 1 or (process and process.size > 1):
            raise ConfigError(
                "gantrain.train trains in one process, on one device. Start several with the "
                "command: gantrain runtime.devices=N ..., torchrun or srun."
            )
        data = preflight.check(checked)
        if arguments.demo:
            print(preparation.DEMO, file=sys.stderr)
        with waiting("loading torch"):
            command = startup.import_without_gc("gantrain.commands.train")
        from gantrain.engine.threads import kept_threads

        try:
            with kept_threads():
                ended = command.train(checked, data)
        except SystemExit as end:
            if end.code == EXIT_STOPPED:
                raise KeyboardInterrupt(
                    "The training was stopped and its state is saved; the last lines above say how "
                    "to resume it."
                ) from None
            raise RunError(
                "The training failed. The last lines above, which log.txt of the run has as well, "
                "say why."
            ) from None
        return OpenedRun(ended.path)


def _arguments(overrides: Iterable[str | Iterable[str]], settings: Mapping[str, Any]) -> Arguments:
    """Return the arguments of the command that says the same."""
    texts = [text for given in overrides for text in ([given] if isinstance(given, str) else given)]
    for key, value in settings.items():
        texts += _assignments(key, value)
    arguments = parse(["train", *texts])
    if arguments.sweep:
        raise ConfigError(
            "-m, sweep= and launcher= start several runs: use the command, or call gantrain.train "
            "once for each."
        )
    flags = [text for text in arguments.flags if text.startswith("-")]
    if wrong := [text for text in flags if text.partition("=")[0] not in FOLDER_FLAGS]:
        raise ConfigError(
            f"{' and '.join(wrong)}: only --config-dir works in Python: leave it out."
        )
    preparation.read(arguments)
    preparation.complete(arguments)
    preparation.close(arguments)
    return arguments


def _assignments(key: str, value: Any) -> Iterator[str]:
    """Yield key=value, or key.name=value for each entry of a dict."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _assignments(f"{key}.{name}", part)
    elif isinstance(value, (str, os.PathLike)):
        yield f"{key}={os.fspath(value)}"  # as typed
    else:
        yield f"{key}={plain_text(_plain(key, value))}"


def _plain(key: str, value: Any) -> Any:
    """Return a value without types of numpy, arrays as lists."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, (list, tuple)):
        return [_plain(key, part) for part in plain]
    if isinstance(plain, os.PathLike):
        return os.fspath(plain)
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    raise ConfigError(
        f"{key} is a {type(value).__name__}: settings are numbers, texts, booleans, None, paths, "
        "and lists and dicts of these."
    )


@contextmanager
def _composed(arguments: Arguments) -> Iterator[RunConfig]:
    """Yield the checked config; in the block, Hydra knows the overrides and choices of the run."""
    setup_globals()  # the ${hydra:...} resolver
    hydra = HydraConfig.instance()
    before = hydra.cfg  # of a program of the caller
    try:
        source = composing.config_loader(arguments.config_dir)
        try:
            with startup.paused_gc():
                cfg = composing.task_config(source, arguments.command, arguments.overrides)
                checked = config.load(arguments.command, cfg)
        except ConfigError:
            raise
        except Exception as error:  # of Hydra and OmegaConf
            preparation.raise_explained(error, arguments)
        yield checked
    finally:
        hydra.cfg = before
