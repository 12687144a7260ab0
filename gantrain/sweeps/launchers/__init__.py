"""Launchers, which start the runs of a sweep: in parallel on this machine, or on Slurm."""

from __future__ import annotations

# Hydra only instantiates launchers from this namespace. A real package in it would be imported by
# every Hydra program on the machine, so the names are registered for classes from elsewhere.
MODULE = "hydra_plugins.gantrain"


def register() -> None:
    """Register launcher=local, slurm and slurm_detached with Hydra, and the sweeper of grids."""
    from hydra.core.plugins import Plugins

    from gantrain.sweeps.grid import Grid
    from gantrain.sweeps.launchers.local import Local
    from gantrain.sweeps.launchers.slurm import Slurm, SlurmDetached

    for plugin in (Local, Slurm, SlurmDetached, Grid):
        Plugins.instance().class_name_to_class[f"{MODULE}.{plugin.__name__}"] = plugin
