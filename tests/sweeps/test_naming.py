"""Names of the runs of a sweep, and of the sweep itself."""

import re
from typing import Any

import pytest

from gantrain.config import compose
from gantrain.errors import ConfigError
from gantrain.sweeps import plan
from gantrain.sweeps.naming import MAX_NAME_LENGTH, job_name
from tests.sweeps.conftest import Run


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["seed=0", "model.lambda_cycle=5"], "seed-0_lambda_cycle-5"),
        (["experiment=cyclegan_64px"], "experiment-cyclegan_64px"),
        (["optimizer.lr=1e-05"], "lr-1e-05"),
        (["optimizer.lr=1e+30"], "lr-1e30"),
        (["+optimizer.maximize=true"], "maximize-true"),
        (["train.ema_kimg=null"], "ema_kimg-null"),
        (["a.lr=1", "b.lr=2"], "a.lr-1_b.lr-2"),
        (["x=-1"], "x--1"),
        ([], "run"),
    ],
)
def test_short_and_readable(overrides: list[str], name: str) -> None:
    assert job_name(overrides) == name


AWKWARD = [
    ["data.root=/a/b/horse"],
    ["data.root=/a/c/horse"],
    ["x=[[0,1.0],[2,3]]"],
    ["x=[[0,1.0],[2,3.0]]"],
    ["x='a b'"],
    ["x='a  b'"],
    ["x=a-b"],
    ["x=" + "a" * 300],
    ["x=" + "a" * 301],
    ["x=''"],
    ["x=0.000123456789"],
    ["x=0.000123456788"],
    [f"key{i}=value{i}" for i in range(40)],
    ["x=1_y-2", "y=3"],
    ["x=1", "y=2_y-3"],
]


def test_other_settings_have_another_name_that_is_safe_everywhere() -> None:
    names = [job_name(overrides) for overrides in AWKWARD]
    assert len(set(names)) == len(AWKWARD)
    for name in names:
        assert len(name) <= MAX_NAME_LENGTH
        # a folder on any system, and an unquoted value for Hydra (a letter first)
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]", name)


def test_a_name_does_not_depend_on_the_process() -> None:
    # It is found again by the next start of the sweep, on another machine.
    assert job_name(["x=[1,2]"]) == "x-1-2-a87d53"


@pytest.mark.parametrize(
    ("swept", "name"),
    [
        (["model=dcgan,stylegan", "data=shapes", "seed=range(0,4)"], "several-shapes-d56dbb"),
        (["data=shapes,folder", "seed=0,1"], "cyclegan-several-397798"),
        (["experiment=quickstart,stylegan_cifar", "seed=0,1"], "cyclegan-shapes-a99068"),
    ],
)
def test_the_name_takes_one_compose_per_model_and_data_set(
    gantrain: Run, monkeypatch: pytest.MonkeyPatch, swept: list[str], name: str
) -> None:
    composed: list[str] = []
    load = compose.Loader.load_configuration

    def counted(loader: compose.Loader, *args: Any, **more: Any) -> Any:
        composed.append(str(args))
        return load(loader, *args, **more)

    def planned(sweep: plan.Sweep, _: Any) -> None:
        assert len(composed) <= 4  # the sweep's own, and at most three for the name
        raise ConfigError(f"It is called {sweep.folder.name}.")

    monkeypatch.setattr(compose.Loader, "load_configuration", counted)
    monkeypatch.setattr(plan, "_check_and_write", planned)
    answer = gantrain("-m", *swept)
    assert f"It is called {name}." in answer.err
