"""MLflow, behind the extra `mlflow`."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

from PIL import Image

from gantrain.tracking.remote import ServiceRecord
from gantrain.tracking.tracker import Event

LONGEST_VALUE = 6000  # characters of a parameter
PARAMETERS_AT_ONCE = 100
# With MLflow's own (7 retries of 120 s) a start would wait for minutes for a server that is down.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def address(uri: str | None) -> str:
    """Return the server or database that `uri` means; None: MLflow's own setting."""
    import mlflow

    return uri or mlflow.get_tracking_uri()


class MlflowRun:
    """A run of MLflow, which is started or continued here. Its step is nimg.

    Args:
        record: has the id of a run to be continued, and gets that of a new one.
        name: that is shown.
        experiment: that the run belongs to.
        uri: a server or a database, see `address`.
        tags: labels of the run: "key=value", or "key" alone.
        settings: the config, under dotted keys.
    """

    def __init__(
        self,
        record: ServiceRecord,
        name: str,
        experiment: str,
        uri: str,
        tags: list[str],
        settings: dict[str, Any],
    ) -> None:
        import mlflow
        from mlflow.entities import Param

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it reports on its tables
        logging.getLogger("alembic").setLevel(logging.WARNING)
        for key, value in PATIENCE.items():
            os.environ.setdefault(key, value)
        mlflow.set_tracking_uri(uri)  # images are sent there, whatever the client's own setting
        self.client = mlflow.MlflowClient()
        if record.id:
            self.client.update_run(record.id, status="RUNNING")
            self.id = record.id
        else:
            known = self.client.get_experiment_by_name(experiment)
            group = known.experiment_id if known else self.client.create_experiment(experiment)
            pairs = [tag.partition("=") for tag in tags]
            labels = {key: value for key, _, value in pairs}
            run = self.client.create_run(group, run_name=name, tags=labels)
            self.id = record.id = run.info.run_id
            record.save()
        parameters = [
            Param(key, str(value)[:LONGEST_VALUE])
            for key, value in settings.items()
            # A parameter cannot change: a resumed run keeps those it was started with.
            if key not in self.client.get_run(self.id).data.params
        ]
        for i in range(0, len(parameters), PARAMETERS_AT_ONCE):
            self.client.log_batch(self.id, params=parameters[i : i + PARAMETERS_AT_ONCE])

    @property
    def where(self) -> str:
        """A sentence: where to see the run."""
        return f"MLflow: run {self.id} of {self.client.tracking_uri}"

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Log a report."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        metrics = [Metric(key, float(value), now, nimg) for key, value in values.items()]
        self.client.log_batch(self.id, metrics=[m for m in metrics if math.isfinite(m.value)])

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Log a sample grid."""
        self.client.log_image(self.id, image, key="grid", step=nimg)

    def event(self, nimg: int, event: Event) -> None:
        """Log an alarm as a metric and as a tag."""
        self.client.log_metric(self.id, f"alarm/{event['alarm']}", 1.0, step=nimg)
        text = f"{event['where']}: {event['text']} {event['advice']}"
        self.client.set_tag(self.id, f"alarm.{event['alarm']}", text)

    def end(self, error: BaseException | None) -> None:
        """Mark the run as finished, stopped (killed, in MLflow's words) or failed."""
        status = "KILLED" if isinstance(error, SystemExit) else "FAILED" if error else "FINISHED"
        self.client.set_terminated(self.id, status)
