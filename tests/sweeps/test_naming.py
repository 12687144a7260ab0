"""Names of the runs of a sweep."""

import re

import pytest

from gantrain.sweeps.naming import MAX_NAME_LENGTH, job_name


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
