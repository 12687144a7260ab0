"""The Triton kernel in Triton's interpreter, which needs no card; see fir_kernel_cases.py."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = [
    "up", "down", "filter", "two passes up", "two passes down", "crops", "up 3 and 1, down 2",
    "up 2, down 2 and 3", "rows", "columns", "one tap",
]  # fmt: skip
# The interpreter cuts bfloat16 off where a GPU rounds; the gradient is that of a rounded square.
BOUNDS = {"torch.float64": 1e-12, "torch.float32": 1e-5, "torch.bfloat16": 0.03}

pytestmark = [
    pytest.mark.ci,  # a process that interprets for a quarter of a minute
    pytest.mark.skipif(not find_spec("triton"), reason="Triton is not installed"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Errors by case and dtype."""
    out = tmp_path_factory.mktemp("kernel") / "found.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "tests.ops.fir_kernel_cases", str(out)]
    subprocess.run(command, cwd=ROOT, env={**environment, "OMP_NUM_THREADS": "1"}, check=True)
    return json.loads(out.read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_it_and_its_gradient_are_those_of_plain_operations(
    found: dict[str, dict[str, float]], name: str
) -> None:
    assert found.keys() == set(NAMES) and found[name]
    for dtype, error in found[name].items():
        assert error < BOUNDS[dtype], dtype
