"""Which settings may be addresses; the others say so, and no secret is shown."""

import pytest

from gantrain import compose
from gantrain.config.addresses import address_problems

FOLDER = {"_target_": "gantrain.data.image_folder.ImageFolder", "remote_cache_gb": 20.0}
MNIST = {"_target_": "gantrain.data.mnist.MNIST"}
PLUGIN = {"_target_": "mine.Set"}
SIGNED = "https://h.org/x.zip?X-Amz-Signature=hush&b=1"


@pytest.mark.parametrize(
    "settings",
    [
        {"data": {**FOLDER, "root": "s3://b/x.zip"}},
        {"data": {**FOLDER, "root": None, "root_a": ["s3://b/x", "a"], "root_b": "hf://datasets/u/r"}},
        {"data": {**PLUGIN, "root": "s3://b/x"}},
        {"data": {**MNIST, "root": "my/mnist"}},
        {"data_root": "https://h.org/x.zip", "output": "s3/x", "input": ["a", "b*"]},
        {"data": "shapes", "hint": "see https://h.org/?x=1"},
    ],
)  # fmt: skip
def test_what_is_fine(settings: dict) -> None:
    assert [*address_problems(settings)] == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"data": {**FOLDER, "root": SIGNED}}, "data.root=https://h.org/x.zip was given with"),
        ({"data": {**FOLDER, "root_b": ["a", SIGNED]}}, "data.root_b=https://h.org/x.zip was"),
        ({"data_root": SIGNED}, "GANTRAIN_SIGNED_URLS"),
        ({"data": {**FOLDER, "root": "ftp://b/x"}}, "ftp:// is no protocol that is read"),
        ({"data": {**MNIST, "root": "s3://b/m"}}, "read from files of this machine: download"),
        ({"data": {**FOLDER, "cache_dir": "s3://b/m"}}, "data.cache_dir=s3://b/m is an address"),
        ({"out": "s3://b/runs"}, "out=s3://b/runs is an address, and a path of this machine"),
        ({"input": ["a", SIGNED]}, "input=https://h.org/x.zip is an address"),
        ({"run": "hf://u/model"}, "A model of the Hugging Face Hub is run=hub:OWNER/NAME."),
        ({"resume": "gs://b/run"}, "resume=gs://b/run is an address"),
    ],
)
def test_what_is_not(settings: dict, expected: str) -> None:
    [problem] = address_problems(settings)
    assert expected in problem and "hush" not in problem


def test_the_cache_of_remote_data_has_no_effect_on_local_ones() -> None:
    settings = ["data=folder", "data.cache=none", "data.remote_cache_gb=5", "data.cache_dir=c"]
    local = " ".join(compose(settings, "data.root=x").warnings)
    assert "data.remote_cache_gb has no effect" in local and "data.cache_dir has no" in local
    assert "data." not in " ".join(compose(settings, "data.root=s3://b/x").warnings)
    domains = ["data.root_a=a", "data.root_b=s3://b/x"]
    assert "data." not in " ".join(compose(settings, domains).warnings)
