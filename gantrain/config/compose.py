"""Compose Hydra configs outside `hydra.main`: for single runs, sweep checks and error messages."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.default_element import ResultDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from gantrain.config import load, paths
from gantrain.errors import ConfigError


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which keeps what it had composed when a key could not be overridden.

    A misspelled key is then explained without composing once more.
    """

    unfinished: tuple[list[str], DictConfig] | None = None  # (overrides, config without the keys)
    chosen: dict[str, str]  # group -> choice, of the config composed last
    _composed: DictConfig | None = None
    _overrides: Sequence[Override] = ()

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose as Hydra does, and remember what there was if an override of a key fails."""
        self.unfinished = self._composed = None
        parsed = OverridesParser.create(config_loader=self).parse_overrides(overrides)
        self._overrides = without_replaced(parsed)
        lines = [str(override.input_line) for override in self._overrides]
        try:
            with _lists_have_numbers():
                return super().load_configuration(
                    config_name, lines, run_mode, from_shell, validate_sweep_overrides
                )
        except ConfigCompositionException:
            if self._composed is not None:
                self.unfinished = list(overrides), self._composed
            raise

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """Return the choices of a group, without parsing overrides or loading a config for it."""
        return self.repository.get_group_options(group_name, results_filter)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        paths = [str(default.config_path).strip("/") for default in defaults if default.config_path]
        self.chosen = dict(path.rsplit("/", 1) for path in paths if "/" in path)
        self._composed = OmegaConf.create()
        with flag_override(self._composed, "no_deepcopy_set_nodes", True):
            for default in defaults:  # one at a time, where Hydra merges all of them at once
                own = super()._compose_config_from_defaults_list([default], repo)
                _make_room_for_keys(self._composed, own)
                try:
                    self._composed.merge_with(own)
                except OmegaConfBaseException as error:
                    raise ConfigCompositionException(
                        f"In '{default.config_path}': {error}"
                    ) from error
        make_room(self._composed, self._overrides)
        return self._composed


def make_room(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Empty the keys that hold a mapping and get a list, or the reverse: OmegaConf merges neither.

    A schedule may be either: {base, final, kimg, shape} or [[kimg, value], ...].

    Args:
        cfg: composed, without the overrides; changed in place.
        overrides: parsed.
    """
    for override in overrides:
        key, form = override.key_or_group, _form(override)
        present = form and OmegaConf.select(cfg, key, throw_on_missing=False)
        if OmegaConf.is_config(present) and not isinstance(present, form or object):
            OmegaConf.update(cfg, key, None, merge=False)


def _make_room_for_keys(cfg: DictConfig, coming: DictConfig) -> None:
    for key, node in coming.items_ex(resolve=False):
        present = cfg._get_node(key)
        if not (_has_entries(node) and _has_entries(present)):
            continue
        if type(node) is not type(present):
            cfg[key] = None
        elif isinstance(node, DictConfig) and isinstance(present, DictConfig):
            _make_room_for_keys(present, node)


def _has_entries(node: object) -> bool:
    """Return whether it is a mapping or a list, and neither null, nor ???, nor "${...}"."""
    return isinstance(node, (DictConfig, ListConfig)) and isinstance(node._content, (dict, list))


def without_replaced(overrides: Sequence[Override]) -> list[Override]:
    """Leave out the overrides of entries of a key that a later one replaces by a list.

    Such as a saved optimizer.lr.final=1e-5 before optimizer.lr=[[0,1e-4],[9,1e-5]].
    """
    return [
        override
        for i, override in enumerate(overrides)
        if not any(
            _form(later) is ListConfig
            and override.key_or_group.startswith(f"{later.key_or_group}.")
            for later in overrides[i + 1 :]
        )
    ]


def _form(override: Override) -> type[DictConfig] | type[ListConfig] | None:
    """Return the kind of container that an override sets; None: another value, or a sweep."""
    text = str(override.input_line).partition("=")[2].lstrip()
    forms = {"[": ListConfig, "{": DictConfig}
    return None if override.is_sweep_override() else forms.get(text[:1])


@contextmanager
def _lists_have_numbers() -> Iterator[None]:
    """Let Hydra report an override such as model.gamma.base=1 of a list, where int() fails."""
    try:
        yield
    except ValueError as error:
        entry = str(error).rpartition(": ")[2]
        raise ConfigCompositionException(
            f"A key ends in {entry}, but belongs to a list here, whose entries are 0, 1, ..."
        ) from error


def config_loader(config_dir: str | None) -> Loader:
    """Return a loader with the search path of `gantrain --config-dir config_dir`."""
    return _loader(os.path.abspath(config_dir) if config_dir else None)


@cache
def _loader(config_dir: str | None) -> Loader:
    search_path = create_config_search_path(str(paths.config_dir()))
    if config_dir:
        search_path.prepend(provider="command-line", path=f"file://{config_dir}")
    return Loader(search_path)


def compose(
    source: ConfigLoaderImpl, command: str, overrides: list[str], mode: RunMode = RunMode.RUN
) -> DictConfig:
    """Compose the config of one job, including its `hydra` node.

    Args:
        source: from `config_loader`.
        command: name of the command, which is that of its YAML.
        overrides: of one job, in Hydra's grammar.
        mode: whether the hydra node is that of a single run or of a sweep.

    Raises:
        HydraException, OmegaConfBaseException: the overrides do not compose.
    """
    return source.load_configuration(command, overrides, run_mode=mode, from_shell=False)


def task_config(source: ConfigLoaderImpl, command: str, overrides: list[str]) -> DictConfig:
    """Compose the config as the command sees it, without the `hydra` node.

    Args:
        source: from `config_loader`.
        command: name of the command.
        overrides: of one job, in Hydra's grammar.

    Raises:
        HydraException, OmegaConfBaseException: the overrides do not compose.
    """
    cfg = compose(source, command, overrides)
    return _without_hydra(cfg)


def check_sweep(command: str, overrides: list[str], config_dir: str | None) -> None:
    """Check every job of a sweep before the first one starts, for commands other than train.

    (For train, see `gantrain.sweeps.plan`.) Sweepers other than Hydra's basic one choose jobs as
    they go, so each of their jobs is checked when it starts.

    Args:
        command: name of the command.
        overrides: as typed, with the values of all jobs.
        config_dir: of --config-dir; None: only the package's configs.

    Raises:
        ConfigError: lists the problems of all jobs.
    """
    if any(text.lstrip("+").startswith("hydra/sweeper=") for text in overrides):
        return
    setup_globals()  # the ${hydra:...} resolver
    source = config_loader(config_dir)
    parsed = OverridesParser.create(config_loader=source).parse_overrides(overrides)
    [jobs] = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    problems: dict[str, None] = {}
    for number, job in enumerate(jobs):
        problems.update(dict.fromkeys(_check_job(source, command, job, number)))
    if problems:
        raise ConfigError(*problems)


def _check_job(
    source: ConfigLoaderImpl, command: str, job: list[str], number: int
) -> tuple[str, ...]:
    cfg = _job_config(source, command, job, number)
    try:
        load(command, cfg, typed_keys=())
    except ConfigError as error:
        return error.problems
    return ()


def _job_config(source: ConfigLoaderImpl, command: str, job: list[str], number: int) -> DictConfig:
    """Compose the job's config as the launcher will, without the `hydra` node."""
    cfg = compose(source, command, job, RunMode.MULTIRUN)
    with read_write(cfg), open_dict(cfg):
        cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
    return _without_hydra(cfg)


def _without_hydra(cfg: DictConfig) -> DictConfig:
    HydraConfig.instance().set_config(cfg)  # for ${hydra:...}
    with read_write(cfg), open_dict(cfg):
        del cfg["hydra"]
    return cfg


class Variants:
    """The configs of many jobs that differ in a few keys: what they share is composed once.

    Args:
        source: from `config_loader`.
        command: name of the command.
        common: the overrides of every job.
    """

    def __init__(self, source: Loader, command: str, common: Sequence[str]) -> None:
        self._source, self._command, self._common = source, command, tuple(common)
        self._parser = OverridesParser.create(config_loader=source)
        self._bases: dict[tuple[str, ...], tuple[DictConfig, bool]] = {}

    def config(self, own: Sequence[str]) -> DictConfig:
        """Return the config of one job as the command sees it, without the `hydra` node.

        Args:
            own: its overrides after the common ones.

        Raises:
            HydraException, OmegaConfBaseException: the overrides do not compose.
        """
        parsed = self._parser.parse_overrides(list(own))
        keys = [x for x in parsed if not self._source.repository.group_exists(x.key_or_group)]
        groups = tuple(str(x.input_line) for x in parsed if x not in keys)
        if groups not in self._bases:
            overrides = [*self._common, *groups]
            base = task_config(self._source, self._command, overrides)
            self._bases[groups] = base, "${hydra:" in OmegaConf.to_yaml(base)
        base, refers_to_hydra = self._bases[groups]
        if refers_to_hydra or any("${hydra:" in text for text in own):
            return task_config(self._source, self._command, [*self._common, *own])
        cfg = copy.deepcopy(base)
        keys = without_replaced(keys)
        make_room(cfg, keys)
        with _lists_have_numbers():
            self._source._apply_overrides_to_config(keys, cfg)
        return cfg
