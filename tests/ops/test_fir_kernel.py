"""The Triton kernel without a card: interpreted (see fir_kernel_cases.py), and compiled."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.ops.fir_plan import Axis, Plan

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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", ["fp32", "fp64", "bf16"])
def test_triton_compiles_it(
    layout: torch.memory_format, dtype: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To code for a GPU, which takes less of Python than the interpreter does."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from gantrain.ops import fir_kernel

    launches: list[tuple[Any, ...]] = []

    class Recorder:
        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *arguments, num_warps: launches.append(arguments)

    kernel = fir_kernel._resample
    monkeypatch.setattr(fir_kernel, "_resample", Recorder())
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    type_ = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.bfloat16}[dtype]
    axis = Axis(taps=3, up=2, down=1, before=2, after=0)
    x = torch.zeros(2, 3, 5, 6, dtype=type_).contiguous(memory_format=layout)
    fir_kernel.resample(x, Plan(((0.1, 0.2, 0.3),) * 3, axis, axis))
    [arguments] = launches
    signature, constants = {}, {}
    for number, (parameter, value) in enumerate(zip(kernel.params, arguments, strict=True)):
        kind = f"*{dtype}" if isinstance(value, Tensor) else "i32"
        signature[parameter.name] = "constexpr" if parameter.is_constexpr else kind
        if parameter.is_constexpr:
            constants[(number,)] = value
    source = ASTSource(kernel, signature, constants, {})
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
    # A cell has 4 x 2 outputs: of 2 x 1 samples and one more on a side, each loaded once.
    assert code.count("ld.global") == 3 * 2 and code.count("st.global") == 4 * 2
