"""Where the runs of a sweep run: here, side by side, on Slurm."""

from __future__ import annotations

# Hydra makes launchers only if their names begin so. A real package there would be imported at
# every start of every Hydra program here, so the names are given to classes that lie elsewhere.
MODULE = "hydra_plugins.gantrain"


def register() -> None:
    """Make launcher=local, slurm and slurm_detached known to Hydra."""
    from hydra.core.plugins import Plugins

    from gantrain.sweeps.launchers.local import Local
    from gantrain.sweeps.launchers.slurm import Slurm, SlurmDetached

    for launcher in (Local, Slurm, SlurmDetached):
        Plugins.instance().class_name_to_class[f"{MODULE}.{launcher.__name__}"] = launcher
