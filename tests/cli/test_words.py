"""What is typed is taken as typed, and advice is advice that works."""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gantrain.cli import completion
from gantrain.cli.arguments import Arguments, parse, positional_overrides
from gantrain.config import compose, suggestions
from gantrain.config.hydra_errors import examine
from gantrain.config.overrides import as_typed
from gantrain.errors import ConfigError
from scripts import fuzz_overrides

Say = Callable[..., str]
REFUSED = re.compile(
    r"is not a (key|choice|flag|command|device)|is not allowed|is out of range|cannot be read|"
    r"has no value"
)
INSTEAD = r"or write (.*) instead of (.*)\.$"


@pytest.fixture
def say(tmp_path: Path) -> Iterator[Say]:
    """Answers of the command line to its arguments, with commands that do nothing."""

    def answer(*argv: str) -> str:
        fault, text = fuzz_overrides.answer(list(argv))
        assert fault is None, text
        return text

    fuzz_overrides.furnish(tmp_path)
    with fuzz_overrides.harmless(tmp_path):
        yield answer


def corrected(argv: list[str], text: str) -> list[list[str]]:
    """The command line with the advice of an answer in place of what it is about; [] without."""
    found = []
    for line in text.splitlines():
        line = line.removeprefix("Error: ").removeprefix("  - ")
        about = re.split(r" (?:is|are) (?:not )?(?:a )?(?:flag|key)", line)[0].split(" and ")
        advice = re.findall(r"Did you mean ([^?]*=[^?]*)\?|: add (.*)\.$|dashes: (.*)$", line)
        advice += [(new, "", "") for new, _ in re.findall(INSTEAD, line)]
        dropped = {word for item in about for word in [*item.split(), item]}
        dropped |= {old for _, old in re.findall(INSTEAD, line)}
        for new in (shlex.split("".join(item)) for item in advice):
            names = {name_of(word) for word in [*about, *new]}
            kept = [word for word in argv if word not in dropped and name_of(word) not in names]
            meant = {*about, *(word.partition("=")[0] for word in new)}
            kept = [word for word in kept if suggestions.ALIASES.get(name_of(word)) not in meant]
            argv = [*kept, *new]
            found = [argv]
    return found


def name_of(word: str) -> str:
    return word.lstrip("+-").partition("=")[0].rpartition(".")[2]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("no_flip=true data=folder", "Did you mean data.flip=false?"),
        ("no_flip=false data=folder", "Did you mean data.flip=true?"),
        (
            "n_epochs=100 n_epochs_decay=100 data=folder",
            "n_epochs and n_epochs_decay are not keys. Did you mean train.epochs=200 lr.decay=0.5?",
        ),
        ("n_epochs_decay=300 data=folder", "Did you mean train.epochs=400 lr.decay=0.75?"),
        (
            "n_epochs=5 n_epochs_decay=0 model=stylegan",
            "Did you mean train.epochs=5 train.kimg=null?",
        ),
        ("gpu_ids=0 data=folder", "Did you mean runtime.device=cuda:0?"),
        ("gpu_ids=-1 data=folder", "Did you mean runtime.device=cpu?"),
        ("gpu_ids=0,1 data=folder", "Did you mean runtime.devices=2? With CUDA_VISIBLE"),
        ("gpus=2 data=folder", "Did you mean runtime.devices=2?"),
        ("netG=resnet_9blocks data=folder", "Did you mean model.generator=resnet model.blocks=9?"),
        ("netG=unet_256 data=folder", "Did you mean model.generator=unet_256?"),
        ("netD=n_layers n_layers_D=4 data=folder", "model.discriminator=patch model.d_layers=4?"),
        ("continue_train=true data=folder", "Write resume=runs/NAME"),
        ("continue_train=true data=folder name=a1", "Did you mean resume=auto?"),
        ("beta1=0.9 data=folder", "Did you mean optimizer.betas=[0.9,0.999]?"),
        ("beta1=0 beta2=0.99 data=folder", "beta1 and beta2 are not keys. Did you mean optimizer."),
        ("save_epoch_freq=5 data=folder", "Did you mean checkpoint.every_epochs=5?"),
        ("save_latest_freq=5000 data=folder", "Did you mean checkpoint.every_kimg=5?"),
        ("snap=10 model=stylegan", "Did you mean checkpoint.snapshot_every_kimg=40?"),
        ("max_dataset_size=inf data=folder", "Did you mean data.max_images=null?"),
        ("aug=noaug model=stylegan", "Did you mean model.augment=none?"),
        ("gamma=1 model=r3gan data=folder", "Did you mean model.gamma=1?"),
        ("model.gama=1 model=r3gan data=folder", "Did you mean model.gamma=1?"),
        ("ema_kimg=1 model=r3gan data=folder", "Did you mean train.ema_kimg=1?"),
        ("--glr=0.001 model=r3gan data=folder", "Did you mean optimizer.lr=0.001?"),
        ("preset=FFHQ-64 data.root=x", "Did you mean experiment=r3gan_ffhq64?"),
        ("aug=0 model=r3gan data=folder", "Did you mean model.augment_p=0?"),
        ("aug=1 model=r3gan data=folder", "Leave it out: model=r3gan augments."),
        ("snap=200 tick=1 model=r3gan", "Did you mean checkpoint.snapshot_every_kimg=200?"),
        ("cfg=stylegan3-r", "Did you mean model=stylegan3 model.config=r?"),
        ("cfg=stylegan3-t model=stylegan3", "Did you mean model=stylegan3 model.config=t?"),
        ("--cfg=stylegan3-r", "Did you mean model=stylegan3 model.config=r?"),
        ("--cfg paper256", "Did you mean experiment=stylegan_paper256?"),
        ("--cfg jbo", "--cfg jbo is not a choice. Choices: job, hydra, all."),
        ("--cfg=jbo", "--cfg=jbo is not a choice. Choices: job, hydra, all."),
        ("model.config=r model=stylegan", "model.config is a key of model=stylegan3, not of"),
        ("dlr=0.002 model=stylegan3", "Did you mean lr.d_factor=0.8? It is D's learning rate"),
        ("dlr=0.002 glr=.004 model=stylegan3", "Did you mean lr.d_factor=0.5?"),
        ("dlr=fast model=stylegan3", "Write lr.d_factor=..., D's learning rate divided by optim"),
        ("cfg=paper256 data=folder", "Did you mean experiment=stylegan_paper256?"),
        ("ema_decay=0.999 data=folder", "Did you mean train.ema_kimg=0.6928"),
        ("direction=BtoA data=folder", "write direction=ba for gantrain translate"),
        ("translate run=a input=photos output=x direction=BtoA", "Did you mean direction=ba?"),
        ("dataroot=x", "data.root is a key of data=folder: add data=folder data.root=x."),
        ("'dataroot=my photos (1)'", "add data=folder 'data.root=my photos (1)'."),
        ("model.nfg=3 data=folder", "Did you mean model.ngf=3?"),
        ("model.lambda_cylce=3 data=folder", "Did you mean model.lambda_cycle=3?"),
        ("max_epochs=x data=folder", "Did you mean train.epochs? It must be a number above 0"),
        ("accelerator=gpu data=folder", "Did you mean runtime.device=cuda?"),
        ("accelerator=tpu data=folder", "Did you mean runtime.device? It must be auto, cpu, cuda"),
        ("crop_size=0 data=folder", "Did you mean data.resolution? It must be an integer of at"),
        ("batch_size=0 data=folder", "Did you mean train.batch? It must be an integer"),
        ("trian=3 data=folder", "Did you mean the section train? Its keys: train.batch"),
        ("checkpoint.evry_minutes=10 data=folder", "Did you mean checkpoint.every_minutes=10?"),
        ("runtime.lock_timout=10 data=folder", "Did you mean runtime.lock_timeout=10?"),
        ("tracking.grid_epochs=2 data=folder", "Did you mean tracking.grid_every_epochs=2?"),
        ("evaluation.every_epoch=2 data=folder", "Did you mean evaluation.every_epochs=2?"),
        (
            "model=stylegan data=cifar10 data.load_size=286",
            "data.load_size is a key for images of two domains, but this model trains on single",
        ),
        (
            "model=stylegan data=cifar10 +data.load_size=286",
            "data.load_size is a key for images of two domains, but this model trains on single",
        ),
        (
            "model=stylegan data=folder model.pool_size=50",
            "model.pool_size is a key of model=cyclegan and model=pix2pix, not of model=stylegan: "
            "remove it, or",
        ),
        (
            "model.z_dim=8",
            "model=dcgan, model=r3gan, model=stylegan and model=stylegan3: add model=dcgan",
        ),
        ("seeds=0-3 data=folder", "It is a key of gantrain directions and generate."),
        ("prepare input=photos", "Did you mean data.root=photos?"),
        ("prepare output=x", "It is a key of gantrain directions, doctor, evaluate,"),
        ("generate run=a train.batch=3", "It is a key of gantrain train."),
        ("generate run=a model.ngf=3", "It is a key of gantrain train."),
        ("'seed=a b (c)'", "seed must be an integer"),
        ("--dataroot x", "add data=folder data.root=x."),
        ("--no_flip data=folder", "--no_flip is not a flag. Settings are written without dashes."),
        ("--batch-size 4 data=folder", "Did you mean train.batch=4?"),
        ("--seed 3", "--seed 3 is not a flag. Settings are written without dashes: seed=3"),
        ("data=x.zip model=stylegan", "For images of your own, write data=folder data.root=x.zip."),
        ("--resolve data=folder", "--resolve has no effect without --cfg job."),
        ("~model=[1,2]", "write ~model"),
    ],
)
def test_advice_is_right_and_works(say: Say, argv: str, said: str) -> None:
    text = say(*shlex.split(argv))
    assert said in text
    for again in corrected(shlex.split(argv), text):
        assert not REFUSED.search(answer := say(*again)), (again, answer)


def test_everything_is_told_at_once_and_nothing_that_follows(say: Say) -> None:
    text = say(
        *[
            "--name",
            "y",
            "--netG",
            "resnet_6blocks",
            "--n_epochs",
            "100",
            "--n_epochs_decay",
            "50",
            "modle=x",
        ],
        "train.batch=0",
    )
    assert text.splitlines() == [
        "Error: 5 problems",
        "  - --name y is not a flag. Settings are written without dashes: name=y",
        "  - --netG resnet_6blocks is not a flag. Settings are written without dashes. "
        "Did you mean model.generator=resnet model.blocks=6?",
        "  - --n_epochs 100 and --n_epochs_decay 50 are not flags. Settings are written without "
        "dashes. Did you mean train.epochs=150 lr.decay=0.333333? In the reference, 100 epochs "
        "come before the decay and 50 are part of it.",
        "  - modle is not a key. Did you mean model? Choices: cut, cyclegan, dcgan, pix2pix, "
        "r3gan, stylegan, stylegan2, stylegan3.",
        "  - train.batch=0 is out of range: train.batch must be an integer of at least 1 or null.",
    ]
    # Not that data.root is missing, which only follows from the misspelling; and no demo.
    assert say("data=folder", "data.rot=x") == (
        "Error: data.rot is not a key. Did you mean data.root=x?\n"
    )


def advice_about(names: list[str], value: str, say: Say) -> Iterator[tuple[str, str, str]]:
    """(setting, advice, answer to it) for settings of other programs, told in one go."""
    start = ["data=shapes"]
    found = examine("train", [*start, *(f"{name}={value}" for name in names)], None, False)
    for typed, sentence in found:
        for new in corrected([*start, typed], sentence):
            yield typed, sentence, say(*new)


VALUES = ("4", "true", "0.5", "x", "cuda", "[0.5,0.9]", "0", "-1")


def test_some_names_of_other_programs_get_advice_that_works(say: Say) -> None:
    names = suggestions.names()
    told = [t for i, value in enumerate(VALUES) for t in advice_about(names[i::60], value, say)]
    assert len(told) > 6
    assert not [t for t in told if REFUSED.search(t[2])]


@pytest.mark.ci
@pytest.mark.parametrize("value", VALUES)
def test_all_names_of_other_programs_get_advice_that_works(say: Say, value: str) -> None:
    told = list(advice_about(suggestions.names(), value, say))
    assert told and not [t for t in told if REFUSED.search(t[2])]


TEXTS = [
    "my photos", "Tom & Jerry (1)", "[x] {y}", "Ümläut/日本語", "007", "1e3", "true", "a'b", '"',
    "$x", "a,b", "C:\\photos\\", "x=y", "#1", " x", "0x10", "1_000", "nan", "choice(a)", "~",
    "a:b@c", "*",
]  # fmt: skip


def value_of(command: str, override: str, key: str) -> Any:
    source = compose.config_loader(None)
    return compose.compose(source, command, [as_typed(command, override, None, False)])[key]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_taken_as_typed(text: str) -> None:
    assert value_of("train", f"name={text}", "name") == text
    source = compose.config_loader(None)
    typed = [as_typed("train", word, None, False) for word in ("data=folder", f"data.root={text}")]
    assert compose.compose(source, "train", typed).data.root == text
    if "," not in text:
        assert value_of("translate", f"input={text}", "input") in (text, [text])


@pytest.mark.parametrize(
    ("override", "value"),
    [("name=null", None), ("name='a b'", "a b"), ('name="7"', "7"), ("name=", ""), ("seed=7", 7)],
)
def test_the_rest_of_hydras_grammar_stays(override: str, value: Any) -> None:
    assert value_of("train", override, override.partition("=")[0]) == value


def test_lists_and_sweeps_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_typed("translate", "input=[a b (1),c]", None, False) == 'input=["a b (1)",c]'
    assert as_typed("train", "data.root=a (1),b", None, True) == 'data.root="a (1)",b'
    assert as_typed("train", "name=choice(a,b)", None, True) == "name=choice(a,b)"
    assert as_typed("train", "train.batch=1,2", None, True) == "train.batch=1,2"
    assert as_typed("translate", "input=a,b", None, False) == "input=a,b"  # explained by Hydra
    (tmp_path / "a,b").touch()
    assert as_typed("translate", "input=a,b", None, False) == 'input="a,b"'


@pytest.mark.parametrize(
    ("argv", "override"),
    [
        ("generate runs/x", "run=runs/x"),
        ("evaluate x.pt num_images=3", "run=x.pt"),
        ("import 'my weights' name=a", 'source=["my weights"]'),
        ("fetch lpips", "weights=[lpips]"),
        ("compare a 007", 'runs=[a,"007"]'),
        ("prepare photos", "data.root=photos"),
        ("prepare horse2zebra", "data=horse2zebra"),
        ("prepare horse2zebra data=folder", "data.root=horse2zebra"),
        ("train seed=3", None),
    ],
)
def test_a_bare_path(argv: str, override: str | None) -> None:
    arguments = parse(shlex.split(argv))
    assert arguments.problems == []
    assert positional_overrides(arguments) == ([override] if override else [])


def test_bare_words_that_are_none(say: Say) -> None:
    with pytest.raises(ConfigError, match="both say run: remove one"):
        positional_overrides(parse(["generate", "a", "run=b"]))
    with pytest.raises(ConfigError, match="one argument without a key, run"):
        positional_overrides(parse(["generate", "a", "b"]))
    assert "Write seeds=0-3, without spaces" in say("generate", "seeds", "0-3")
    assert "gantrain data=folder data.root=photos" in say("photos")
    assert "resume=runs/a to go on" in say("runs/a")


def test_a_name_is_looked_up_in_runs(say: Say, tmp_path: Path) -> None:
    assert "no such run directory or snapshot file. Did you mean run=runs/a?" in say(
        "generate", "run=runs/b"
    )
    assert say("generate", "run=a") == "" == say("generate", "a")
    shutil.copytree("runs/a", "a1")
    assert say("generate", "run=a1") == ""
    Path("runs/a/config.yaml").unlink()
    assert "run=runs/a is not a run directory" in say("doctor", "a")
    # A folder of that name here comes first
    Path("a").mkdir()
    assert "run=a has no snapshots" in say("generate", "run=a")


def test_the_help_of_a_command(say: Say) -> None:
    text = say("generate", "--help")
    assert text.startswith("gantrain generate: Generate images, style mixes or a video")
    assert "\n  gantrain generate run=runs/NAME seeds=0-31" in text
    assert "  run=                        required: run directory (its newest" in text
    assert "  truncation_psi=1.0          below 1: less variety" in text
    assert "style_mixing.layers=null" in text and "hydra" not in text
    text = say("train", "-h")
    assert "checkpoint.every_minutes=null" in text and "model.lambda_cycle=10.0" in text
    assert "runtime.lock_timeout=120" in text and "data.train_images=800" in text
    text = say("model=stylegan", "data=cifar10", "--help")
    assert "model.r1_gamma=null" in text and "model.lambda_cycle" not in text
    assert "train.kimg=25000" in text and "optimizer.betas=[0" in text
    assert "data=folder" in say("prepare", "--help")


def test_help_for_another_name_of_a_choice(say: Say) -> None:
    """It has the optimizer and the values of the choice that it stands for."""
    first, second = (say(f"model={name}", "--help") for name in ("stylegan", "stylegan2"))
    table = first.partition("These are the keys")[0]
    assert "optimizer.lr=2.5e-3" in table and table == second.partition("These are the keys")[0]
    assert "optimizer=stylegan," in second


@pytest.mark.parametrize(
    ("line", "printed", "all_of_it"),
    [
        ("gantrain gen", ["generate"], False),
        ("gantrain generate run=", ["run=runs/a"], True),
        ("gantrain generate run=a", ["run=runs/a"], True),
        ("gantrain generate runs/", ["runs/a", "runs/a/"], False),
        ("gantrain resume=", ["resume=auto", "resume=runs/a"], True),
        ("gantrain translate direction=", ["direction=ab", "direction=ba"], True),
        ("gantrain data.root=ph", ["data.root=photos.zip", "data.root=photos/"], True),
        ("gantrain data.flip=t", ["data.flip=true"], True),
        ("gantrain prepare photos/trainA", ["photos/trainA/"], False),
        ("gantrain model=", [], False),
        ("gantrain train model.gen", [], False),
    ],
)
def test_completion(
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    printed: list[str],
    all_of_it: bool,
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert completion.answer(Arguments(overrides=["query=bash"])) == all_of_it
    assert capsys.readouterr().out.split() == printed
