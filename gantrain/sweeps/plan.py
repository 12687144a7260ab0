"""A sweep as asked for on the command line: where it lies, what its runs share, what differs.

Everything is checked here, before the first run starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.config import compose, hydra_errors
from gantrain.config import train as train_config
from gantrain.config.overrides import hydra_quote
from gantrain.engine.distributed import environment
from gantrain.errors import ConfigError
from gantrain.runs import preflight
from gantrain.sweeps import manifest
from gantrain.sweeps.launchers import slurm_queue
from gantrain.sweeps.manifest import Job
from gantrain.sweeps.naming import short_hash

HOME = "sweeps"
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OWN = ("name", "out", "resume")  # of the sweep, not of its runs
# What may change from one start of a sweep to the next: neither networks nor pictures depend on it.
FREE = ("runtime", "tracking", "checkpoint", "train.kimg", "train.epochs", "resume_force")
FREE += ("objective", "launcher", "sweep", "hydra")
SEARCHED = "pairs/l1"  # what a search goes by unless told: data without pairs are then refused


@dataclass(frozen=True)
class Sweep:
    """folder: <out>/<name>; common: overrides of every run; keys: what the runs differ in.

    flags: Hydra's own, such as --config-dir; grid: all runs are known (a sweeper of Hydra's own);
    largest: whether the sweeper looks for the largest objective, None: it looks for none.
    """

    folder: Path
    command: tuple[str, ...]
    flags: tuple[str, ...]
    common: tuple[str, ...]
    keys: tuple[str, ...]
    launcher: str | None
    grid: bool
    largest: bool | None
    typed: tuple[str, ...]  # for Hydra: without name=, out=, resume=

    def own(self, overrides: Iterable[str]) -> list[str]:
        """Of a job's overrides as Hydra hands them out: those that it does not share."""
        shared = {_key(text) for text in self.common}
        return [text for text in overrides if _key(text) not in shared and not _of_hydra(text)]

    def job(self, overrides: Iterable[str]) -> Job:
        """The job with these overrides of Hydra's; a new one is recorded."""
        return manifest.add(self.folder, self.own(overrides), self.keys)

    def overrides(self, job: Job) -> list[str]:
        """What to give to `gantrain train` to make the run."""
        where = [f"out={hydra_quote(str(self.folder))}", f"name={job.name}", "resume=auto"]
        return [*self.common, *job.overrides, *where]

    def command_line(self, job: Job) -> list[str]:
        """The same as a whole command line, after `gantrain`."""
        return ["train", *self.flags, "--run", *self.overrides(job)]

    def jobs(self) -> tuple[Job, ...]:
        found = manifest.read(self.folder)
        return found.jobs if found else ()


def prepare(
    overrides: Sequence[str], flags: Sequence[str], config_dir: str | None, argv: Sequence[str]
) -> Sweep:
    """Read the command line of a sweep, check every run, and write sweep.json.

    Raises ConfigError with all problems found, and what Hydra raises for overrides it cannot read.
    """
    if environment.from_environment() is not None:
        raise ConfigError(
            "A sweep starts its own processes: run it without torchrun (and as one task of srun), "
            "with runtime.devices=N for runs on several devices."
        )
    setup_globals()  # the ${hydra:...} resolver
    source = compose.config_loader(config_dir)
    typed = [text for text in overrides if _key(text) not in OWN]
    own = _own_settings(source, overrides)
    cfg = _multirun(source, typed)
    grid = cfg.hydra.sweeper["_target_"] == BASIC
    parsed = _parse(source, typed, cfg.hydra.sweeper.get("params") or {}, grid)
    values = {_key(o.input_line or ""): _values(o, grid) for o in parsed if o.is_sweep_override()}
    written = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
    common = [text for text in written if not _of_hydra(text)]
    if _largest(cfg) is not None and cfg.get("objective") is None:
        common = [t for t in common if _key(t) != "objective"] + [f"objective={SEARCHED}"]
    choices = list(_combinations(values) if grid else _edges(values))
    name = own.get("name") or _stem(source, common, choices, typed)
    sweep = Sweep(
        folder=Path(own.get("out", HOME)) / name,
        command=tuple(argv),
        flags=tuple(_absolute(flags, config_dir)),
        common=tuple(common),
        keys=tuple(values),
        launcher=_launcher(cfg),
        grid=grid,
        largest=_largest(cfg),
        typed=tuple(typed),
    )
    if str(sweep.launcher).startswith("slurm"):
        _check_slurm(sweep)
    _begin(sweep, source, choices)
    return sweep


def _check_slurm(sweep: Sweep) -> None:
    slurm_queue.needed()
    if sweep.launcher == "slurm_detached" and not sweep.grid:
        raise ConfigError(
            "launcher=slurm_detached does not wait for results, which this sweep chooses its next "
            "runs by: take launcher=slurm, in a terminal that stays (tmux)."
        )


def _begin(sweep: Sweep, source: ConfigLoaderImpl, choices: Sequence[list[str]]) -> None:
    """Check all jobs, then write sweep.json; jobs of an earlier start stay in it."""
    before = manifest.read(sweep.folder)
    if before is None and (sweep.folder / "config.yaml").exists():
        raise ConfigError(f"{sweep.folder} is a run, not a sweep: give the sweep another name=.")
    jobs = list(before.jobs) if before else []
    wanted = []
    for own in choices:
        job = manifest.find([*jobs, *wanted], own) or manifest.named(
            [*jobs, *wanted], own, sweep.keys
        )
        wanted.append(job)
    problems: dict[str, None] = {}
    if before and any((sweep.folder / job.name / "config.yaml").exists() for job in jobs):
        problems.update(dict.fromkeys(_changes(sweep, before.common)))
    if not problems:
        for job in dict.fromkeys(wanted):
            problems.update(dict.fromkeys(_problems(source, sweep.overrides(job))))
    if problems:
        raise ConfigError(*problems)
    if sweep.grid:
        jobs = list(dict.fromkeys([*jobs, *wanted]))
    manifest.write(sweep.folder, manifest.Record(sweep.command, sweep.common, tuple(jobs)))


def _changes(sweep: Sweep, before: Sequence[str]) -> list[str]:
    """Runs of one sweep must be comparable: what they share cannot change on the way."""
    old, new = _settings(before), _settings(sweep.common)
    if old == new or "resume_force=true" in sweep.common:
        return []
    changed = [
        f"{key}: {old.get(key, '(not given)')} -> {new.get(key, '(not given)')}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    return [
        f"{sweep.folder} was begun with other settings for all its runs: {'; '.join(changed)}. "
        "Take them back, give the new sweep another name=, or add resume_force=true."
    ]


def _settings(overrides: Iterable[str]) -> dict[str, str]:
    pairs = {_key(text): text.partition("=")[2] for text in overrides}
    return {key: value for key, value in pairs.items() if not _free(key)}


def _free(key: str) -> bool:
    return any(key == free or key.startswith((f"{free}.", f"{free}/")) for free in FREE)


def _problems(source: ConfigLoaderImpl, overrides: list[str]) -> tuple[str, ...]:
    try:
        cfg = compose.task_config(source, "train", overrides)
        preflight.check(train_config.load(cfg, given=()))
    except ConfigError as error:
        return error.problems
    return ()


def _own_settings(source: ConfigLoaderImpl, overrides: Sequence[str]) -> dict[str, str]:
    """name and out of the sweep, if typed."""
    parser = OverridesParser.create(config_loader=source)
    found: dict[str, str] = {}
    for text in overrides:
        if (key := _key(text)) not in OWN:
            continue
        override = parser.parse_override(text)
        value = None if override.is_sweep_override() else override.value()
        if override.is_sweep_override() or "${" in str(value):
            raise ConfigError(
                f"{text}: in a sweep, name= and out= are those of the sweep. Give one name; each "
                "run gets a folder of its own in it, named by what it does not share, as seed-0."
            )
        if key == "resume" and value not in (None, "auto"):
            raise ConfigError(
                f"{text} is one run: leave resume out. A sweep goes on where it stopped when its "
                "command is repeated."
            )
        if value is not None and key != "resume":
            found[key] = str(value)
    return found


def _multirun(source: ConfigLoaderImpl, typed: list[str]) -> DictConfig:
    """The sweep's own config: its sweeper and its launcher."""
    try:
        return compose.compose(source, "train", typed, RunMode.MULTIRUN)
    except HydraException as error:
        if sentence := hydra_errors.explain_sweep_error(error, source, typed):
            raise ConfigError(sentence) from None
        raise


def _parse(
    source: ConfigLoaderImpl, typed: Sequence[str], params: Any, grid: bool
) -> list[Override]:
    """The sweeper's own parameters and what was typed; of one key the last."""
    parser = OverridesParser.create(config_loader=source)
    texts = [f"{key}={value}" for key, value in params.items()] + list(typed)
    parsed = {_key(o.input_line or ""): o for o in parser.parse_overrides(texts)}
    for key, override in parsed.items():
        if grid and override.is_sweep_override() and not override.is_discrete_sweep():
            raise ConfigError(
                f"{key}={override.input_line.partition('=')[2] if override.input_line else ''}: "
                "an interval has no end of values: list some, as 1,2,3, or add sweep=optuna."
            )
    return list(parsed.values())


def _values(override: Override, grid: bool) -> list[str]:
    """The overrides that a swept key stands for; of an interval (and optuna's range) the ends."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    if isinstance(value, RangeSweep) and not grid:  # where Optuna counts the end in
        return [f"{key}={value.start}", f"{key}={value.stop}"]
    return [f"{key}={text}" for text in override.sweep_string_iterator()]


def _combinations(values: dict[str, list[str]]) -> Iterator[list[str]]:
    return (list(job) for job in product(*values.values()))


def _edges(values: dict[str, list[str]]) -> Iterator[list[str]]:
    """Each value once, the others at their first."""
    first = [found[0] for found in values.values()]
    yield first
    for i, found in enumerate(values.values()):
        for other in found[1:]:
            yield [*first[:i], other, *first[i + 1 :]]


def _stem(
    source: ConfigLoaderImpl, common: list[str], choices: list[list[str]], typed: list[str]
) -> str:
    """<model>-<data>-<6 hexadecimal digits>: the same command has the same."""
    words = []
    for group in ("model", "data"):
        varied = any(_key(text) == group for text in choices[0])
        found = {
            str(compose.compose(source, "train", [*common, *job]).hydra.runtime.choices[group])
            for job in choices[: None if varied else 1]
        }
        words.append(found.pop() if len(found) == 1 else "several")
    told = sorted((t for t in typed if not _free(_key(t)) or _key(t) == "sweep"), key=_key)
    return "-".join([*words, short_hash(told)])


def _launcher(cfg: DictConfig) -> str | None:
    """The choice of launcher=, None: Hydra's own."""
    choice = OmegaConf.select(cfg, "hydra.runtime.choices.launcher")
    return None if choice in (None, "null") else str(choice)


def _largest(cfg: DictConfig) -> bool | None:
    direction = cfg.hydra.sweeper.get("direction")
    if direction is None:
        return None
    return "maximize" in str(getattr(direction, "name", direction))


def _absolute(flags: Sequence[str], config_dir: str | None) -> list[str]:
    return ["--config-dir", os.path.abspath(config_dir)] if config_dir else []


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _of_hydra(override: str) -> bool:
    return _key(override).startswith(("hydra.", "hydra/")) or _key(override) == "launcher"
