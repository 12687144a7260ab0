"""The whole config: every YAML is valid, every kind of mistake is found, all at once."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gantrain.config import paths, rules
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.errors import ConfigError
from gantrain.runs import resume

CONFIGS = paths.config_dir()
CHOICES = [
    f"{file.parent.name}={file.stem}"
    for file in sorted(CONFIGS.glob("*/*.yaml"))
    if file.parent.name in ("model", "data", "optimizer", "runtime", "tracking")
]
EXPERIMENTS = sorted(file.stem for file in (CONFIGS / "experiment").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        yield


def load(*overrides: str) -> RunConfig:
    given = [text.lstrip("+").partition("=")[0] for text in overrides]
    return load_run_config(compose("train", list(overrides)), given)


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*overrides)
    return list(caught.value.problems)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_every_group_is_valid(choice: str) -> None:
    models = dict.fromkeys(("data=cifar10", "data=hf", "data=mnist"), "dcgan")
    models |= {"optimizer=r3gan": "r3gan"}
    models |= {"data=colorize": "pix2pix"}
    model = [f"model={models[choice]}"] if choice in models else []
    assert load(choice, *model).warnings == ()


@pytest.mark.parametrize("debug", [[], ["debug=smoke"], ["debug=overfit"]], ids=str)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_valid_also_when_debugged(experiment: str, debug: list[str]) -> None:
    load(f"experiment={experiment}", *debug)


def test_debug_wins_over_the_experiment() -> None:
    assert load("experiment=cyclegan_reference", "debug=smoke").train.kimg == 0.002


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda f: f.stem)
def test_every_key_is_explained(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# "), "the first line says what the file is for"
    if file.parent.name in ("experiment", "debug"):
        return
    text = re.sub(r"^(defaults|hydra):.*\n(( .*)?\n)*", "", text, flags=re.M)
    keys = [line for line in text.splitlines() if re.match(r" *\w+:( |$)", line)]
    bare = [k for k in keys if "#" not in k and "_target_:" not in k and k[-1] != ":"]
    assert bare == []


def test_values_are_plain_and_typed() -> None:
    config = load("train.kimg=20", "train.epochs=null", "lr.unit=image", "name=7")
    assert isinstance(config.train.kimg, float) and config.train.kimg == 20
    assert config.train.batch == 1 and config.lr.compat == 2025 and config.name == "7"
    assert config.model["lambda_cycle"] == 10.0 and type(config.optimizer["betas"]) is list


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.batch=0", "train.batch=0 is out of range"),
        ("train.batch=4.5", "train.batch must be an integer"),
        ("train.on_nonfinite=hlat", "Did you mean train.on_nonfinite=halt?"),
        ("+train.batchh=3", "train.batchh is not a key. Did you mean train.batch=3?"),
        ("+modell=3", "modell is not a key. Did you mean the section model? Its keys: model.g"),
        ("seed=null", "seed=null is not allowed"),
        ("optimizer.lr=abc", "optimizer.lr must be a number above 0"),
        ("optimizer.lr=0", "out of range"),
        ("optimizer.betas=[0.5]", "list of 2 values"),
        ("optimizer.betas=[0.5,1]", "out of range"),
        ("+optimizer.maximise=true", "Did you mean optimizer.maximize=true?"),
        ("+optimizer.params=[]", "optimizer.params is not a key"),
        ("model.norm=instanc", "Did you mean model.norm=instance?"),
        ("model.ngf=-1", "model.ngf=-1 is out of range"),
        ("model.lambda_cycle=[[1,0],[0,1]]", "increasing kimg"),
        ("+model.images=3", "model.images is not a key"),
        ("lr=0.1", "Did you mean optimizer.lr=0.1?"),
        ("train=3", "train is a section"),
        ("data.resolution=-4", "data.resolution=-4"),
        ("model._target_=os.system", "is not allowed: it must begin with gantrain."),
        ("model._target_=torch.load", "is not allowed"),
        ("model._target_=gantrain.gans.cyclegan.CycleGAM", "Did you mean"),
        ("model.init={_target_:os.system}", "_target_=os.system is not allowed"),
        ("name=${nowhere}", "'nowhere' not found"),
        ("name=???", "name has no value: add name=..."),
        ("name=a/b", "plain folder name"),
        ("name=aux.v1", "is the name of a device on Windows, so the run could not be copied"),
        ("runtime.device=gpu", "use auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_a_wrong_key_or_value(override: str, said: str) -> None:
    assert said in "\n".join(problems(override))


def test_all_problems_at_once() -> None:
    found = problems("train.batch=0", "lr.decay=2", "model.ngf=x", "+a.b=1", "optimizer.eps=-1")
    assert len(found) == 5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.kimg=20"], "add train.epochs=null"),
        (["train.epochs=null"], "both null"),
        (["train.batch=6", "train.microbatch=4"], "nearest that does is train.microbatch=3"),
        (["train.epochs=null", "train.kimg=20"], "add lr.unit=image"),
        (["lr.schedule=step"], "needs lr.step_kimg"),
        (["runtime=cpu", "runtime.precision=tf32"], "tf32 works on NVIDIA GPUs only"),
        (["data=folder", "data.resolution=250"], "nearest is data.resolution=248"),
        (["data=folder", "data.resolution=[256,130]"], "data.resolution=[256,128]"),
        (["data=folder", "model.generator=unet_256", "data.resolution=300"], "resolution=256."),
        (["data=folder", "data.load_size=200"], "smaller than data.resolution=256"),
        (["data=folder", "data.load_size=[300,200]"], "smaller than data.resolution=256"),
        (["data=folder", "data.channels_a=1"], "add model.lambda_identity=0"),
        (["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"], "momentum above 0"),
        (["resume=auto"], "add name="),
        (["model=stylegan", "model.augment_p=0.9"], "above its bound model.ada_max_p=0.8"),
        (["resume=runs/a", "init_from=runs/b"], "exclude each other"),
        (["model=cut", "model.lambda_adversarial=0", "model.lambda_nce=0"],
         "model.lambda_adversarial, model.lambda_nce: all are 0, and the generator would learn"),
        (["model=pix2pix", "model.lambda_adversarial=[[0,0],[5,0]]", "model.lambda_l1=0.0",
          "data.resolution=256"], "model.lambda_l1: all are 0"),
        # lambda_identity is relative to lambda_cycle.
        (["model.lambda_adversarial={base: 0, final: 0, kimg: 1, shape: cosine}",
          "model.lambda_cycle=0"], "model.lambda_identity: all are 0"),
    ],
)  # fmt: skip
def test_combinations_that_cannot_work(overrides: list[str], said: str) -> None:
    assert [text for text in problems(*overrides) if said in text]


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=folder", "data.channels_a=1", "model.lambda_identity=0"],
        ["data=folder", "data.preprocess=none", "data.resolution=250"],
        ["lr.schedule=constant", "train.kimg=20", "train.epochs=null"],
        ["resume=auto", "name=a", "init_from=runs/b"],
        ["runtime.device=cuda:1", "runtime.precision=tf32"],
        ["model.lambda_cycle=[[0,0],[10,10]]", "+optimizer.maximize=true"],
        ["model=stylegan", "model.augment=fixed", "model.augment_p=0.9"],
        ["model=cut", "model.lambda_adversarial=0", "model.lambda_nce=[[0,0],[5,1]]"],
        ["model.lambda_adversarial=0", "model.lambda_identity=0"],
    ],
)
def test_combinations_that_work(overrides: list[str]) -> None:
    load(*overrides)


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("model.blocks=3", ["data=folder", "model.generator=unet_256"]),
        ("model.d_layers=3", ["model.discriminator=pixel"]),
        ("model.gp_weight=3", []),
        ("lr.decay=0.3", ["lr.schedule=constant"]),
        ("lr.step_factor=0.3", []),
        ("data.load_size=300", ["data=folder", "data.preprocess=crop"]),
        ("tracking.grid_images=3", ["tracking.grid_every_kimg=0"]),
        ("resume_force=true", []),
        ("model.r1_interval=4", ["model=stylegan", "model.loss=wgan_gp"]),
        ("evaluation.test_images=4", ["model=dcgan"]),
    ],
)
def test_a_typed_key_without_effect_warns(key: str, others: list[str]) -> None:
    [warning] = load(*others, key).warnings
    assert warning.startswith(key.partition("=")[0] + " has no effect")
    assert load(*others).warnings == ()


def test_wgan_gp_with_batch_norm_warns() -> None:
    assert "model.norm=instance" in load("model.loss=wgan_gp", "model.norm=batch").warnings[0]


def test_augmenting_with_probability_0_warns() -> None:
    fixed = ["model=stylegan", "model.augment=fixed"]
    assert "augments nothing" in load(*fixed).warnings[0]
    assert load(*fixed, "model.augment_p=0.2").warnings == ()


def test_freezing_random_layers_warns() -> None:
    frozen = ["model=stylegan", "model.freeze_d=10"]
    assert "give init_from=" in load(*frozen).warnings[0]
    assert load(*frozen, "init_from=runs/b").warnings == ()
    assert load(*frozen, "resume=runs/a").warnings == ()


def test_differences_leave_out_what_changes_neither_networks_nor_pictures() -> None:
    def plain(*overrides: str) -> Any:
        return OmegaConf.to_container(compose("train", ["data=folder", *overrides]))

    changed = ["model.ngf=32", "data.cache=none", "model.mode=reference", "optimizer.lr=1"]
    assert resume.config_diff(plain(), plain(*changed)) == ["model.ngf: 64 -> 32"]
    new_key = resume.config_diff({"model": {}, "data": {}}, {"model": {"a": None}, "data": {}})
    assert new_key == ["model.a: (not set) -> null"]
    older, now = (dataclasses.asdict(load("data=folder", "data.root=x")) for _ in range(2))
    del older["data"]["held_out"]  # a key of later versions
    assert resume.config_diff(older, now) == []
    now["data"]["held_out"] = 3
    assert resume.config_diff(older, now) == ["data.held_out: 0 -> 3"]


def test_a_plugin_package_is_allowed_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mygans.py").write_text(
        "class G:\n    def __init__(self, images, *, k: int): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    plain = OmegaConf.to_container(compose("train", []))
    assert isinstance(plain, dict)
    plain["model"] = {"_target_": "mygans.G", "k": 3}
    with pytest.raises(ConfigError, match="GANTRAIN_PLUGINS"):
        load_run_config(OmegaConf.create(plain), ())
    monkeypatch.setenv("GANTRAIN_PLUGINS", "other, mygans")
    assert load_run_config(OmegaConf.create(plain), ()).model["k"] == 3
    plain["model"] = {"_target_": "mygans.G"}
    with pytest.raises(ConfigError, match=r"model\.k is missing"):
        load_run_config(OmegaConf.create(plain), ())


def test_penalty_needs_equal_sizes() -> None:
    (text,) = problems("data=folder", "data.preprocess=none", "model.loss=wgan_gp")
    assert "data.preprocess=none leaves images of any size" in text


def test_a_first_stage_that_takes_all_is_said() -> None:
    (text,) = load("experiment=cyclegan_two_stage", "model.adversarial_kimg=99").warnings
    assert "leaves nothing of train.kimg=16" in text


def test_a_run_of_an_old_name_goes_on() -> None:
    config = {"name": "a:b", "out": "runs"}
    assert [*rules.name_problems(config)] and [*rules.name_problems({**config, "resume": "auto"})]
    assert not [*rules.name_problems({**config, "resume": "runs/a:b"})]
