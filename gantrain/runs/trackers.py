"""The tracking services of a run: whether they can be used, and the sinks that send to them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gantrain.tracking.waiting import waiting

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig, TrackingConfig
    from gantrain.runs.directory import RunDirectory
    from gantrain.tracking.remote import RemoteSink, Service, ServiceRecord

NAMES = {"wandb": "W&B", "mlflow": "MLflow"}


def find_problems(tracking: TrackingConfig) -> Iterator[str]:
    """Yield a sentence for each tracker that cannot be used here. Does not import torch."""
    for service in _services(tracking):
        if importlib.util.find_spec(service) is None:
            yield (
                f"tracking.to={service} needs a package that is not installed: "
                f"pip install 'gantrain[{service}]'."
            )
        elif service == "wandb":
            from gantrain.tracking.wandb_run import is_logged_in

            if not is_logged_in(tracking.mode):
                yield (
                    "tracking.to=wandb: W&B does not know who you are. Run wandb login once (or "
                    "set WANDB_API_KEY), or add tracking.mode=offline."
                )


def connect(
    config: RunConfig,
    directory: RunDirectory,
    settings: dict[str, Any],
    say: Callable[[str], None],
) -> list[RemoteSink]:
    """Return the sinks of the services that answer; say which ones do not.

    Args:
        config: the checked config.
        directory: that of the run.
        settings: the config under dotted keys, which the services show.
        say: shows a sentence to the user.
    """
    sinks = []
    for service in _services(config.tracking):
        from gantrain.tracking.remote import RemoteSink, reason

        name = NAMES[service]
        try:
            with waiting(f"connecting to {name}"):
                run, record = _start(service, config, directory, settings)
        except Exception as error:  # whatever such a package raises, the training does not need it
            say(
                f"{name} cannot be reached ({reason(error)}) and gets no reports of this start. "
                "The training goes on; a resume sends what is missing."
            )
            continue
        sinks.append(RemoteSink(name, run, record, say, directory.reports()))
        say(run.where)
    return sinks


def _services(tracking: TrackingConfig) -> list[str]:
    return [name for name in dict.fromkeys(tracking.to) if name in NAMES]


def _start(
    service: str, config: RunConfig, directory: RunDirectory, settings: dict[str, Any]
) -> tuple[Any, ServiceRecord]:
    from gantrain.tracking.remote import ServiceRecord

    tracking, file, name = config.tracking, directory.trackers / service, directory.path.name
    if service == "wandb":
        from gantrain.tracking.wandb_run import WandbRun

        place = {"entity": tracking.entity, "project": tracking.project}
        record = ServiceRecord(file.with_suffix(".json"), place)
        run: Service = WandbRun(
            record, directory.path, name, tracking.project, tracking.entity, tracking.mode,
            tracking.tags, settings,
        )  # fmt: skip
    else:
        from gantrain.tracking.mlflow_run import MlflowRun, address

        place = {"uri": address(tracking.uri), "experiment": tracking.project}
        record = ServiceRecord(file.with_suffix(".json"), place)
        run = MlflowRun(record, name, tracking.project, place["uri"], tracking.tags, settings)
    return run, record
