"""DCGAN whose D hardly ever learns: G finds the one picture that D likes most."""

from dataclasses import replace

from gantrain.gans.base import Phase
from gantrain.gans.dcgan import DCGAN


class StaleGAN(DCGAN):
    """One step of D for 100 of G."""

    def phases(self) -> list[Phase]:
        D, G = super().phases()
        return [replace(D, interval=100), G]
