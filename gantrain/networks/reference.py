"""Networks of the reference codes of StyleGAN2, StyleGAN3 and R3GAN, rebuilt from state dicts.

Names and shapes tell the architecture. What they do not tell (clamps, decays, the layers in half
precision) is as by default, unless the arguments of its constructor are known.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.networks.r3gan import R3GANDiscriminator, R3GANGenerator, from_reference_names
from gantrain.networks.reference_settings import own_arguments
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan2.mapping import MappingNetwork
from gantrain.networks.stylegan3.generator import StyleGAN3Generator
from gantrain.networks.stylegan3.layers import SynthesisLayer
from gantrain.networks.stylegan3.plan import signals

Weights = dict[str, Tensor]
CONSTANT_FILTERS = ("resample_filter", "up_filter", "down_filter", "Resampler.Kernel")
_SG3_LAYER = re.compile(r"synthesis\.(L(\d+)_(\d+)_(\d+))\.weight")
MEAN_W = "mapping.w_avg"
SAMPLES = 10_000  # latents for a mean w
MAX_SIDE = 8192  # pixels
_TOLERANCE = 1e-4  # of a filter's taps, whose sum is 1


def is_generator(weights: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a generator that `rebuild` knows."""
    return _builder(weights) in (_stylegan2, _stylegan3, _r3gan)


def rebuild(weights: Weights, given: Mapping[str, Any]) -> nn.Module:
    """Return the network of a reference code with its weights, in float32 and eval mode.

    Args:
        weights: a state dict under the names of the reference.
        given: arguments of the constructor there, see `own_arguments`; {}: unknown.

    Raises:
        ConfigError: no network here has these weights; names the first difference.
    """
    build = _builder(weights)
    if build is None:
        raise ConfigError(
            "The weights are of no generator or discriminator of StyleGAN2, StyleGAN3 or R3GAN: "
            f"the first of {len(weights)} tensors is {next(iter(weights), 'none')}."
        )
    arguments = own_arguments(given)
    try:
        # Without memory at first: names and shapes from a stranger may ask for any amount.
        with torch.device("meta"):
            planned = build(weights, arguments)
        _check_filters(weights, planned)
        own = {k: x.float() for k, x in weights.items() if not k.endswith(CONSTANT_FILTERS)}
        own = _complete(getattr(planned, "from_reference", dict)(own), planned)
        network = build(weights, arguments)
        network.load_state_dict(own)
        if isinstance(network, StyleGAN2Generator) and MEAN_W not in weights:
            _measure_mean_w(network.mapping)
    except (KeyError, ValueError, IndexError, AttributeError, OverflowError, TypeError) as fault:
        raise ConfigError(
            f"The weights are not those of a complete {_TITLES[build]}: {fault} is missing or has "
            "an unusual shape."
        ) from None
    return network.eval()


@torch.no_grad()
def _measure_mean_w(mapping: MappingNetwork) -> None:
    """Set the mean w of a file without one, over the same latents every time.

    Raises:
        ConfigError: it depends on labels.
    """
    if mapping.label_dim:
        raise ConfigError(
            f"The weights have no {MEAN_W}, the mean w that truncation pulls towards."
        )
    z = torch.randn(SAMPLES, mapping.z_dim, generator=torch.Generator().manual_seed(0))
    mapping.w_avg.copy_(torch.cat([mapping(part)[:, 0] for part in z.split(500)]).mean(dim=0))


def _complete(weights: Weights, network: nn.Module) -> Weights:
    """Return weights for a network; a layer without noise gets noise of strength 0.

    Raises:
        ConfigError: names or shapes differ.
    """
    own = network.state_dict()
    for key in own.keys() - weights.keys():
        if key.endswith(("noise_strength", "noise_const")) or key == MEAN_W:
            weights[key] = torch.zeros(own[key].shape)
    for key in [*own, *weights]:
        there, here = (tuple(x[key].shape) if key in x else "absent" for x in (weights, own))
        if there != here:
            raise ConfigError(
                f"The weights are of a {type(network).__name__} that cannot be built here: {key} "
                f"is {there} in the file and would be {here}."
            )
    return weights


def _check_filters(weights: Weights, network: nn.Module) -> None:
    """Raise a ConfigError if a filter in the file is not the constant used here."""
    modules = dict(network.named_modules())
    for key, taps in weights.items():
        name, _, kind = key.rpartition(".")
        if kind in ("resample_filter", "Kernel"):
            expected = torch.outer(*2 * [torch.tensor([1.0, 3, 3, 1]) / 8])
            taps = taps / taps.sum()  # R3GAN's holds the gain as well
        elif kind in ("up_filter", "down_filter") and name in modules:
            layer = modules[name]
            assert isinstance(layer, SynthesisLayer)
            resampling = getattr(layer.activation, kind.removesuffix("_filter"))
            expected = torch.as_tensor(resampling.taps)
        else:
            continue
        if taps.shape != expected.shape or not taps.float().allclose(
            expected.float(), rtol=0, atol=_TOLERANCE
        ):
            raise ConfigError(
                f"{key} is a filter that this network does not have here ({_shape(taps)} in the "
                f"file): it was trained with other filters or cutoffs than the published ones."
            )


def _side(text: str) -> int:
    """Return a side in pixels from a name.

    Raises:
        ConfigError: no image is that large.
    """
    if len(text) > 4 or int(text) > MAX_SIDE:
        raise ConfigError(f"The weights are of images of {text[:20]} px, which is out of range.")
    return int(text)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _mapping(weights: Weights) -> dict[str, int]:
    """Return the sizes of the latents, the labels and the mapping network."""
    width, features = weights["mapping.fc0.weight"].shape
    embed = weights.get("mapping.embed.weight")
    return {
        "z_dim": features - (embed.shape[0] if embed is not None else 0),
        "w_dim": width,
        "mapping_layers": _count(weights, r"mapping\.fc\d+\.weight"),
        "label_dim": _label_dim(embed),
    }


def _label_dim(embed: Tensor | None) -> int:
    return 0 if embed is None else embed.shape[1]


def _count(weights: Weights, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in weights)


def channel_rule(widths: dict[int, int]) -> dict[str, int]:
    """Return channel_base and channel_max of widths by the nominal side of their block.

    Raises:
        ConfigError: they do not follow min(channel_base // side, channel_max).
    """
    most = max(widths.values())
    narrower = [side * width for side, width in widths.items() if width < most]
    # Of one width w alone, any base from side * w to side * (w + 1) - 1 is possible.
    base = max(narrower) if narrower else most * max(widths)
    if widths != {side: min(base // side, most) for side in widths}:
        listed = ", ".join(f"{side}: {width}" for side, width in sorted(widths.items()))
        raise ConfigError(
            f"The layers have the widths {listed} (by the side of their block), which are not "
            "min(channel_base // side, channel_max) for any channel_base and channel_max."
        )
    return {"channel_base": base, "channel_max": most}


def _stylegan2(weights: Weights, arguments: dict[str, Any]) -> nn.Module:
    blocks = {_side(m[1]) for key in weights if (m := re.match(r"synthesis\.b(\d+)\.", key))}
    widths = {side: weights[f"synthesis.b{side}.conv1.weight"].shape[0] for side in blocks}
    last = max(blocks)
    base = weights["synthesis.b4.const"].shape
    if "synthesis.b4.torgb.weight" in weights:
        architecture = "skip"
    else:
        architecture = "resnet" if f"synthesis.b{last}.skip.weight" in weights else "orig"
    return StyleGAN2Generator(
        [side * last // 4 for side in base[1:]],
        weights[f"synthesis.b{last}.torgb.weight"].shape[0],
        architecture=architecture,
        **_mapping(weights),
        **channel_rule(widths),
        **arguments,
    )


def _stylegan2_discriminator(weights: Weights, arguments: dict[str, Any]) -> nn.Module:
    blocks = {_side(m[1]) for key in weights if (m := re.match(r"b(\d+)\.conv0\.", key))}
    last, head = max(blocks), weights["b4.conv.weight"]
    widths = {side: weights[f"b{side}.conv0.weight"].shape[0] for side in blocks}
    if f"b{last}.skip.weight" in weights:
        architecture = "resnet"
    else:
        architecture = "skip" if "b4.fromrgb.weight" in weights else "orig"
    return StyleGAN2Discriminator(
        [last, last],
        weights[f"b{last}.fromrgb.weight"].shape[1],
        _label_dim(weights.get("mapping.embed.weight")),
        architecture=architecture,
        mbstd_channels=head.shape[1] - head.shape[0],
        **channel_rule({4: head.shape[0], **widths}),
        **arguments,
    )


def _stylegan3(weights: Weights, arguments: dict[str, Any]) -> nn.Module:
    layers = sorted(int(m[2]) for key in weights if (m := _SG3_LAYER.fullmatch(key)))
    names = {int(m[2]): m for key in weights if (m := _SG3_LAYER.fullmatch(key))}
    side, channels = _side(names[layers[-1]][3]), int(names[layers[-1]][4])
    widths = [int(names[i][4]) for i in layers[:-1]]
    most = max(widths)
    plan = signals([side, side], len(widths), 1, 1, channels)
    # A width w < most is channel_base / (2 f_c), rounded: this bounds channel_base.
    narrower = [(2 * s.cutoff, w) for s, w in zip(plan, widths, strict=False) if w < most]
    low = max((factor * (w - 0.5) for factor, w in narrower), default=2 * plan[-1].cutoff * most)
    high = min((factor * (w + 0.5) for factor, w in narrower), default=2 * low)
    power = 2 ** int(high).bit_length() // 2
    base = power if low <= power else int(-(-low // 1))
    expected = signals([side, side], len(widths), base, most, channels)
    planned = [f"L{i}_{s.size}_{s.channels}" for i, s in enumerate(expected)]
    if planned != [names[i][1] for i in layers]:
        here = next(a for a, b in zip(planned, layers, strict=True) if a != names[b][1])
        raise ConfigError(
            f"The generator has the layer {names[planned.index(here)][1]} where the published "
            f"frequencies give {here}: it was made with another first_cutoff, margin or width rule."
        )
    return StyleGAN3Generator(
        [side, side],
        channels,
        config="t" if weights[f"synthesis.{names[0][1]}.weight"].shape[-1] == 3 else "r",
        num_layers=len(widths),
        channel_base=base,
        channel_max=most,
        **_mapping(weights),
        **arguments,
    )


def _r3gan(weights: Weights, arguments: dict[str, Any]) -> nn.Module:
    own = from_reference_names(weights)
    basis, latent = own["stages.0.0.basis"], own["stages.0.0.linear.weight"].shape[1]
    stages = _r3gan_stages(own)
    label_dim, z_dim = _r3gan_labels(own)
    return R3GANGenerator(
        [side * 2 ** (len(stages["widths"]) - 1) for side in basis.shape[1:]],
        own["to_image.weight"].shape[0],
        label_dim,
        z_dim=z_dim or latent,
        **stages,
        **arguments,
    )


def _r3gan_discriminator(weights: Weights, arguments: dict[str, Any]) -> nn.Module:
    own = from_reference_names(weights)
    basis = next(x for key, x in own.items() if key.endswith(".basis"))
    # Its stages begin at the image.
    stages = {
        key: value[::-1] if isinstance(value, list) else value
        for key, value in _r3gan_stages(own).items()
    }
    return R3GANDiscriminator(
        [side * 2 ** (len(stages["widths"]) - 1) for side in basis.shape[2:]],
        own["from_image.weight"].shape[1],
        _r3gan_labels(own)[0],
        **stages,
        **arguments,
    )


def _r3gan_labels(own: Weights) -> tuple[int, int]:
    """Return the entries of a label and of its embedding; 0: unconditional."""
    embed = own.get("embed.linear.weight")
    return (0, 0) if embed is None else (embed.shape[1], embed.shape[0])


def _r3gan_stages(own: Weights) -> dict[str, Any]:
    """Return widths, blocks and group_width, the stages in the order of their names."""
    blocks: dict[int, list[Tensor]] = {}
    widths: dict[int, int] = {}
    for key, weight in own.items():
        if match := re.fullmatch(r"stages\.(\d+)\.\d+\.conv(1|2)\.weight", key):
            stage = int(match[1])
            if match[2] == "1":
                widths[stage] = weight.shape[1]
            else:
                blocks.setdefault(stage, []).append(weight)
    groups = {x.shape[1] for stage in blocks.values() for x in stage if x.shape[0] != x.shape[1]}
    groups = groups or {max(x.shape[1] for stage in blocks.values() for x in stage)}
    if len(groups) > 1:
        raise ConfigError(
            "The groups of the 3x3 convolutions have "
            f"{', '.join(map(str, sorted(groups)))} channels in different stages; here all stages "
            "have groups of the same width."
        )
    return {
        "widths": [widths[i] for i in sorted(blocks)],
        "blocks": [len(blocks[i]) for i in sorted(blocks)],
        "group_width": groups.pop(),
    }


_Builder = Callable[[Weights, dict[str, Any]], nn.Module]
_BUILDERS: dict[str, _Builder] = {  # by a tensor that only such a network has
    "synthesis.input.freqs": _stylegan3,
    "synthesis.b4.const": _stylegan2,
    "b4.out.weight": _stylegan2_discriminator,
    "Model.AggregationLayer.Layer.weight": _r3gan,
    "Model.ExtractionLayer.Layer.weight": _r3gan_discriminator,
}
_TITLES: dict[_Builder, str] = {
    _stylegan3: "StyleGAN3 generator",
    _stylegan2: "StyleGAN2 generator",
    _stylegan2_discriminator: "StyleGAN2 discriminator",
    _r3gan: "R3GAN generator",
    _r3gan_discriminator: "R3GAN discriminator",
}


def _builder(weights: Mapping[str, Tensor]) -> _Builder | None:
    return next((build for key, build in _BUILDERS.items() if key in weights), None)
