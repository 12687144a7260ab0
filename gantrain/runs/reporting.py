"""Create the tracker that a training run reports to."""

from typing import Any

from gantrain.config.train import RunConfig
from gantrain.engine.plan import TrainingPlan
from gantrain.runs import trackers
from gantrain.runs.directory import RunDirectory
from gantrain.tracking.console import LiveDisplay, PlainLines
from gantrain.tracking.notebook import NotebookDisplay, in_notebook
from gantrain.tracking.sinks import EventLines, JsonLines, TensorBoard
from gantrain.tracking.tracker import Sink, Tracker


def make_tracker(
    config: RunConfig,
    directory: RunDirectory,
    plan: TrainingPlan,
    hyperparameters: dict[str, Any],
    live: bool,
    resumed_at: int | None,
    stream: Any,
) -> Tracker:
    """Return a tracker with the sinks of a run.

    Args:
        config: the checked config, which names the trackers.
        directory: that of the run, which gets the log, metrics.jsonl and events.jsonl.
        plan: the budget of the training.
        hyperparameters: settings under dotted keys, for TensorBoard.
        live: whether to show a live display instead of plain lines; in a notebook always.
        resumed_at: the images at which the run is resumed; None: it is new.
        stream: where plain lines are printed.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    epochs = config.train.epochs
    inline = in_notebook()
    plain = PlainLines(None if live or inline else stream, directory.log, plan.total, epochs)
    sinks: list[Sink] = [plain, JsonLines(directory.metrics), EventLines(directory.events)]
    if live or inline:
        display = NotebookDisplay if inline else LiveDisplay
        sinks.append(display(plan.total, resumed_at or 0, epochs=epochs))
    if "tensorboard" in config.tracking.to:
        sinks.append(TensorBoard(directory.tensorboard, hyperparameters, resumed_at))
    tracker = Tracker(sinks, directory.grids)
    tracker.sinks += trackers.connect(config, directory, hyperparameters, tracker.say)
    return tracker
