"""gantrain doctor: diagnose a run, or the installation."""

from pathlib import Path

from gantrain.config.tools import DoctorConfig
from gantrain.engine import startup
from gantrain.tracking.waiting import waiting


def main(config: DoctorConfig) -> None:
    """Diagnose the run, or the installation if there is none.

    Raises:
        ConfigError: there is no such run, or its data are missing.
        SystemExit: 1 if something is wrong.
    """
    if config.run is None:
        from gantrain.commands import installation  # works without an intact torch

        return installation.main()
    with waiting("loading torch"):
        diagnosis = startup.import_without_gc("gantrain.commands.diagnosis")
    diagnosis.main(Path(config.run), config)
