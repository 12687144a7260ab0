"""gantrain report: write one page about a run, for a browser."""

from pathlib import Path

from gantrain.config.tools import ReportConfig
from gantrain.errors import ConfigError
from gantrain.io.files import atomic_write
from gantrain.pages import report
from gantrain.runs.status import read_run


def main(config: ReportConfig) -> None:
    """Write the page.

    Raises:
        ConfigError: the file cannot be written.
    """
    run = Path(config.run)
    target = Path(config.output) if config.output else run / "report.html"
    text = report.page(read_run(run))
    try:
        with atomic_write(target) as file:
            file.write(text.encode())
    except OSError as error:
        raise ConfigError(
            f"output={target} cannot be written ({error.strerror or error}): give another file."
        ) from error
    print(f"Page: {target} ({len(text) / 1e6:.1f} MB)")
