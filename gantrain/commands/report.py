"""gantrain report: write one page about a run, for a browser."""

from pathlib import Path

from gantrain.config.tools import ReportConfig
from gantrain.io.files import unwritable_as_config_error, write_text
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
    with unwritable_as_config_error("output", target):
        write_text(target, text)
    print(f"Page: {target} ({len(text) / 1e6:.1f} MB)")
