"""Continue a search whose trials are in Optuna's storage: every start adds new ones."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from gantrain.config.overrides import quote
from gantrain.errors import ConfigError, counted
from gantrain.runs import status
from gantrain.sweeps import claims
from gantrain.sweeps.manifest import Job

if TYPE_CHECKING:
    from gantrain.sweeps.plan import Sweep

SWEEPER = "hydra.sweeper"


@dataclass(frozen=True)
class Storage:
    """Where Optuna keeps the trials of a search.

    Attributes:
        storage: a URL, or the section that describes an object.
        study: the name of the study.
        seed: of the choices; None: they are not reproducible, or the sampler has none.
    """

    storage: Any
    study: str
    seed: int | None


def storage_of(cfg: DictConfig, folder: Path) -> Storage | None:
    """Return the storage of a search, or None if each start computes the choices again.

    Args:
        cfg: the composed config of the sweep.
        folder: that of the sweep, whose name is that of a study without one.
    """
    sweeper = cfg.hydra.sweeper
    if (storage := sweeper.get("storage")) is None:
        return None
    seed = OmegaConf.select(sweeper, "sampler.seed")
    return Storage(storage, str(sweeper.get("study_name") or folder.name), seed)


@contextmanager
def only_search(folder: Path) -> Iterator[None]:
    """Keep other processes from searching in the same sweep.

    Raises:
        ConfigError: another process does.
    """
    with claims.taken(folder, "search") as is_free:
        if not is_free:
            raise ConfigError(
                f"{folder}: another process runs this search, and its next choices depend on its "
                "own results: wait for it, or give another name=."
            )
        yield


def continued(sweep: Sweep) -> list[str]:
    """Prepare the study of a search for another start; only under `only_search`.

    Trials that a start left open are entered if their run is done, or else tried again first.

    Returns:
        Overrides for the sweeper: the study, and a seed that this study has not had.

    Raises:
        ConfigError: the storage cannot be used.
    """
    if sweep.storage is None:
        return []
    overrides = [f"{SWEEPER}.study_name={quote(sweep.storage.study)}", _mark(sweep)]
    study = _load(sweep.storage)
    if study is None:
        return overrides
    _close_open_trials(study, sweep)
    count = len(study.get_trials(deepcopy=False))
    print(f"Study {sweep.storage.study}: {counted(count, 'earlier trial')}.", flush=True)
    if sweep.storage.seed is not None:
        overrides.append(f"{SWEEPER}.sampler.seed={sweep.storage.seed + count}")
    return overrides


def silence_optuna() -> None:
    """Silence the messages of Optuna about each trial, and those of its storage."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # about its next major version
    try:
        import optuna
    except ImportError:
        return
    optuna.logging.set_verbosity(logging.WARNING)


def _load(storage: Storage) -> Any:
    import optuna
    from hydra.utils import instantiate

    where = storage.storage
    try:
        where = instantiate(where) if isinstance(where, DictConfig) else str(where)
        return optuna.load_study(study_name=storage.study, storage=where)
    except KeyError:  # there is no such study yet
        return None
    except Exception as error:  # a URL, a driver, a file, a server: each has exceptions of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"hydra.sweeper.storage={storage.storage} cannot be used: {reason.rstrip('.')}."
        ) from error


def _mark(sweep: Sweep) -> str:
    """Return an override by which the sweeper records in each trial which sweep it is of.

    The sweeper keeps what all trials share as their user attributes.
    """
    return f"out={quote(str(sweep.folder.resolve()))}"


def _close_open_trials(study: Any, sweep: Sweep) -> None:
    from optuna.trial import TrialState

    jobs = {tuple(sorted(job.overrides)): job for job in sweep.jobs()}
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if f"out={trial.user_attrs.get('out')}" != _mark(sweep):
            continue  # of another sweep in the same study, which may be running
        job = jobs.get(tuple(sorted(f"{key}={value}" for key, value in trial.params.items())))
        value = _result(sweep, job) if job else None
        if value is not None:
            study.tell(trial.number, value)
        else:
            study.tell(trial.number, state=TrialState.FAIL)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna calls it experimental
                study.enqueue_trial(trial.params)


def _result(sweep: Sweep, job: Job) -> float | None:
    folder = sweep.folder / job.name
    _, value = status.objective(folder, sweep.objective)
    return value if (folder / "result.json").exists() else None
