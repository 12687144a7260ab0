"""In a process of its own, since a device is registered for good: cases on the stand-in device.

python -m tests.helpers.stand_in_run OUT.json writes what tests/test_cuda_without_card.py looks at.
"""

import json
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.optim import LearningRate, build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.engine.signals import Action
from gantrain.engine.trainer import Trainer
from gantrain.gans.base import GAN, Step, networks_of
from gantrain.inference.evaluation import EvaluationRequest, evaluate_latents
from gantrain.inference.features import FeatureCache
from gantrain.inference.model import Model
from gantrain.inference.probes import HealthProbe, can_be_probed
from gantrain.metrics.extractor import load_extractor
from gantrain.ops.value_range import to_float
from tests.engine.test_trainer import Recorder
from tests.helpers import device_cases, stand_in_device
from tests.helpers.command_line import differences
from tests.inference.test_probes import pairs, singles

CPU = torch.device("cpu")
BATCH = device_cases.BATCH
STEPS = (0, 3, 4, 7)  # 0: all phases; 4: the path length; 3 and 7: a window of ADA ends
TRAINED = ("cyclegan", "dcgan", "stylegan ada", "stylegan3")
IN_PARTS = ("cyclegan batch norm", "stylegan ada")  # several microbatches
IN_BF16 = ("cyclegan", "dcgan", "r3gan", "stylegan labels", "stylegan orig")
IN_BF16 += ("stylegan3 blur labels",)
Crossings = list[list[tuple[str, str, str]]]  # by step


def steps(case: str, precision: PrecisionName, parts: int) -> Crossings:
    """What crosses in each of some steps of `parts` microbatches: [[(kind, where, digest)]]."""
    device = stand_in_device.start()
    crossed: Crossings = []
    with stand_in_device.Ledger() as ledger:
        gan = device_cases.make(case).to(device)
        optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 1e-3, "betas": (0.0, 0.99)})
        runner = PhaseRunner(gan, optimizers, Precision(device, precision), "halt")
        for index in STEPS:
            images = {
                n: to_float(x.to(device)) for n, x in device_cases.pictures(case, index).items()
            }
            size = BATCH // parts
            batches = [
                {n: x[i : i + size] for n, x in images.items()} for i in range(0, BATCH, size)
            ]
            ledger.crossings = []
            with ledger.writing():
                runner.step(batches, Step(index, index * BATCH))
                gan.adapt(Step(index, index * BATCH))
            crossed.append([(c.kind, c.where, c.digest) for c in ledger.crossings])
        runner.check()
        assert all(v == v for v in runner.stats.collect().values())
    return crossed


def trainer(case: str, device: torch.device, folder: Path) -> tuple[Trainer, Recorder]:
    """With everything that happens beside the steps."""
    gan = device_cases.make(case).to(device)
    plan = TrainingPlan(
        seed=0, total=8 * BATCH, batch=BATCH, microbatch=BATCH, tick=7 * BATCH,
        rate=LearningRate("linear", 8 * BATCH), ema_half_life=20.0, on_nonfinite="halt",
        grid_every=4 * BATCH, checkpoint_every=6 * BATCH, snapshot_every=6 * BATCH,
        evaluate_every=7 * BATCH, health_every=7 * BATCH,
    )  # fmt: skip

    def stream(nimg: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield device_cases.pictures(case, nimg)
            nimg += BATCH

    precision, recorder = Precision(device, "fp32"), Recorder()
    data = pairs() if gan.takes == "unpaired" else singles()
    made = Trainer(
        gan,
        build_optimizers(gan, torch.optim.Adam, {"lr": 1e-3, "betas": (0.0, 0.99)}),
        precision,
        plan,
        batches=stream,
        tracker=recorder,
        checkpoints=CheckpointStore(folder, keep=9),
        snapshot=lambda nimg, G: torch.save(G.state_dict(), folder / f"snapshot-{nimg}.pt"),
        preview=device_cases.pictures(case, 999),
        probe=HealthProbe(gan, data, precision, 8, BATCH) if can_be_probed(gan) else None,
        evaluate=_evaluation(gan, data, precision, folder) if case == "stylegan ada" else None,
    )
    return made, recorder


def _evaluation(gan: GAN, data: Any, precision: Precision, folder: Path) -> Any:
    judge = FeatureCache(load_extractor("random", [], "clean", precision.device), None, None)
    request = EvaluationRequest(["kid"], 12, "train", 0, 1.0, 6, spread=False)

    def evaluate(nimg: int, G: torch.nn.Module) -> tuple[dict[str, float], bool]:
        model = Model(folder, networks_of(G, "G"), {"ema": True}, precision)
        values = evaluate_latents(model, data, judge, request, lambda _: None)
        return {f"metric/{value.name}": value.value for value in values}, False

    return evaluate


def training(case: str, folder: Path) -> dict[str, Any]:
    """A run on the CPU, one on the device, and one that is resumed between two reports."""
    device = stand_in_device.start()
    expected, on_cpu = trainer(case, CPU, _new(folder / "cpu"))
    expected.train()
    with stand_in_device.Ledger() as ledger:
        straight, rows = trainer(case, device, _new(folder / "straight"))
        straight.train()
        stopped, before = trainer(case, device, _new(folder / "run"))
        # Nothing renews the path length of step 4 before the report after step 6.
        stopped.train(lambda: Action.STOP if stopped.index == 5 else Action.CONTINUE)
        resumed, after = trainer(case, device, folder / "run")
        found = resumed.checkpoints.newest()
        assert found and found[1]["index"] == 5
        resumed.load_state_dict(found[1])
        step = resumed._step

        def written(images: Any) -> None:
            with ledger.writing():
                step(images)

        resumed._step = written  # type: ignore[method-assign]
        resumed.train()
        states = [run.checkpoints.newest() for run in (straight, resumed)]
    assert states[0] and states[1]
    return {
        "resumed": differences(states[0][1], states[1][1]),
        "rows": rows.rows == before.rows + after.rows or _unlike(rows, before, after),
        "of the CPU": _furthest(rows, on_cpu),
        "grids": rows.grids,
        "health": sum(name.startswith("health/") for name in rows.rows[0][1]),
        "measured": [name for name in rows.rows[1][1] if name.startswith("metric/")],
        "crossed": Counter(f"{c.kind}: {c.where}" for c in ledger.crossings),
    }


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _shown(values: dict[str, float]) -> dict[str, float]:
    """Without what a clock says."""
    return {k: v for k, v in values.items() if not k.startswith(("progress/", "resources/"))}


def _unlike(rows: Recorder, *others: Recorder) -> list[str]:
    found = [row for other in others for row in other.rows]
    assert len(found) == len(rows.rows)
    return [
        name
        for (_, a), (_, b) in zip(rows.rows, found, strict=True)
        for name in _shown(a)
        if a[name] != b[name]
    ]


def _furthest(rows: Recorder, expected: Recorder) -> float:
    """The largest difference of two runs' reports, relative to 1 or the larger number."""
    return max(
        abs(a[name] - value) / max(1.0, abs(value))
        for (_, a), (_, b) in zip(rows.rows, expected.rows, strict=True)
        for name, value in _shown(b).items()
    )


def main(out: Path) -> None:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}

    def note(name: str, run: Any) -> None:
        try:
            found[name] = run()
        except Exception:
            found[name] = {"error": traceback.format_exc()}

    device = stand_in_device.start()
    with tempfile.TemporaryDirectory() as folder:
        for case in device_cases.CASES:
            note(f"steps {case}", partial(steps, case, "fp32", 1 + (case in IN_PARTS)))
            if case in IN_BF16:
                note(f"steps {case} bf16", partial(steps, case, "bf16", 1))
            with stand_in_device.Ledger():
                note(f"errors {case}", partial(device_cases.typical_errors, case, device))
        for case in TRAINED:
            note(f"training {case}", partial(training, case, _new(Path(folder) / case)))
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
