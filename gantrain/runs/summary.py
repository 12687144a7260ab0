"""What a run says at its end: where things are, how good they are, what to do next."""

from typing import Any

from gantrain.config import data_kind
from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, networks_of
from gantrain.inference.translation import evaluate_pairs, pair_problems
from gantrain.runs import objective, resume
from gantrain.runs.directory import RunDirectory
from gantrain.runs.resume import ExistingRun
from gantrain.tracking.tracker import Tracker

Numbers = dict[str, dict[str, dict[str, float]]]


def finish(
    trainer: Trainer, data: Dataset, directory: RunDirectory, tracker: Tracker, config: RunConfig
) -> float | None:
    """After the last step: measure, write result.json, say it; returns the objective's value."""
    numbers = final_numbers(trainer, data, config.evaluation.test_images)
    metrics = objective.metrics(directory.last_report() | trainer.measured, numbers)
    chosen = objective.select_objective(config.objective, metrics)
    result = {"nimg": trainer.nimg, "pairs": numbers, "headline": mean_l1(numbers)}
    result |= {"metrics": metrics, "objective": chosen, "enough": trainer.enough}
    directory.write_json(directory.result, result)
    for line in summary_lines(directory, result, config):
        tracker.say(line)
    return objective.objective_value(config.objective, chosen["value"])


def reprint_result(past: ExistingRun, config: RunConfig) -> float | None:
    """Say once more how a finished run ended; returns its objective's value."""
    result = dict(past.result or {})
    known = objective.metrics(result.get("metrics", {}), result["pairs"])
    result["objective"] = objective.select_objective(
        config.objective, known
    )  # perhaps another one now
    kimg = result["nimg"] / 1000
    print(f"{past.directory.path} is finished, at {kimg:g} kimg: there is nothing to train.")
    print(*summary_lines(past.directory, result, config), sep="\n")
    return objective.objective_value(config.objective, result["objective"]["value"])


def final_numbers(trainer: Trainer, data: Dataset, limit: int) -> Numbers:
    """L1, PSNR and SSIM of the test translations where their true partners are known, else {}."""
    if not limit or not _comparable(trainer.gan, data):
        return {}
    return evaluate_pairs(networks_of(trainer.generator, "G"), data, limit, trainer.precision)


def check_pairs(gan: GAN, data: Dataset, limit: int, objective: str | None = None) -> None:
    """Raise ConfigError before the first step if `final_numbers` would fail after the last, or
    would not hold the objective."""
    problems = pair_problems(data, limit) if _comparable(gan, data) else []
    if objective and objective.startswith("pairs/") and not _comparable(gan, data):
        problems.append(f"objective={objective}: {type(gan).__name__} translates no test pairs.")
    if problems:
        raise ConfigError(*problems)


def _comparable(gan: GAN, data: Dataset) -> bool:
    """Whether the generators translate between two domains whose test images have partners."""
    return data.has_pairs and set(networks_of(gan.G, "G")) == {"ab", "ba"}


def mean_l1(numbers: Numbers) -> float | None:
    """Mean L1 error over both directions in 8-bit levels; lower is better."""
    errors = [scores["model"]["l1"] for scores in numbers.values()]
    return sum(errors) / len(errors) if errors else None


def summary_lines(directory: RunDirectory, result: dict[str, Any], config: RunConfig) -> list[str]:
    """Lines for the terminal and the log, from the content of result.json."""
    lines = ["", f"Done. Run directory: {directory.path}"]
    grids = sorted(directory.grids.glob("grid-*.png"))
    if grids:
        lines.append(f"Pictures: {grids[-1]}")
    for direction, scores in result["pairs"].items():
        lines.append(f"Test images {direction[0]} -> {direction[1]} against their true partners:")
        lines += [f"  {who:<11} {_shown(scores[key])}" for who, key in WHO if key in scores]
    if config.objective:
        lines.append(f"Objective: {_valued(**result['objective'])}")
    snapshots = sorted(directory.snapshots.glob("snapshot-*.pt"))
    if snapshots:
        lines.append(f"Generators for use: {snapshots[-1]}")
    commands = _next_commands(directory, config, result["nimg"])
    return [*lines, "Next:", *(f"  {command}" for command in commands)]


WHO = (("this model", "model"), ("do nothing", "baseline"))


def _shown(scores: dict[str, float]) -> str:
    return (
        f"L1 {scores['l1']:6.2f} of 255   PSNR {scores['psnr']:5.2f} dB   SSIM {scores['ssim']:.3f}"
    )


def _valued(name: str, value: float | None) -> str:
    missing = "is missing at the end, or not finite: NaN is returned"
    return f"{name} {missing if value is None else format(value, '.6g')}"


def _next_commands(directory: RunDirectory, config: RunConfig, nimg: int) -> list[str]:
    images = max(1, resume.budget_images(config, directory.read_config()) or nimg)
    times = 2
    while times * images <= nimg:  # trained further once, under a larger budget
        times *= 2
    budget = (
        f"train.kimg={config.train.kimg * times:g}"
        if config.train.kimg
        else f"train.epochs={(config.train.epochs or 0) * times:g}"
    )
    commands = [f"gantrain resume={directory.path} {budget}"]
    if config.tracking.tensorboard:
        commands.append(f"tensorboard --logdir {directory.path}")
    if data_kind.class_attribute(config.model["_target_"], "takes") == "images":
        return [*commands, f"gantrain generate run={directory.path} seeds=0-31"]
    return [*commands, "gantrain data=folder data.root=DIR   # DIR holds trainA/ and trainB/"]
