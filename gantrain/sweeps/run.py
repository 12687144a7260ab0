"""A sweep from command line to table."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable

from gantrain.config.overrides import hydra_quote
from gantrain.runs.status import DONE, FAILED, RUNNING, WAITING
from gantrain.sweeps import manifest, plan, table
from gantrain.sweeps.launchers import register, slurm_queue
from gantrain.sweeps.plan import Sweep

EXIT_FAILED, EXIT_STOPPED = 1, 75


def run(
    overrides: list[str],
    flags: list[str],
    config_dir: str | None,
    start: Callable[[Sweep, list[str]], None],
) -> int:
    """Check everything, call `start(sweep, overrides)`, which lets Hydra work, show the table.

    Args:
        overrides, flags, config_dir: as typed; `start` gets those that Hydra is to see.

    Returns the exit code: 0 all done (or all submitted), 1 some failed, 75 stopped.
    """
    sweep = plan.prepare(overrides, flags, config_dir, sys.argv[1:])
    register()
    if not sweep.grid:
        _quiet()
    count = f", {len(sweep.jobs())} runs" if sweep.grid else ""
    print(f"Sweep: {sweep.folder}{count}", flush=True)
    stopped = False
    try:
        start(sweep, [*sweep.typed, f"hydra.sweep.dir={hydra_quote(str(sweep.folder))}"])
    except SystemExit as leaving:
        if leaving.code != EXIT_STOPPED:
            raise
        stopped = True
    except KeyboardInterrupt:
        stopped = True
    except ValueError:  # optuna's about a study without a single result
        if sweep.grid or table.of_sweep(sweep.folder).count(DONE):
            raise
    return _close(sweep, stopped)


def _quiet() -> None:
    """Optuna tells of every trial on its own, and its storage of every table."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # about its next major version
    with contextlib.suppress(ImportError):
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)


def _close(sweep: Sweep, stopped: bool) -> int:
    """The table, in words and as a file; what to do next; the exit code."""
    queued = bool(manifest.queued(sweep.folder))
    found = table.of_sweep(sweep.folder, slurm_queue.states() if queued else None)
    table.choose_metrics(found, None)
    table.to_csv(found, sweep.folder / "table.csv", chosen=False)
    print("", *table.lines(found), "", sep="\n")
    if sweep.largest is not None and (best := table.best(found, sweep.largest)):
        print(f"Best: {best}")
    print(f"{sweep.folder}: {table.summary(found)}. As a file: {sweep.folder / 'table.csv'}")
    if sweep.launcher == "slurm_detached":
        print(f"How far they are: gantrain compare {sweep.folder}")
        print("Repeat the command to submit what has failed or was lost.", flush=True)
        return EXIT_FAILED if found.count(FAILED) else 0
    if found.count(FAILED):
        print(f"Why runs failed: {sweep.folder / manifest.FAILED}")
    # Of a search failed runs are results, too.
    unfinished = len(found.rows) - found.count(DONE, *(() if sweep.grid else (FAILED,)))
    if unfinished or stopped:
        print("Repeat the same command to go on with what is not done.", flush=True)
    if stopped or found.count(RUNNING, WAITING) or not found.rows:
        return EXIT_STOPPED
    return EXIT_FAILED if found.count(FAILED) else EXIT_STOPPED if unfinished else 0
