"""gantrain compare: a table of the settings and results of runs and sweeps."""

from pathlib import Path

from gantrain.config.tools import CompareConfig
from gantrain.errors import ConfigError
from gantrain.sweeps import manifest, table
from gantrain.sweeps.launchers import slurm_queue


def main(config: CompareConfig) -> None:
    """Print the table, and write it as CSV and HTML if requested.

    Raises:
        ConfigError: a path is neither a run nor a sweep, or a metric is unknown or not comparable.
    """
    paths = [path for run in config.runs for path in _expand(Path(run))]
    sweep = paths[0] if len(paths) == 1 and manifest.read(paths[0]) else None
    submitted = any(manifest.slurm_jobs(path) for path in paths)
    queue = slurm_queue.states() if submitted else None
    results = table.of_sweep(sweep, queue) if sweep else table.of_runs(paths, queue)
    table.choose_metrics(results, config.metrics)
    incomparable = {} if config.force else table.incomparable_metrics(results)
    if incomparable and config.metrics is not None:
        raise ConfigError(
            *(
                f"{clause}: evaluate them in the same way, or add force=true."
                for clause in incomparable.values()
            )
        )
    results.metrics = [name for name in results.metrics if name not in incomparable]
    if config.sort:
        table.sort(results, config.sort)
    print(*table.lines(results), "", f"{table.summary(results)}.", sep="\n")
    for clause in incomparable.values():
        print(f"Left out: {clause}; show it with force=true.")
    if config.html:
        table.to_html(results, Path(config.html))
        print(f"Page: {config.html}")
    file = Path(config.csv) if config.csv else sweep / "table.csv" if sweep else None
    if file:
        # A CSV file that was not asked for holds every metric
        only_shown = config.csv is not None and config.metrics is not None
        table.to_csv(results, file, only_shown)
        print(f"Table: {file}")


def _expand(path: Path) -> list[Path]:
    """Return the runs and sweeps in a folder of runs, such as runs/; any other path as it is."""
    if (path / "config.yaml").is_file() or manifest.read(path):
        return [path]
    files = [*path.glob("*/config.yaml"), *path.glob(f"*/{manifest.SWEEP_FILE}")]
    return sorted({file.parent for file in files}) or [path]
