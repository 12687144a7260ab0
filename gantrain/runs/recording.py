"""What a run records of itself: its settings, and what follows from them and the data."""

import json
from dataclasses import asdict
from typing import Any

import torch

from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.engine.plan import TrainingPlan
from gantrain.gans.base import GAN


def plain_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings as plain values."""
    settings = asdict(config)
    settings.pop("warnings")
    return settings


def derived(plan: TrainingPlan, gan: GAN, data: Dataset) -> dict[str, Any]:
    """Return what follows from config and data: budgets in images, networks, sizes, counts."""
    values = {"plan": asdict(plan), "networks": specs(gan), "data": data.describe()}
    return plain(values | {"model": gan.derived(), "threads": torch.get_num_threads()})


def specs(gan: GAN) -> dict[str, Any]:
    """Return the constructor calls of all networks that record theirs, by name ("G.ab")."""
    networks = {
        name: network.spec
        for name, network in gan.networks().items()
        if isinstance(getattr(network, "spec", None), dict)
    }
    return plain(networks)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Convert tuples and paths to types that YAML's safe subset has."""
    return json.loads(json.dumps(values, default=str))


def description(data: Dataset) -> dict[str, Any]:
    """Return what snapshots and checkpoints record of a data set, with examples of labels.

    They are shared with others, so it does not reveal local paths.
    """
    found = {key: value for key, value in data.describe().items() if key != "folders"}
    if examples := getattr(data, "label_examples", None):
        found["labels"] = {**found["labels"], "examples": examples}
    return found
