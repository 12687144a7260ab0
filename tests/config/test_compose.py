"""The configs of many jobs are those that composing each of them would give."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from gantrain.config import compose


@pytest.mark.parametrize("common", ["data=shapes", "objective=${hydra:runtime.choices.data}"])
def test_variants_share_what_they_have_in_common(
    monkeypatch: pytest.MonkeyPatch, common: str
) -> None:
    source = compose.config_loader(None)
    jobs = [[f"seed={seed}", f"data={data}"] for data in ("shapes", "mnist") for seed in range(3)]
    compose.setup_globals()
    expected = []
    for job in jobs:
        expected.append(compose.task_config(source, "train", [common, *job]))
        OmegaConf.resolve(expected[-1])
    dumped: list[Any] = []
    to_yaml = OmegaConf.to_yaml

    def counted(cfg: Any) -> str:
        dumped.append(cfg)
        return to_yaml(cfg)

    monkeypatch.setattr(OmegaConf, "to_yaml", counted)
    variants = compose.Variants(source, "train", [common])
    for job, cfg in zip(jobs, expected, strict=True):
        variant = variants.config(job)
        OmegaConf.resolve(variant)
        assert variant == cfg
    assert len(dumped) == 2  # once a base, not once a job
