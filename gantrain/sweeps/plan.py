"""Read a sweep from the command line: its folder, its shared overrides, and its jobs.

Everything is checked here, before the first job starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.config import compose, hydra_errors, hydra_keys, rules
from gantrain.config.overrides import key_of, quote
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.engine.distributed import environment
from gantrain.errors import ConfigError, counted
from gantrain.io.files import folder_as_config_error, refuse_special_files
from gantrain.runs import preflight
from gantrain.sweeps import claims, launchers, manifest, swept
from gantrain.sweeps.launchers import slurm_queue
from gantrain.sweeps.manifest import Job
from gantrain.sweeps.naming import short_hash
from gantrain.sweeps.search import Storage, storage_of
from gantrain.tracking.waiting import waiting

DEFAULT_OUT = "sweeps"
MANY = 20  # runs whose check takes noticeable time
BASIC_LAUNCHERS = "hydra._internal.core_plugins.basic_launcher."
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OWN_KEYS = ("name", "out", "resume")  # read from what is typed; their defaults are of single runs
# These belong to the sweep, not to its jobs
SWEEP_KEYS = (*OWN_KEYS, "stop_on_failure")
# May differ between two starts of a sweep, because neither networks nor images depend on them
MUTABLE_KEYS = ("runtime", "tracking", "checkpoint", "train.kimg", "train.epochs", "resume_force")
MUTABLE_KEYS += ("objective", "launcher", "sweep", "hydra")
DEFAULT_OBJECTIVE = "pairs/l1"  # of a search; data sets without test pairs are then rejected


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        folder: <out>/<name>.
        command: the command line, after `gantrain`.
        flags: flags for every job, such as --config-dir.
        common: the overrides of every job.
        keys: the keys in which the jobs differ.
        launcher: the choice of launcher=; None: Hydra's own launcher.
        grid: whether all jobs are known in advance (Hydra's basic sweeper).
        maximize: whether the sweeper maximizes the objective; None: it does not use one.
        typed: the overrides for Hydra, as typed but without SWEEP_KEYS.
        variants: composes the jobs.
        storage: where Optuna keeps the trials of a search; None: nowhere.
        objective: the name of the objective, if typed.
        stop_on_failure: whether the first run that fails ends the sweep.
        planned: the jobs by their sorted overrides, as far as they are known in advance.
        configs: the checked settings of jobs by name.
    """

    folder: Path
    command: tuple[str, ...]
    flags: tuple[str, ...]
    common: tuple[str, ...]
    keys: tuple[str, ...]
    launcher: str | None
    grid: bool
    maximize: bool | None
    typed: tuple[str, ...]
    variants: compose.Variants = field(compare=False, repr=False)
    storage: Storage | None = None
    objective: str | None = None
    stop_on_failure: bool = False
    planned: dict[tuple[str, ...], Job] = field(default_factory=dict, compare=False, repr=False)
    configs: dict[str, RunConfig] = field(default_factory=dict, compare=False, repr=False)

    def config(self, job: Job) -> RunConfig:
        """Return the checked settings of the job, in its own directory.

        Raises:
            ConfigError: lists the problems of its settings.
        """
        if job.name not in self.configs:
            cfg = self.variants.config([*job.overrides, *self._location(job)])
            self.configs[job.name] = load_run_config(cfg, typed_keys=())
        return self.configs[job.name]

    def _location(self, job: Job) -> list[str]:
        return [f"out={quote(str(self.folder))}", f"name={job.name}", "resume=auto"]

    def job(self, overrides: Iterable[str]) -> Job:
        """Return the job with these overrides, as Hydra passes them. A new job is recorded."""
        common = {*SWEEP_KEYS, *map(key_of, self.common)}
        own = [text for text in overrides if key_of(text) not in common and not _is_hydra(text)]
        planned = self.planned.get(tuple(sorted(own)))
        return planned or manifest.add_job(self.folder, own, self.keys)

    def overrides(self, job: Job) -> list[str]:
        """Return the overrides with which `gantrain train` trains or resumes the job."""
        return [*self.common, *job.overrides, *self._location(job)]

    def command_line(self, job: Job) -> list[str]:
        """Return the command line of the job, after `gantrain`."""
        return ["train", *self.flags, "--run", *self.overrides(job)]

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs recorded so far."""
        content = manifest.read(self.folder)
        return content.jobs if content else ()


def prepare(
    overrides: Sequence[str], flags: Sequence[str], config_dir: str | None, argv: Sequence[str]
) -> Sweep:
    """Read the command line of a sweep, check every job, and write sweep.json.

    Args:
        overrides: as typed.
        flags: as typed.
        config_dir: the folder of --config-dir, if any.
        argv: the whole command line, after `gantrain`.

    Raises:
        ConfigError: lists every problem found.
        HydraException: an override cannot be parsed.
    """
    if environment.from_environment() is not None:
        raise ConfigError(
            "A sweep starts its own processes: run it without torchrun (or as one task of srun), "
            "with runtime.devices=N for runs on several devices."
        )
    setup_globals()  # the ${hydra:...} resolver
    hydra_keys.refuse_two_presets(overrides)
    source = compose.config_loader(config_dir)
    typed = [text for text in overrides if key_of(text) not in SWEEP_KEYS]
    sweep_settings = _sweep_settings(source, overrides)
    cfg = _compose_multirun(source, [text for text in overrides if key_of(text) not in OWN_KEYS])
    _check_launcher(cfg)
    grid = cfg.hydra.sweeper["_target_"] == BASIC_SWEEPER
    parsed = swept.parse(source, typed, cfg.hydra.sweeper.get("params") or {}, grid)
    differing = [o for o in parsed if o.is_sweep_override()]
    values = {key_of(o.input_line or ""): swept.values(o, grid) for o in differing}
    not_swept = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
    common = [text for text in not_swept if not _is_hydra(text)]
    if _maximize(cfg) is not None and cfg.get("objective") is None:
        common = [text for text in common if key_of(text) != "objective"]
        common.append(f"objective={DEFAULT_OBJECTIVE}")
    choices = list(swept.jobs(values, grid))
    name = sweep_settings.get("name") or _default_name(source, common, choices, typed)
    folder = Path(sweep_settings.get("out", DEFAULT_OUT)) / name
    sweep = Sweep(
        folder=folder,
        command=tuple(argv),
        flags=tuple(_absolute(flags, config_dir)),
        common=tuple(common),
        keys=tuple(values),
        launcher=_launcher(cfg),
        grid=grid,
        maximize=_maximize(cfg),
        typed=tuple(typed),
        variants=compose.Variants(source, "train", common),
        storage=storage_of(cfg, folder),
        objective=cfg.get("objective") or (None if grid else DEFAULT_OBJECTIVE),
        stop_on_failure=cfg.get("stop_on_failure") is True,
    )
    if str(sweep.launcher).startswith("slurm"):
        _check_slurm(sweep)
    with folder_as_config_error(sweep.folder):
        _check_and_write(sweep, choices)
    return sweep


def _check_launcher(cfg: DictConfig) -> None:
    """Check that the launcher is one of gantrain's, also where a YAML of the user chooses it."""
    target = str(cfg.hydra.launcher["_target_"])
    if not target.startswith((BASIC_LAUNCHERS, launchers.MODULE)):
        raise ConfigError(hydra_keys.other_launcher(f"hydra/launcher with _target_={target}"))


def _check_slurm(sweep: Sweep) -> None:
    slurm_queue.require_states()
    if sweep.launcher == "slurm_detached" and sweep.stop_on_failure:
        raise ConfigError(
            "launcher=slurm_detached does not wait for its runs and cannot stop them: remove "
            "stop_on_failure, or use launcher=slurm, in a terminal that stays open (tmux)."
        )
    if sweep.launcher == "slurm_detached" and not sweep.grid:
        raise ConfigError(
            "launcher=slurm_detached does not wait for results, but this sweep chooses its next "
            "runs by them: use launcher=slurm, in a terminal that stays open (tmux)."
        )


def _check_and_write(sweep: Sweep, choices: Sequence[list[str]]) -> None:
    """Check all jobs, then write sweep.json. Jobs of earlier starts stay in it."""
    refuse_special_files(sweep.folder, manifest.FAILED_FOLDER, "logs", claims.FOLDER)
    existing = manifest.read(sweep.folder)
    if existing is None and (sweep.folder / "config.yaml").exists():
        raise ConfigError(f"{sweep.folder} is a run, not a sweep: give the sweep another name=.")
    jobs = _jobs(sweep, existing, choices)
    problems: dict[str, None] = {}
    count = len(set(jobs))
    if count >= MANY:
        print(f"Checking {counted(count, 'run')}.", flush=True)
    with waiting(f"checking {counted(count, 'run')}"):
        for job in dict.fromkeys(jobs):
            problems.update(dict.fromkeys(_job_problems(sweep, job)))
    if problems:
        raise ConfigError(*problems)
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with claims.claimed(sweep.folder, "planning"):
        if (latest := manifest.read(sweep.folder)) != existing:  # another start was quicker
            jobs = _jobs(sweep, latest, choices)
        old_jobs = latest.jobs if latest else ()
        # A sweeper that chooses by results adds its jobs one by one; `choices` are examples only
        recorded = list(dict.fromkeys([*old_jobs, *jobs])) if sweep.grid else old_jobs
        content = manifest.Manifest(sweep.command, sweep.common, tuple(recorded))
        manifest.write(sweep.folder, content)
    if sweep.grid:
        sweep.planned.update({tuple(sorted(job.overrides)): job for job in recorded})


def _jobs(
    sweep: Sweep, existing: manifest.Manifest | None, choices: Sequence[list[str]]
) -> list[Job]:
    """Return the job of each choice, an old or a new one.

    Raises:
        ConfigError: the old jobs have other common settings.
    """
    old_jobs = list(existing.jobs) if existing else []
    has_runs = any((sweep.folder / job.name / "config.yaml").exists() for job in old_jobs)
    if existing and has_runs and (changes := _common_changes(sweep, existing.common)):
        raise ConfigError(*changes)
    known = {tuple(sorted(job.overrides)): job for job in old_jobs}
    names = {job.name for job in old_jobs}
    jobs = []
    for own in choices:
        key = tuple(sorted(own))
        if key not in known:
            known[key] = manifest.make_job(names, own, sweep.keys)
            names.add(known[key].name)
        jobs.append(known[key])
    return jobs


def _common_changes(sweep: Sweep, old_common: Sequence[str]) -> list[str]:
    """Return a sentence if the shared settings have changed: runs would not be comparable."""
    old, new = _fixed_settings(old_common), _fixed_settings(sweep.common)
    if old == new or "resume_force=true" in sweep.common:
        return []
    changed = [
        f"{key}: {old.get(key, '(not set)')} -> {new.get(key, '(not set)')}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    return [
        f"{sweep.folder} was started with other settings for all its runs: {'; '.join(changed)}. "
        "Restore them, give the new sweep another name=, or add resume_force=true."
    ]


def _fixed_settings(overrides: Iterable[str]) -> dict[str, str]:
    pairs = {key_of(text): text.partition("=")[2] for text in overrides}
    return {key: value for key, value in pairs.items() if not _is_mutable(key)}


def _is_mutable(key: str) -> bool:
    return any(key == name or key.startswith((f"{name}.", f"{name}/")) for name in MUTABLE_KEYS)


def _job_problems(sweep: Sweep, job: Job) -> tuple[str, ...]:
    try:
        preflight.check(sweep.config(job))
    except ConfigError as error:
        return error.problems
    return ()


def _sweep_settings(source: compose.Loader, overrides: Sequence[str]) -> dict[str, str]:
    """Return `name` and `out` of the sweep, if typed, and check what is typed of SWEEP_KEYS."""
    parser = OverridesParser.create(config_loader=source)
    settings: dict[str, str] = {}
    for text in overrides:
        if (key := key_of(text)) not in SWEEP_KEYS:
            continue
        override = parser.parse_override(text)
        value = None if override.is_sweep_override() else override.value()
        if key == "stop_on_failure" and not isinstance(value, bool):
            raise ConfigError(f"{text} is not allowed: {key} must be true or false.")
        if override.is_sweep_override() or "${" in str(value):
            raise ConfigError(
                f"{text}: in a sweep, name= and out= are those of the sweep. Give a single name; "
                "each run gets its own folder in it, named by its own settings, such as seed-0."
            )
        if key == "resume" and value not in (None, "auto"):
            raise ConfigError(
                f"{text} is a single run: remove resume. To resume a sweep, repeat its command."
            )
        if value is not None and key in ("name", "out"):
            settings[key] = str(value)
    names = {"name": None, "out": DEFAULT_OUT, **settings}
    if problems := [*rules.name_problems(names)]:
        raise ConfigError(*problems)
    return settings


def _compose_multirun(source: compose.Loader, typed: list[str]) -> DictConfig:
    """Compose the config of the sweep itself, with its sweeper and its launcher."""
    try:
        return compose.compose(source, "train", typed, RunMode.MULTIRUN)
    except HydraException as error:
        if sentence := hydra_errors.explain_sweep_error(error, source, typed):
            raise ConfigError(sentence) from None
        raise


def _default_name(
    source: compose.Loader, common: list[str], choices: list[list[str]], typed: list[str]
) -> str:
    """Return <model>-<data>-<6 hexadecimal digits>, the same for the same command."""
    parts = []
    for group in ("model", "data"):
        # One job of each value: composing every job would take longer than checking them
        own = {"".join(text for text in job if key_of(text) == group): job for job in choices[::-1]}
        names = {
            str(compose.compose(source, "train", [*common, *job]).hydra.runtime.choices[group])
            for job in own.values()
        }
        parts.append(names.pop() if len(names) == 1 else "several")
    hashed = [text for text in typed if not _is_mutable(key_of(text)) or key_of(text) == "sweep"]
    return "-".join([*parts, short_hash(sorted(hashed, key=key_of))])


def _launcher(cfg: DictConfig) -> str | None:
    """Return the choice of launcher=; None: Hydra's own launcher."""
    choice = OmegaConf.select(cfg, "hydra.runtime.choices.launcher")
    return None if choice in (None, "null") else str(choice)


def _maximize(cfg: DictConfig) -> bool | None:
    """Return whether the sweeper maximizes the objective; None: it does not use one."""
    direction = cfg.hydra.sweeper.get("direction")
    if direction is None:
        return None
    return "maximize" in str(getattr(direction, "name", direction))


def _absolute(flags: Sequence[str], config_dir: str | None) -> list[str]:
    return ["--config-dir", os.path.abspath(config_dir)] if config_dir else []


def _is_hydra(override: str) -> bool:
    return key_of(override).startswith(("hydra.", "hydra/")) or key_of(override) == "launcher"
