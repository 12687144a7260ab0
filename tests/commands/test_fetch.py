"""gantrain fetch: weights from the network, once, checked."""

import hashlib
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from gantrain import config
from gantrain.commands import fetch
from gantrain.config import paths
from gantrain.errors import ConfigError
from gantrain.metrics import weights
from tests.helpers.loopback import serving


def run(*overrides: str) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        cfg = compose("fetch", list(overrides))
    fetch.main(config.load("fetch", cfg))


def test_weights_are_fetched_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = bytes(range(256)) * 4000
    mark = hashlib.sha256(body).hexdigest()[:8]
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        server.files["/net.pth"] = body
        files = {"inception": (weights.Weights(server.url("net.pth"), mark),), "lpips": ()}
        monkeypatch.setattr(weights, "FILES", files)
        assert "run gantrain fetch weights=inception" in weights.missing_message("inception", None)
        run()
        run("weights=inception")
        assert len(server.asked) == 1 and weights.missing_message("inception", None) == ""
        assert (tmp_path / "weights/net.pth").read_bytes() == body
        assert f"inception: {tmp_path}/weights/net.pth" in capsys.readouterr().out
        (tmp_path / "weights/net.pth").write_bytes(body[:-1])
        with pytest.raises(ConfigError, match=f"instead of {mark}"):
            run()


@pytest.mark.parametrize("weights_", ["weights=[vgg]", "weights=[]"])
def test_mistakes(weights_: str) -> None:
    with pytest.raises(ConfigError, match="inception, lpips"):
        run(weights_)
