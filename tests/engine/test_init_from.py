from pathlib import Path

import pytest
import torch

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.init_from import load_weights
from gantrain.errors import ConfigError
from gantrain.gans.base import ImageSpec
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.snapshot import save_snapshot
from tests.helpers.command_line import TINY, final_state, gantrain


def make(**settings: int) -> CycleGAN:
    images = ImageSpec({"a": 3, "b": 3}, (16, 16))
    return CycleGAN(images, **{"ngf": 2, "ndf": 2, "blocks": 1} | settings)  # type: ignore[arg-type]


def equal(x: torch.nn.Module, y: torch.nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(x.parameters(), y.parameters(), strict=True))


def test_from_a_checkpoint_everything_but_the_pool(tmp_path: Path) -> None:
    old, new = make(), make()
    old.pool["a"](torch.ones(1, 3, 16, 16))
    CheckpointStore(tmp_path / "checkpoints", 1).save(7, {"gan": old.state_dict(), "nimg": 7})
    assert load_weights(new, tmp_path) == ["G.ab", "G.ba", "D.a", "D.b"]
    assert equal(old, new)
    assert new.pool["a"].images == []


def test_from_a_snapshot_the_generators(tmp_path: Path) -> None:
    old, new = make(), make()
    networks = dict(old.G.items())
    save_snapshot(tmp_path / "s.pt", networks, {n: net.spec for n, net in networks.items()}, {})
    assert load_weights(new, tmp_path / "s.pt") == ["G.ab", "G.ba"]
    assert equal(old.G, new.G) and not equal(old.D, new.D)


def test_all_mismatches_are_listed(tmp_path: Path) -> None:
    old = make(blocks=2)
    path = CheckpointStore(tmp_path, 1).save(7, {"gan": old.state_dict()})
    with pytest.raises(ConfigError) as error:
        load_weights(make(ngf=3), path)
    text = str(error.value)
    assert "G.ab.model.1.weight is (2, 3, 7, 7) in the file but (3, 3, 7, 7) in this model" in text
    assert "G.ba.model.11.conv_block.1.weight is (8, 8, 3, 3) in the file but absent" in text
    assert len(error.value.problems) > 20


def test_another_kind_of_network_is_one_sentence(tmp_path: Path) -> None:
    dcgan = DCGAN(ImageSpec({"image": 3}, (16, 16)), g_width=4, d_width=2)
    path = CheckpointStore(tmp_path, 1).save(7, {"gan": dcgan.state_dict()})
    small = {"z_dim": 4, "w_dim": 4, "channel_base": 32, "channel_max": 4}
    with pytest.raises(ConfigError) as error:
        load_weights(StyleGAN(ImageSpec({"image": 3}, (16, 16)), **small), path)
    assert [text.split(" in the file")[0] for text in error.value.problems] == [
        "init_from: G.G",
        "init_from: D.D",
    ]
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
