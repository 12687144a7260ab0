"""Whole steps and runs of every GAN on a device that is not the CPU, where there is none.

tests/helpers/stand_in_device.py says what such a device shows (mixed devices, values that the host
waits for, constants copied again and again, state that does not come back) and what not.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.device_cases import CASES
from tests.helpers.stand_in_run import IN_BF16, IN_PARTS, TRAINED

pytestmark = pytest.mark.ci  # one process that trains for half a minute

ROOT = Path(__file__).parent.parent
DRAWS = "copy to device", "draw.py:to_device_like"  # of each augmentation, all random parameters
CUTOFF = "copy to device", "gradients.py:_to_device"  # of style mixing, one number a phase; a blur
FILTER = "copy to device", "fir.py:_on_device"  # kept there, in the first step
ADA = "copy to host", "ada.py:update"  # every fourth step, read four steps later


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What stand_in_run.py has seen, in another process: a device is registered for good."""
    out = tmp_path_factory.mktemp("device") / "found.json"
    command = [sys.executable, "-m", "tests.helpers.stand_in_run", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return json.loads(out.read_text())


def entry(found: dict[str, Any], name: str) -> Any:
    content = found[name]
    assert "error" not in content, content["error"][-3000:]
    return content


@pytest.mark.parametrize("case", [*CASES, *(f"{case} bf16" for case in IN_BF16)])
def test_nothing_waits_for_the_device_inside_a_step(found: dict[str, Any], case: str) -> None:
    """Neither a mix of devices, nor a value read, nor a constant copied by every step."""
    steps = entry(found, f"steps {case}")
    assert len(steps) == 4
    stylegan = case.startswith("stylegan")
    augmented = stylegan or case.startswith("r3gan")
    for number, crossed in enumerate(steps):
        kinds = Counter((kind, where) for kind, where, _ in crossed)
        # Of G's and D's fakes and the real images; at step 0 R1, in each step the gradient penalty.
        # R3GAN: its pairs at once, and one more step of its own for the lazy penalties.
        extra = number in (0, 2) if case == "r3gan labels" else number == 0 and stylegan
        judged = 3 + (extra or case.endswith("wgan_gp"))
        assert kinds.pop(DRAWS, 0) == augmented * judged * (2 if case in IN_PARTS else 1)
        if stylegan and case != "stylegan3":
            assert kinds.pop(CUTOFF, 0) >= 2
        if case.startswith("cut"):  # places of patches, of each domain that G translates
            assert kinds.pop(CUTOFF, 0) == (1 if case == "cut fast" else 2)
        reads = case == "stylegan ada" and number in (1, 3)
        assert kinds.pop(ADA, 0) == reads
        if number == 0:
            kinds.pop(FILTER, 0)
        assert not kinds
    copies = [
        {(*at, what) for *at, what in crossed if what and (*at,) != CUTOFF} for crossed in steps
    ]
    assert not set.intersection(*copies)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_float64_on_the_cpu(
    found: dict[str, Any], case: str
) -> None:
    errors = entry(found, f"errors {case}")
    assert {"G", "D", "G losses", "D losses"} <= errors.keys()
    assert max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("case", TRAINED)
def test_a_run_with_all_that_belongs_to_it_is_that_of_the_cpu(
    found: dict[str, Any], case: str
) -> None:
    """Average, grids, probes, snapshots, measurements, checkpoints."""
    run = entry(found, f"training {case}")
    assert run["of the CPU"] < 1e-4
    assert run["grids"] == [0, 16, 32] and run["health"] > 5
    assert bool(run["measured"]) == (case == "stylegan ada")


@pytest.mark.parametrize("case", TRAINED)
def test_a_run_resumed_between_two_reports_goes_on_on_the_device(
    found: dict[str, Any], case: str
) -> None:
    run = entry(found, f"training {case}")
    assert run["resumed"] == [] and run["rows"] == []
    allowed = {": ".join(FILTER), ": ".join(DRAWS), ": ".join(CUTOFF), ": ".join(ADA)}
    assert run["crossed"].keys() <= allowed  # pools and sums lie there, too
