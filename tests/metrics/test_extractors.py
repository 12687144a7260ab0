"""The networks that judge pictures, and the sizes that pictures come to them in."""

import hashlib
import importlib.util
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gantrain.errors import ConfigError
from gantrain.metrics import weights
from gantrain.metrics.extractor import load_extractor, load_lpips
from gantrain.metrics.inception import Inception
from gantrain.metrics.lpips import LPIPS
from gantrain.metrics.path_length import EPSILON, path_endpoints, path_length
from gantrain.metrics.resize import resize

CPU = torch.device("cpu")
REAL = Path(os.environ.get("GANTRAIN_TEST_WEIGHTS", "none"))  # the folder of the published files
SHAPES = [(32, 32), (400, 500), (299, 299), (64, 640), (17, 300)]


@pytest.mark.parametrize("shape", SHAPES)
def test_clean_resize_is_pillows(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    wanted = np.asarray(Image.fromarray(x).resize((299, 299), Image.Resampling.BICUBIC))
    found = resize(torch.from_numpy(x)[None, None], 299, "clean")[0, 0].numpy()
    assert np.abs(found - wanted).max() < 2e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_tf1_resize_by_its_definition(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(1).integers(0, 256, shape).astype(np.float64)
    found = resize(torch.from_numpy(x)[None, None], 299, "tf1")[0, 0].numpy()
    for i, j in ((0, 0), (150, 3), (298, 298), (77, 200)):
        y, v = divmod(i * shape[0] / 299, 1)
        z, u = divmod(j * shape[1] / 299, 1)
        a, b = int(y), min(int(y) + 1, shape[0] - 1)
        c, d = int(z), min(int(z) + 1, shape[1] - 1)
        top = x[a, c] * (1 - u) + x[a, d] * u
        wanted = top * (1 - v) + (x[b, c] * (1 - u) + x[b, d] * u) * v
        assert abs(found[i, j] - wanted) < 1e-2  # the place is float32, as in TensorFlow


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(Inception().state_dict(), path)
    return path


def test_features_do_not_depend_on_the_batch(inception_file: Path) -> None:
    extractor = load_extractor("inception", [inception_file], "clean", CPU)
    images = torch.randint(0, 256, (5, 3, 40, 30), dtype=torch.uint8)
    whole = extractor(images)
    assert whole.shape == (5, 2048) and whole.dtype == torch.float32
    parts = torch.cat([extractor(images[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    assert extractor.digest == hashlib.sha256(inception_file.read_bytes()).hexdigest()
    assert (extractor.name, extractor.resize) == ("inception-2015-12-05", "clean")
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey), extractor(grey.expand(-1, 3, -1, -1)))
    assert extractor.logits(whole).shape == (5, 1008)
    for channels in (2, 4):
        with pytest.raises(ConfigError, match=f"1 or 3 channels, and these have {channels}:"):
            extractor(torch.zeros(1, channels, 8, 8, dtype=torch.uint8))


def test_weights_without_a_classifier_give_no_inception_score(tmp_path: Path) -> None:
    network = Inception()
    nn.init.zeros_(network.fc.weight)
    torch.save(network.state_dict(), tmp_path / "x.pth")
    extractor = load_extractor("inception", [tmp_path / "x.pth"], "tf1", CPU)
    with pytest.raises(ConfigError, match="have no classifier, which the Inception Score needs"):
        extractor.logits(torch.zeros(1, 2048))


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ConfigError, match="it holds a network other than Inception"):
        load_extractor("inception", [tmp_path / "other.pth"], "clean", CPU)
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        load_lpips([tmp_path / "text.pth"], CPU)


def test_the_stand_in_needs_no_weights_and_is_always_the_same() -> None:
    extractor = load_extractor("random", [], "clean", CPU)
    assert extractor.name == "random-conv-64" and len(extractor.digest) == 64
    images = torch.randint(0, 256, (6, 3, 20, 33), dtype=torch.uint8)
    again = load_extractor("random", [], "tf1", CPU)
    torch.manual_seed(5)
    assert torch.equal(extractor(images), again(images)) and again.digest == extractor.digest
    assert extractor(images).shape == (6, 64)
    flat = torch.full_like(images, 128)
    assert (extractor(images) - extractor(flat)).abs().mean() > 0.05


def test_lpips_by_its_definition() -> None:
    torch.manual_seed(1)
    network = LPIPS().eval()
    heads = [network.get_submodule(f"lin{k}.model.1") for k in range(5)]
    for head in heads:
        head.weight.data.abs_()
    x, y = torch.rand(2, 3, 32, 48) * 2 - 1, torch.rand(2, 3, 32, 48) * 2 - 1
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    wanted = torch.zeros(2)
    a, b = (x - shift) / scale, (y - shift) / scale
    ends_of_blocks = iter((3, 8, 15, 22, 29))
    last, tap = -1, next(ends_of_blocks)
    for number, layer in enumerate(network.features):
        a, b = layer(a), layer(b)
        if number == tap:
            unit = [m / (m.norm(dim=1, keepdim=True) + 1e-10) for m in (a, b)]
            last += 1
            wanted += heads[last]((unit[0] - unit[1]) ** 2).mean((1, 2, 3))
            tap = next(ends_of_blocks, -1)
    with torch.no_grad():
        torch.testing.assert_close(network(x, y), wanted.detach(), rtol=1e-4, atol=1e-6)
        assert (network(x, x) == 0).all()
        torch.testing.assert_close(network(x, y), network(y, x))


def test_path_length_of_a_known_generator() -> None:
    """Pictures linear in w and a quadratic distance: the mean of |second - first|^2."""
    w = torch.randn(400, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, moved = path_endpoints(w)
    torch.testing.assert_close(moved - first, EPSILON * (w[200:] - w[:200]))
    seen = lambda x: x[:, None, :, None].expand(-1, 3, -1, -1)  # noqa: E731
    distance = lambda x, y: (x - y).square().sum((1, 2, 3)) / 3  # noqa: E731
    apart = (w[200:] - w[:200]).square().sum(1)
    inner = apart[(apart >= apart.quantile(0.01)) & (apart <= apart.quantile(0.99))]
    found = path_length(iter([(seen(first), seen(moved))]), distance)
    assert found == pytest.approx(float(inner.mean()), rel=1e-6)


def test_weights_are_found_or_a_sentence_says_how(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path))
    assert "run gantrain fetch weights=inception" in weights.missing_message("inception", None)
    assert "no such file" in weights.missing_message("lpips", str(tmp_path / "x"))
    with pytest.raises(ConfigError, match="gantrain fetch weights=lpips"):
        weights.find("lpips")
    name = weights.FILES["inception"][0].name
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / name).write_bytes(b"x")
    assert weights.missing_message("inception", None) == ""
    assert weights.find("inception") == [tmp_path / "weights" / name]
    assert weights.find("lpips", str(tmp_path / "weights" / name)) == [tmp_path / "weights" / name]


needs_weights = pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the published weights (100 MB): GANTRAIN_TEST_WEIGHTS=FOLDER"
)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("shape", [(64, 80), (299, 299), (400, 350)])
def test_inception_is_torch_fidelitys(shape: tuple[int, int], monkeypatch) -> None:
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("pip install --no-deps torch-fidelity to compare with it")
    assert spec.submodule_search_locations
    package = types.ModuleType("torch_fidelity")  # its own __init__ wants torchvision
    package.__path__ = [*spec.submodule_search_locations]
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    theirs = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    [file] = REAL.glob("*inception*.pth")
    oracle = theirs.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(file)
    )
    images = torch.randint(0, 256, (3, 3, *shape), dtype=torch.uint8)
    ours = load_extractor("inception", [file], "tf1", CPU)
    torch.testing.assert_close(ours(images), oracle(images)[0], rtol=1e-5, atol=1e-5)
