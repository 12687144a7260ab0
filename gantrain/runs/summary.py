"""Finish a run: final metrics, result.json, and a summary with the next commands."""

from pathlib import Path
from typing import Any, NamedTuple

from gantrain.config import data_kind
from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError, shown
from gantrain.gans.base import GAN, networks_of
from gantrain.inference.translation import evaluate_pairs, pair_problems
from gantrain.io.files import write_json
from gantrain.networks.directions import directions_of
from gantrain.runs import objective, resume
from gantrain.runs.directory import RunDirectory
from gantrain.runs.resume import ExistingRun
from gantrain.tracking.tracker import Tracker

# {direction: {"model" or "baseline": {metric: value}}}
PairMetrics = dict[str, dict[str, dict[str, float]]]
# (label, key of PairMetrics); the baseline returns the input unchanged
COMPARED = (("this model", "model"), ("do nothing", "baseline"))


class Ended(NamedTuple):
    """A training that has reached its end.

    Attributes:
        path: the run directory.
        objective: the value of the objective; None: there is none.
    """

    path: Path
    objective: float | None


def finish(
    trainer: Trainer, data: Dataset, directory: RunDirectory, tracker: Tracker, config: RunConfig
) -> Ended:
    """Compute the final metrics, write result.json and report the summary.

    Args:
        trainer: the trainer, after its last step.
        data: the prepared data set.
        directory: that of the run.
        tracker: receives the summary.
        config: the checked config.
    """
    pairs = final_pair_metrics(trainer, data, config.evaluation.test_images)
    metrics = objective.metrics(directory.last_report() | trainer.last_evaluation, pairs)
    selected = objective.select_objective(config.objective, metrics)
    result = {"nimg": trainer.nimg, "pairs": pairs, "headline": mean_l1(pairs)}
    result |= {"metrics": metrics, "objective": selected, "enough": trainer.early_stopped}
    write_json(directory.result, result)
    for line in summary_lines(directory, result, config):
        tracker.say(line)
    value = objective.objective_value(config.objective, selected["value"])
    return Ended(directory.path, value)


def reprint_result(existing: ExistingRun, config: RunConfig) -> Ended:
    """Print the summary of a finished run again.

    Args:
        existing: the finished run.
        config: names the objective.
    """
    result = dict(existing.result or {})
    metrics = objective.metrics(result.get("metrics", {}), result["pairs"])
    # The repeated command may have another objective
    result["objective"] = objective.select_objective(config.objective, metrics)
    kimg = result["nimg"] / 1000
    print(f"{existing.directory.path} is finished, at {kimg:g} kimg: there is nothing to train.")
    print(*summary_lines(existing.directory, result, config), sep="\n")
    value = objective.objective_value(config.objective, result["objective"]["value"])
    return Ended(existing.directory.path, value)


def final_pair_metrics(trainer: Trainer, data: Dataset, limit: int) -> PairMetrics:
    """Return L1, PSNR and SSIM of the test translations; {} without test pairs.

    Args:
        trainer: the trainer, after its last step.
        data: the prepared data set.
        limit: at most this many test images per direction.
    """
    if not limit or not _has_test_pairs(trainer.gan, data):
        return {}
    return evaluate_pairs(networks_of(trainer.generator, "G"), data, limit, trainer.precision)


def check_pairs(gan: GAN, data: Dataset, limit: int, objective: str | None = None) -> None:
    """Check, before the first step, that `final_pair_metrics` will work and give the objective.

    Args:
        gan: the model.
        data: the prepared data set.
        limit: at most this many test images per direction.
        objective: the configured objective.

    Raises:
        ConfigError: lists every problem found.
    """
    has_pairs = _has_test_pairs(gan, data)
    problems = pair_problems(data, limit) if has_pairs else []
    if objective and objective.startswith("pairs/") and not has_pairs:
        problems.append(
            f"objective={objective}: {type(gan).__name__} does not translate test pairs."
        )
    if problems:
        raise ConfigError(*problems)


def _has_test_pairs(gan: GAN, data: Dataset) -> bool:
    """Return whether the GAN translates between two domains with paired test images."""
    return data.has_pairs and bool(directions_of(networks_of(gan.G, "G")))


def mean_l1(pairs: PairMetrics) -> float | None:
    """Return the mean L1 error over the directions, in 8-bit levels; None without test pairs."""
    errors = [results["model"]["l1"] for results in pairs.values()]
    return sum(errors) / len(errors) if errors else None


def summary_lines(directory: RunDirectory, result: dict[str, Any], config: RunConfig) -> list[str]:
    """Return the summary for the terminal and the log.

    Args:
        directory: that of the run.
        result: the content of result.json.
        config: the checked config.
    """
    lines = ["", f"Done. Run directory: {directory.path}"]
    grids = sorted(directory.grids.glob("grid-*.png"))
    if grids:
        lines.append(f"Images: {grids[-1]}")
    for direction, results in result["pairs"].items():
        lines.append(f"Test images {direction[0]} -> {direction[1]} against the ground truth:")
        lines += [
            f"  {label:<11} {_format_metrics(results[key])}"
            for label, key in COMPARED
            if key in results
        ]
    if config.objective:
        lines.append(f"Objective: {_format_objective(**result['objective'])}")
    snapshots = sorted(directory.snapshots.glob("snapshot-*.pt"))
    if snapshots:
        lines.append(f"Generators: {snapshots[-1]}")
    commands = _next_commands(directory, config, result["nimg"])
    return [*lines, "Next:", *(f"  {command}" for command in commands)]


def _format_metrics(values: dict[str, float]) -> str:
    return (
        f"L1 {values['l1']:6.2f} of 255   PSNR {values['psnr']:5.2f} dB   SSIM {values['ssim']:.3f}"
    )


def _format_objective(name: str, value: float | None) -> str:
    if value is None:
        return f"{name} is missing at the end, or not finite: NaN is returned"
    return f"{name} {value:.6g}"


def _next_commands(directory: RunDirectory, config: RunConfig, nimg: int) -> list[str]:
    """Return commands that the user may want next, first one that doubles the budget."""
    images = max(1, resume.budget_images(config, directory.read_config()) or nimg)
    factor = 2
    while factor * images <= nimg:  # the run was once resumed with a larger budget
        factor *= 2
    if config.train.kimg:
        budget = f"train.kimg={config.train.kimg * factor:g}"
    else:
        budget = f"train.epochs={(config.train.epochs or 0) * factor:g}"
    commands = [f"gantrain {shown(f'resume={directory.path}')} {budget}"]
    if "tensorboard" in config.tracking.to:
        commands.append(f"tensorboard --logdir {shown(str(directory.path))}")
    takes = data_kind.class_attribute(config.model["_target_"], "takes")
    if takes == "images":
        return [*commands, f"gantrain generate {shown(f'run={directory.path}')} seeds=0-31"]
    target = shown(f"run={directory.path}")
    commands.append(f"gantrain translate {target} input=DIR output=translated")
    model = str(config.model["_target_"]).rpartition(".")[2].lower()
    if takes == "paired":
        choice = data_kind.class_attribute(config.data["_target_"], "choice") or "paired"
        return [*commands, f"gantrain model={model} data={choice} data.root=DIR"]
    choice = "" if model == "cyclegan" else f"model={model} "
    own = f"gantrain {choice}data=folder data.root=DIR   # DIR holds trainA/ and trainB/"
    return [*commands, own] if model in ("cyclegan", "cut") else commands
