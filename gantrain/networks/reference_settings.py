"""Constructor arguments of the reference codes' networks, as those of the networks here."""

from collections.abc import Iterator, Mapping
from typing import Any

from gantrain.errors import ConfigError

_TO_OWN = {
    "conv_clamp": "conv_clamp",
    "num_fp16_res": "half_resolutions",
    "w_avg_beta": "w_avg_beta",
    "magnitude_ema_beta": "magnitude_beta",
    "mbstd_group_size": "mbstd_group",
}
_SEEN_IN_WEIGHTS = {  # names and shapes tell them, or no result depends on them
    *("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "channel_base", "channel_max"),
    *("num_layers", "architecture", "mbstd_num_channels", "cmap_dim", "resample_filter"),
    *("embed_features", "layer_features", "conv_kernel", "use_radial_filters", "use_noise"),
    *("first_cutoff", "first_stopband", "last_stopband_rel", "margin_size", "num_critical"),
    *("filter_size", "freeze_layers", "fused_modconv_default", "fp16_channels_last", "num_ws"),
}
_SAME_HERE: dict[str, Any] = {
    "activation": "lrelu",
    "lr_multiplier": 0.01,
    "kernel_size": 3,
    "lrelu_upsampling": 2,
    "output_scale": 0.25,
}


def own_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what names and shapes of weights do not tell of a network.

    Args:
        given: constructor arguments of StyleGAN2-ADA (nested) or StyleGAN3 (flat); {}: unknown.

    Raises:
        ConfigError: a setting has no counterpart here; lists all such settings.
    """
    own: dict[str, Any] = {}
    other = []
    for key, value in _flat(given):
        if key in _TO_OWN:
            own[_TO_OWN[key]] = value
        elif key in _SAME_HERE and value != _SAME_HERE[key]:
            other.append(f"{key}={value} (here {_SAME_HERE[key]})")
        elif key not in _SAME_HERE and key not in _SEEN_IN_WEIGHTS:
            other.append(f"{key}={value}")
    if other:
        raise ConfigError(
            f"The network has settings that cannot be represented here: {', '.join(other)}."
        )
    return own


def _flat(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if key.endswith("_kwargs") and isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield key, value
