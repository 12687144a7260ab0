"""gantrain: train, resume, judge and use image GANs from Hydra configs."""

__version__ = "0.1.0.dev0"
