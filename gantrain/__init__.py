"""gantrain: train, resume and measure image GANs from Hydra configs."""

__version__ = "0.1.0.dev0"
