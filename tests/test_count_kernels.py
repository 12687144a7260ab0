"""Compiled phases have few kernels: a change that breaks fusion shows here, on any CPU."""

import pytest
import torch

from gantrain.engine.precision import Precision
from scripts.count_kernels import count_phase, make

pytestmark = pytest.mark.ci  # inductor takes half a minute for a phase


@pytest.mark.parametrize("phase", ["D", pytest.param("G", marks=pytest.mark.slow)])
def test_stylegan(phase: str) -> None:
    """16 px, two resolutions below: 80 and 68 generated kernels were counted, and 1,374 eager."""
    small = {"channel_base": 128, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    gan, batch = make("stylegan", 16, 2, **small)
    [found] = [p for p in gan.phases() if p.name == phase]
    count = count_phase(gan, found, batch, Precision(torch.device("cpu"), "fp32"))
    assert count.eager > 1000
    assert 40 < count.generated <= 90
    # Pointwise traffic is at least halved.
    assert count.compiled_gb < 0.5 * count.eager_gb
