"""Run a sweep, from the command line to the results table."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gantrain.config.overrides import quote
from gantrain.errors import RunError, counted
from gantrain.io.files import disk_full_reason
from gantrain.runs.status import DONE, FAILED, RUNNING, WAITING
from gantrain.sweeps import manifest, plan, search, table
from gantrain.sweeps.job import FirstFailure
from gantrain.sweeps.launchers import MODULE, register, slurm_queue
from gantrain.sweeps.plan import Sweep

EXIT_FAILED, EXIT_STOPPED = 1, 75


def run(
    overrides: list[str],
    flags: list[str],
    config_dir: str | None,
    start: Callable[[Sweep, list[str]], None],
) -> int:
    """Check all jobs, run them, and print the table.

    Args:
        overrides: as typed.
        flags: as typed.
        config_dir: the folder of --config-dir, if any.
        start: called with the sweep and the overrides for Hydra, which runs the jobs.

    Returns:
        The exit code: 0 all done (or all submitted), 1 jobs failed, 75 stopped.

    Raises:
        ConfigError: lists every problem found.
    """
    sweep = plan.prepare(overrides, flags, config_dir, sys.argv[1:])
    register()
    if not sweep.grid:
        search.silence_optuna()
        with search.only_search(sweep.folder):
            return _run(sweep, search.continued(sweep), start)
    return _run(sweep, [f"hydra.sweeper._target_={MODULE}.Grid"], start)


def _run(sweep: Sweep, more: list[str], start: Callable[[Sweep, list[str]], None]) -> int:
    count = f", {counted(len(sweep.jobs()), 'run')}" if sweep.grid else ""
    print(f"Sweep: {sweep.folder}{count}", flush=True)
    stopped = failed = False
    try:
        start(sweep, [*sweep.typed, *more, f"hydra.sweep.dir={quote(str(sweep.folder))}"])
    except FirstFailure:
        failed = True
    except SystemExit as error:
        if error.code != EXIT_STOPPED:
            raise
        stopped = True
    except KeyboardInterrupt:
        stopped = True
    except OSError as error:
        if why := disk_full_reason(error):
            raise RunError(
                f"{sweep.folder} cannot be written ({why}). What its runs have saved is intact: "
                "make room, then repeat the command."
            ) from error
        raise
    except ValueError:  # Optuna raises it about a study without a single result
        if sweep.grid or table.of_sweep(sweep.folder).count(DONE):
            raise
    return _finish(sweep, stopped, failed)


def _finish(sweep: Sweep, stopped: bool, failed: bool) -> int:
    """Print and write the table, say what to do next, and return the exit code.

    Args:
        sweep: the sweep.
        stopped: whether it was asked to stop.
        failed: whether it ended at the first failure.
    """
    submitted = bool(manifest.slurm_jobs(sweep.folder))
    results = table.of_sweep(sweep.folder, slurm_queue.states() if submitted else None)
    table.choose_metrics(results, None)
    table.to_csv(results, sweep.folder / "table.csv", only_shown=False)
    print("", *table.lines(results), "", sep="\n")
    if sweep.maximize is not None and (best := table.best(results, sweep.maximize)):
        print(f"Best: {best}")
    print(f"{sweep.folder}: {table.summary(results)}. Table: {sweep.folder / 'table.csv'}")
    if sweep.launcher == "slurm_detached":
        print(f"To see the progress: gantrain compare {sweep.folder}")
        print("Repeat the command to submit runs that failed or were lost.", flush=True)
        return EXIT_FAILED if results.count(FAILED) else 0
    if results.count(FAILED):
        print(f"Reasons of failed runs: {sweep.folder / manifest.FAILED_FOLDER}")
    if failed:
        print("Stopped at the first failure; without stop_on_failure the others go on.", flush=True)
        return EXIT_FAILED
    # For a search, failed runs are results too.
    finished = (DONE,) if sweep.grid else (DONE, FAILED)
    unfinished = len(results.rows) - results.count(*finished)
    if unfinished or stopped:
        print("Repeat the same command to resume the unfinished runs.", flush=True)
    if stopped or results.count(RUNNING, WAITING) or not results.rows:
        return EXIT_STOPPED
    if results.count(FAILED):
        return EXIT_FAILED
    return EXIT_STOPPED if unfinished else 0
