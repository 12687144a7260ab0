import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.init_from import load_weights
from gantrain.errors import ConfigError
from gantrain.gans.base import ImageSpec
from gantrain.gans.cut import CUT
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.io import safetensors_file
from gantrain.io.tensors import is_module_pickle
from gantrain.snapshot import save_snapshot
from tests.helpers import reference_pickles
from tests.helpers.command_line import TINY, final_state, gantrain


def make(images: dict[str, int] | None = None, **settings: int) -> CycleGAN:
    spec = ImageSpec(images or {"a": 3, "b": 3}, (16, 16))
    return CycleGAN(spec, **{"ngf": 2, "ndf": 2, "blocks": 1} | settings)  # type: ignore[arg-type]


def equal(x: torch.nn.Module, y: torch.nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(x.parameters(), y.parameters(), strict=True))


def test_from_a_checkpoint_everything_but_the_pool(tmp_path: Path) -> None:
    old, new = make(), make()
    old.pool["a"](torch.ones(1, 3, 16, 16))
    CheckpointStore(tmp_path / "checkpoints", 1).save(7, {"gan": old.state_dict(), "nimg": 7})
    assert load_weights(new, tmp_path) == ["G.ab", "G.ba", "D.a", "D.b"]
    assert equal(old, new)
    assert new.pool["a"].images == []


def make_cut(**settings: Any) -> CUT:
    small = {"ngf": 2, "ndf": 2, "blocks": 1, "d_layers": 2, "head_width": 4}
    return CUT(ImageSpec({"a": 3, "b": 3}, (16, 16)), **small | settings)


def save_described(run: Path, gan: CUT) -> None:
    """Save a checkpoint that describes its networks, as those of a training do."""
    note = {"networks": {name: net.spec for name, net in gan.networks().items()}}
    state = {"gan": gan.state_dict(), "nimg": 7, "note": note}
    CheckpointStore(run / "checkpoints", 1).save(7, state)


def test_without_the_generator_nothing_is_loaded(tmp_path: Path) -> None:
    old = make_cut()
    save_described(tmp_path, old)
    assert load_weights(make_cut(), tmp_path) == ["G.ab", "D.b", "F.F"]
    with pytest.raises(ConfigError, match=r"G.ab, D.b, F.F, but this model has G.ba, D.a, F.F\.$"):
        load_weights(make_cut(direction="ba"), tmp_path)


def test_channels_of_a_head_are_not_called_those_of_images(tmp_path: Path) -> None:
    save_described(tmp_path, make_cut())
    with pytest.raises(ConfigError, match=r"F.F differs in .* tensors.*model settings of the file"):
        load_weights(make_cut(nce_layers=[0, 4]), tmp_path)


def test_from_a_snapshot_the_generators(tmp_path: Path) -> None:
    old, new = make(), make()
    networks = dict(old.G.items())
    save_snapshot(tmp_path / "s.pt", networks, {n: net.spec for n, net in networks.items()}, {})
    assert load_weights(new, tmp_path / "s.pt") == ["G.ab", "G.ba"]
    assert equal(old.G, new.G) and not equal(old.D, new.D)


def test_mismatches_are_one_sentence(tmp_path: Path) -> None:
    old = make(blocks=2)
    path = CheckpointStore(tmp_path, 1).save(7, {"gan": old.state_dict()})
    with pytest.raises(ConfigError) as error:
        load_weights(make(ngf=3), path)
    [text] = error.value.problems
    assert "model.1.weight: (2, 3, 7, 7) in the file, (3, 3, 7, 7) in this model" in text
    assert all(f"{name} differs in" in text for name in ("G.ab", "G.ba"))


@pytest.mark.parametrize(
    ("settings", "said", "fix"),
    [
        ({"ngf": 3}, "its networks have ngf=2, and those of this model ngf=3.", "model.ngf=2"),
        ({"upsample": "resize"}, "have upsample=transpose, and those of this model upsample=resize",
         "model.upsample=transpose"),
        ({"blocks": 2}, "have blocks=1, and", "model.blocks=1"),
        ({"images": {"a": 1, "b": 3}}, "have 3 input channels, and those of this model 1 input "
         "channel.", "images of 3 input channels"),
    ],
)  # fmt: skip
def test_known_settings_are_compared_instead_of_tensors(
    tmp_path: Path, settings: dict[str, Any], said: str, fix: str
) -> None:
    old = make()
    networks = dict(old.G.items())
    save_snapshot(tmp_path / "s.pt", networks, {n: net.spec for n, net in networks.items()}, {})
    with pytest.raises(ConfigError) as error:
        load_weights(make(**settings), tmp_path / "s.pt")
    [text] = error.value.problems
    assert said in text and f"Train with {fix}" in text


def stylegan3(**settings: Any) -> StyleGAN3:
    sizes = {"z_dim": 4, "w_dim": 4, "channel_base": 64, "channel_max": 4} | settings
    return StyleGAN3(ImageSpec({"image": 3}, (16, 16), batch=sizes.pop("batch", 4)), **sizes)


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        # The generator of R has twice the channels of the settings.
        ({"channel_max": 8}, {}, "have channel_max=8.* Train with model.channel_max=8, or"),
        ({"batch": 8, "w_dim": 8}, {}, "have w_dim=8,.* Train with model.w_dim=8, or"),
        ({"config": "t"}, {}, "have config=t,.* Train with model.config=t, or"),
    ],
)
def test_the_advice_names_settings(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], fix: str
) -> None:
    G = stylegan3(**{"config": "r"} | old).G["G"]
    save_snapshot(tmp_path / "s.pt", {"G": G}, {"G": G.spec}, {})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=fix):
        load_weights(stylegan3(config="r", **new), tmp_path / "s.pt")
    load_weights(stylegan3(**{"config": "r"} | old | {"batch": 2}), tmp_path / "s.pt")


def test_another_stylegan_is_another_kind(tmp_path: Path) -> None:
    """Though both have a mapping network."""
    G = StyleGAN(ImageSpec({"image": 3}, (16, 16)), z_dim=4, w_dim=4).G["G"]
    save_snapshot(tmp_path / "s.pt", {"G": G}, {"G": G.spec}, {})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"another kind of network.* StyleGAN3Generator\."):
        load_weights(stylegan3(), tmp_path / "s.pt")


def test_an_exported_generator_is_taken_back(tmp_path: Path) -> None:
    old, new, third = make(), make(), make()
    for name, net in old.G.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(safetensors_file.to_bytes(name, net.state_dict(), net.spec))
    assert load_weights(new, tmp_path / "ba.safetensors") == ["G.ba"]
    assert equal(old.G["ba"], new.G["ba"]) and not equal(old.G["ab"], new.G["ab"])
    torch.save(old.G["ab"].state_dict(), tmp_path / "latest_net_G_A.pth")
    assert load_weights(third, tmp_path / "latest_net_G_A.pth") == ["G.ab"]
    assert equal(old.G["ab"], third.G["ab"])
    torch.save(old.G["ab"].state_dict(), tmp_path / "which.pth")  # ab or ba: nobody knows
    with pytest.raises(ConfigError, match="is not a snapshot or checkpoint"):
        load_weights(third, tmp_path / "which.pth")


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", ["network-snapshot-000100.pkl", "weights.pth"])
def test_a_pickle_of_another_program_is_called_that(
    tmp_path: Path, name: str, protocol: int
) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"G_ema": {"k": 1}}, protocol))
    with pytest.raises(ConfigError, match="is a pickle of no network"):
        load_weights(make(), tmp_path / name)


def test_torch_s_older_format_is_no_pickle_of_another_program(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    assert not is_module_pickle(tmp_path / "x.pth")


def test_networks_of_a_pickle_are_loaded(tmp_path: Path) -> None:
    width = {"z_dim": 4, "w_dim": 4, "channel_base": 32, "channel_max": 4}
    old, new = (StyleGAN(ImageSpec({"image": 3}, (16, 16)), **width) for _ in range(2))
    G, D = old.G["G"].state_dict(), old.D.state_dict()
    D["b16.conv0.resample_filter"] = torch.ones(4, 4)  # a constant, which is left out
    average = {key: x + 1 for key, x in G.items()}
    networks = {"G_ema": (average, {}), "D": (D, {}), "G": (G, {})}
    path = reference_pickles.write_stylegan(tmp_path / "network.pkl", networks)
    assert load_weights(new, path) == ["G.G", "D.D"]
    assert equal(old, new)  # G, not its average


def test_another_kind_of_network_is_one_sentence(tmp_path: Path) -> None:
    dcgan = DCGAN(ImageSpec({"image": 3}, (16, 16)), g_width=4, d_width=2)
    path = CheckpointStore(tmp_path, 1).save(7, {"gan": dcgan.state_dict()})
    small = {"z_dim": 4, "w_dim": 4, "channel_base": 32, "channel_max": 4}
    with pytest.raises(ConfigError) as error:
        load_weights(StyleGAN(ImageSpec({"image": 3}, (16, 16)), **small), path)
    [text] = error.value.problems
    assert "G.G is another kind" in text and "D.D is another kind" in text
    assert "in this model it is a StyleGAN2Generator" in str(error.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a file of weights nor a run"):
        load_weights(make(), tmp_path)
    (tmp_path / "x.pt").write_text("x")
    with pytest.raises(ConfigError, match="damaged"):
        load_weights(make(), tmp_path / "x.pt")


@pytest.mark.parametrize("content", [[1], {"model.1.weight": torch.ones(1)}, torch.nn.ReLU()])
def test_other_programs_files_get_a_sentence(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ConfigError, match=r"not a snapshot or checkpoint"):
        load_weights(make(), tmp_path / "x.pt")


def test_a_run_directory_gives_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    old, store = make(), CheckpointStore(tmp_path / "checkpoints", 2)
    store.save(1, {"gan": old.state_dict()})
    store.save(2, {"gan": make().state_dict()}).write_bytes(b"PK")
    new = make()
    load_weights(new, tmp_path)
    assert equal(old, new)


@pytest.mark.multi
def test_through_the_command_line(tmp_path: Path) -> None:
    gantrain(tmp_path, *TINY, "name=old", "train.kimg=0.003")
    output = gantrain(
        tmp_path, *TINY, "name=new", "train.kimg=0.001", "init_from=runs/old", "optimizer.lr=1e-12"
    )
    assert "Loaded the weights of G.ab, G.ba, D.a, D.b from runs/old." in output
    old, new = (final_state(tmp_path / "runs" / name) for name in ("old", "new"))
    assert new["nimg"] == 1 and new["optimizers"]["G"]["state"][0]["step"] == 1
    torch.testing.assert_close(new["gan"]["G.ab.model.1.weight"], old["gan"]["G.ab.model.1.weight"])
