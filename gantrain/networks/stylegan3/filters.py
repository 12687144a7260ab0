"""Low-pass filters with a Kaiser window: separable and radially symmetric ones.

Karras et al. 2021, "Alias-free generative adversarial networks" (arXiv 2106.12423), appendix C.
The window follows Kaiser's rules for a filter of n taps and a transition band of a given width
(Oppenheim and Schafer, "Discrete-time signal processing", section 7.5.3).
"""

import numpy as np
import torch

from gantrain.ops.fir import Taps, fir_taps


def lowpass(
    length: int, cutoff: float, half_width: float, rate: float, *, radial: bool = False
) -> Taps:
    """Return the taps of a low-pass filter, with sum 1.

    Args:
        length: number of taps along an axis.
        cutoff: frequency at half the height, in the unit of `rate`.
        half_width: half the width of the transition band.
        rate: sampling rate.
        radial: whether the filter is the same in all directions, which takes two dimensions.

    Returns:
        [length], or [length, length] if radial.
    """
    window = _kaiser(length, half_width, rate)
    t = (np.arange(length) - (length - 1) / 2) / rate
    if not radial:
        return fir_taps((np.sinc(2 * cutoff * t) * window).tolist())
    # The disc of radius f_c in frequency is J1(2 pi f_c r) f_c / r in space.
    r = np.hypot(t[:, None], t)
    jinc = torch.special.bessel_j1(torch.from_numpy(2 * np.pi * cutoff * r)).numpy() / (np.pi * r)
    return fir_taps((jinc * np.outer(window, window)).tolist())


def _kaiser(length: int, half_width: float, rate: float) -> np.ndarray:
    """Return the window whose filter falls from 1 to 0 over twice `half_width`."""
    width = 2 * half_width / (rate / 2)  # as a share of the highest frequency
    attenuation = 2.285 * (length - 1) * np.pi * width + 7.95  # dB
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    return np.kaiser(length, beta)
