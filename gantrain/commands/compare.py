"""gantrain compare: runs and sweeps in a table, settings against results."""

from pathlib import Path

from gantrain.config.tools import CompareConfig
from gantrain.errors import ConfigError
from gantrain.sweeps import manifest, table
from gantrain.sweeps.launchers import slurm_queue


def main(config: CompareConfig) -> None:
    """Print the table, and write it as CSV. Raises ConfigError."""
    paths = [Path(run) for run in config.runs]
    sweep = paths[0] if len(paths) == 1 and manifest.read(paths[0]) else None
    submitted = any(manifest.slurm_jobs(path) for path in paths)
    in_queue = slurm_queue.states() if submitted else None
    found = table.of_sweep(sweep, in_queue) if sweep else table.of_runs(paths, in_queue)
    table.choose_metrics(found, config.metrics)
    unlike = {} if config.force else table.incomparable_metrics(found)
    if unlike and config.metrics is not None:
        raise ConfigError(
            *(f"{told}: measure them alike, or add force=true." for told in unlike.values())
        )
    found.metrics = [name for name in found.metrics if name not in unlike]
    if config.sort:
        table.sort(found, config.sort)
    print(*table.lines(found), "", f"{table.summary(found)}.", sep="\n")
    for told in unlike.values():
        print(f"Left out: {told}; force=true shows it all the same.")
    if config.html:
        table.to_html(found, Path(config.html))
        print(f"As a page: {config.html}")
    file = Path(config.csv) if config.csv else sweep / "table.csv" if sweep else None
    if file:
        table.to_csv(found, file, only_shown=config.csv is not None and config.metrics is not None)
        print(f"As a file: {file}")
