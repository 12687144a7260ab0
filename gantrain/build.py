"""Build objects from a checked config."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain import targets
from gantrain.config import schedules
from gantrain.config.annotations import to_floats
from gantrain.config.check import check_target, constructor_annotations
from gantrain.config.data_kind import keep_reading
from gantrain.config.train import RunConfig, RuntimeConfig, TrackingConfig, TrainConfig
from gantrain.data.base import Dataset, check_members
from gantrain.data.loader import ItemCost
from gantrain.engine import startup
from gantrain.engine.distributed.environment import ProcessInfo
from gantrain.engine.optim import LearningRate, build_optimizers, scheduled
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision, pick_device, unavailable_reason
from gantrain.engine.recorded_phase import COMPILER_CACHE, RecordedPhases
from gantrain.engine.threads import use_threads
from gantrain.errors import ConfigError, counted
from gantrain.gans.base import GAN, ImageSpec
from gantrain.inference.labels import label_text
from gantrain.inference.model import Model
from gantrain.inference.translation import input_channels
from gantrain.io.cache import cache_home
from gantrain.io.cores import available_cores
from gantrain.io.plain_files import load_yaml
from gantrain.types import scaled

# What the fastest trainings use up in a second: on a GPU StyleGAN2 at 256 px (3.5 s for 1000
# images), on a CPU DCGAN at 32 px (130 images/s).
PIXELS_ON_GPU, PIXELS_ON_CPU = 20e6, 0.13e6
NEGLIGIBLE_LOAD = 0.02  # of a core: not worth a process
MAX_LABELS = 20_000  # that are looked at for the rows of a grid


def resolve(name: str, section: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Import what the `_target_` of a section names.

    Args:
        name: the section: model, data or optimizer.
        section: its checked values.

    Returns:
        (the class, its settings, with floats where it takes floats: torch refuses betas=[0,0.9]).
    """
    cls, settings = targets.resolve(section)
    annotations = constructor_annotations(name, section) or {}
    return cls, {key: to_floats(x, annotations.get(key, Any)) for key, x in settings.items()}


def make_data(config: RunConfig) -> Dataset:
    """Return the data set, not yet prepared."""
    cls, settings = resolve("data", config.data)
    data = cls(seed=config.seed, **settings)
    check_members(data)
    return data


def make_gan(config: RunConfig, images: ImageSpec) -> GAN:
    """Return the GAN on the CPU, with weights initialized from torch's current random state.

    Args:
        config: the checked config.
        images: channels, resolution and labels of the data set.
    """
    cls, settings = resolve("model", config.model)
    return cls(images, **settings)


def make_optimizers(config: RunConfig, gan: GAN) -> dict[str, torch.optim.Optimizer]:
    """Return one optimizer per player."""
    optimizer, settings = resolve("optimizer", config.optimizer)
    return build_optimizers(gan, optimizer, settings)


def make_precision(runtime: RuntimeConfig, process: ProcessInfo | None = None) -> Precision:
    """Choose the device and the floating-point format, and set torch's process-wide switches.

    Args:
        runtime: the section of the config.
        process: this process among the ranks, to choose its GPU; None: it is alone.

    Raises:
        ConfigError: the device is not available, or lacks the format.
    """
    device = pick_device(runtime.device)
    if why := unavailable_reason(device):
        raise ConfigError(
            f"runtime.device={runtime.device}, but {why}: use another device, such as runtime=cpu, "
            "or install a build of torch for your GPU."
        )
    if runtime.precision == "tf32" and device.type != "cuda":
        raise ConfigError(
            f"runtime.precision=tf32 works on NVIDIA GPUs only, and this run is on {device.type}: "
            "use runtime.precision=auto."
        )
    if runtime.cuda_graphs and device.type != "cuda":
        raise ConfigError(
            f"runtime.cuda_graphs=true works on NVIDIA and AMD GPUs only, and this run is on "
            f"{device.type}: use runtime.cuda_graphs=false."
        )
    if runtime.compile:
        # Torch's own default is in /tmp, which the next job or reboot lacks. Set here, because an
        # optimizer already makes torch read it.
        os.environ.setdefault(COMPILER_CACHE, str(cache_home() / "compiled"))
    if runtime.deterministic:  # cuBLAS requires it, and reads it when CUDA starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device.type == "cuda":
        index = device.index or 0
        device = _gpu_of_rank(process.local_rank) if process else torch.device("cuda", index)
        torch.cuda.init()  # `seeding` seeds a GPU only once CUDA is initialized, ...
        torch.cuda.set_device(device)  # ... and only the current one
    use_threads(runtime.threads)  # None: until the networks tell how large the work is
    # The next line and torch.optim import it; it is as large as torch itself.
    startup.import_without_gc("torch._dynamo")
    torch.use_deterministic_algorithms(runtime.deterministic)
    torch.backends.cudnn.benchmark = not runtime.deterministic
    return Precision(device, runtime.precision)


def _gpu_of_rank(local_rank: int) -> torch.device:
    """Return the GPU of a rank: that of its number, or the only one its scheduler makes visible."""
    count = torch.cuda.device_count()
    if local_rank >= count > 1:
        raise ConfigError(
            f"Rank {local_rank} of this machine has no GPU: there are {count}. Start at most "
            f"{count} ranks."
        )
    return torch.device("cuda", local_rank if count > 1 else 0)


def check_devices(runtime: RuntimeConfig) -> None:
    """Check that `runtime.devices` ranks can be started on this machine.

    Raises:
        ConfigError: there are not as many devices.
    """
    kind, count = pick_device(runtime.device).type, torch.cuda.device_count()
    if kind == "mps":
        raise ConfigError("runtime.devices: Apple's GPU is a single device; add runtime.devices=1.")
    if kind == "cuda" and runtime.devices > count:
        raise ConfigError(
            f"runtime.devices={runtime.devices}, but this machine has {counted(count, 'GPU')}: "
            f"add runtime.devices={count}, or runtime=cpu."
        )


def prepare_networks(gan: GAN, runtime: RuntimeConfig, device: torch.device) -> None:
    """Move the networks to the device and set their memory layout."""
    layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
    gan.to(device=device, memory_format=layout)  # type: ignore[call-overload]


def make_recorded(
    gan: GAN, runtime: RuntimeConfig, say: Callable[[str], None], backend: str = "inductor"
) -> RecordedPhases | None:
    """Return the phases as compiled functions or CUDA graphs; None if the config wants neither.

    Args:
        gan: the model, on its device.
        runtime: the section of the config.
        say: receives sentences about what is compiled.
        backend: what torch.compile compiles with.
    """
    if not (runtime.compile or runtime.cuda_graphs):
        return None
    if runtime.compile:
        folder = os.environ[COMPILER_CACHE]
        say(f"Compiling the phases, which takes minutes; what is compiled is kept in {folder}.")
    return RecordedPhases(gan, runtime.compile, runtime.cuda_graphs, say, backend)


def microbatch_size(train: TrainConfig, ranks: int) -> int:
    """Return the number of images per forward pass of one of `ranks` processes."""
    return train.microbatch or (train.batch or 1) // ranks


def make_plan(config: RunConfig, images_per_epoch: int, ranks: int = 1) -> TrainingPlan:
    """Convert every "kimg" and "epochs" of the config to images.

    Args:
        config: the checked config, after `derived.fill_in`.
        images_per_epoch: the images of one pass over the data.
        ranks: the number of processes that share the batch.
    """
    train, lr = config.train, config.lr
    batch = train.batch or 1
    if train.kimg is not None:
        total = round(train.kimg * 1000)
    else:
        total = round((train.epochs or 0) * images_per_epoch)
    learning_rate = LearningRate(
        schedule=lr.schedule,
        total=total,
        decay=lr.decay,
        step_images=round(lr.step_kimg * 1000) if lr.step_kimg else None,
        step_factor=lr.step_factor,
        epoch_images=images_per_epoch if lr.unit == "epoch" else None,
        compat=lr.compat,
        d_factor=lr.d_factor,
    )
    tracking, checkpoint, evaluation = config.tracking, config.checkpoint, config.evaluation

    def every(kimg: float | None, epochs: float | None, default: float = 0) -> int:
        """Return a cadence in images; that in epochs comes first."""
        if epochs is not None:
            return max(1, round(epochs * images_per_epoch))
        return round(default if kimg is None else kimg * 1000)

    # A run has at most 6,250 reports, and a report covers at least 20 steps
    tick = every(tracking.every_kimg, None, max(100, total / 6250, 20 * batch)) or 1
    return TrainingPlan(
        seed=config.seed,
        total=total,
        batch=batch,
        microbatch=microbatch_size(train, ranks),
        rate=learning_rate,
        ema_half_life=scaled(train.ema_kimg or 0, 1000),
        ema_rampup=train.ema_rampup,
        optimizer=scheduled(config.optimizer),
        schedules=schedules.find(vars(config) | {"train": vars(train)}),
        on_nonfinite=train.on_nonfinite,
        tick=tick,
        health_every=_health_every(tracking, tick, total),
        grid_every=every(
            tracking.grid_every_kimg, tracking.grid_every_epochs, max(1000, total / 500)
        ),
        # A fifth of a small budget may be lost, not all of it.
        checkpoint_every=max(
            1, min(every(checkpoint.every_kimg, checkpoint.every_epochs), total // 5)
        ),
        snapshot_every=every(checkpoint.snapshot_every_kimg, checkpoint.snapshot_every_epochs),
        evaluate_every=every(evaluation.every_kimg, evaluation.every_epochs),
    )


def _health_every(tracking: TrackingConfig, tick: int, total: int) -> int:
    """Return the images between two probes, a multiple of the tick; 0: no probes."""
    default = max(20 * tracking.health_images, total / 500)
    wanted = tracking.health_every_kimg
    return math.ceil(round(default if wanted is None else wanted * 1000) / tick) * tick


def data_workers(
    runtime: RuntimeConfig, device: torch.device, item: ItemCost, local_ranks: int = 1
) -> int:
    """Return the number of processes that load the images of one rank.

    By default, they are as many as it takes to load twice as fast as the fastest training uses
    images up, but at most one less than the rank's share of the available cores, and at most 8, or
    2 when training on the CPU.

    Args:
        runtime: the section of the config.
        device: where this rank trains.
        item: what an item of the data set costs.
        local_ranks: the number of ranks on this machine.
    """
    if runtime.workers is not None:
        return runtime.workers
    spare_cores = available_cores() // local_ranks - 1
    on_cpu = device.type == "cpu"
    # Fewer pixels take less time, but an image is never free.
    items_per_second = (PIXELS_ON_CPU if on_cpu else PIXELS_ON_GPU) / max(item.pixels, 32**2)
    busy_cores = 2 * items_per_second * item.seconds
    needed = math.ceil(busy_cores) if busy_cores > NEGLIGIBLE_LOAD else 0
    if on_cpu:
        return max(min(needed, spare_cores, 2), 0)
    # At least one: a step on a GPU must not wait for the host.
    return max(min(needed, spare_cores, 8), 1)


def preview_batch(data: Dataset, count: int) -> dict[str, Tensor]:
    """Return the first `count` test images of every stream, as fixed inputs for the grids.

    With labels, they are images of as many labels as possible, in the order of these. Streams of
    fewer images repeat them. Of images that differ in size, only those of the first one's size are
    returned.

    Returns:
        {stream: uint8 [N, C, H, W]}, and "label": float32 [N, label_dim] if there are labels.
    """
    batch = {}
    labels = ["label"] if data.label_dim else []
    indices = _spread_over_labels(data, count) if labels else [*range(count)]
    for stream in [*data.channels, *labels]:
        total = data.test_count("image" if stream == "label" else stream)
        items = [data.test_item(stream, i % total) for i in indices]
        batch[stream] = [torch.from_numpy(x) for x in items if x.shape == items[0].shape]
    rows = min(len(images) for images in batch.values())
    return {stream: torch.stack(images[:rows]) for stream, images in batch.items()}


def _spread_over_labels(data: Dataset, count: int) -> list[int]:
    """Return `count` indices of test images, in the order of their labels, of as many as fit."""
    total = data.test_count("image")
    looked_at = min(total, MAX_LABELS)
    candidates = [i * total // looked_at for i in range(looked_at)]
    labels = np.stack([data.test_item("label", i) for i in candidates])
    different, group = np.unique(labels, axis=0, return_inverse=True)
    group = group.reshape(-1)
    if np.isin(labels, (0, 1)).all():
        group = len(different) - 1 - group  # class 0, [1, 0, ...], comes first
    shown = min(count, len(different))
    chosen = [np.flatnonzero(group == g * len(different) // shown) for g in range(shown)]
    rows = [(g, number) for g in range(shown) for number in range(-(-(count - g) // shown))]
    return [candidates[chosen[g][number % len(chosen[g])]] for g, number in rows]


def preview_names(data: Dataset, batch: dict[str, Tensor]) -> list[str]:
    """Return the labels of a `preview_batch` in words; []: there are none."""
    about = data.describe().get("labels")
    return [label_text(label, about) for label in batch.get("label", ())]


def load_run_data(run: Path, root: str | None, model: Model) -> Dataset:
    """Return the data set of a run, not yet prepared.

    Args:
        run: the run directory, or a snapshot in it.
        root: the current location of the data; None: unchanged.
        model: the snapshot, whose networks determine the data if the run does not.

    Raises:
        ConfigError: the run does not name its data and `root` is None, or the data are missing.
    """
    run = run if run.is_dir() else run.parent.parent
    try:
        content = load_yaml(run / "config.yaml")
        section = content["data"]
        if not isinstance(section, dict):
            raise ValueError("data is no section")
        section = keep_reading(section, content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if not root:
            raise ConfigError(
                f"{run / 'config.yaml'} does not name the data of the run ({error}): set run= to a "
                "run directory or to a snapshot in its snapshots folder; or add data_root=DIR, a "
                "folder with trainA/ and trainB/ (for single images: any folder)."
            ) from None
        section = _folder_section(model)
    if root:
        section["root"] = root
    folder = section.get("cache_dir")
    if not (isinstance(folder, str) and Path(folder).is_dir()) and "cache_dir" in section:
        section["cache_dir"] = None  # a file of the run does not say where to make folders
    if problems := list(check_target("data", section, known={})):
        raise ConfigError(*(f"{run / 'config.yaml'}: {text}" for text in problems))
    data_class, settings = targets.resolve(section)
    data = data_class(seed=0, **settings)
    check_members(data)
    return data


def _folder_section(model: Model) -> dict[str, Any]:
    """Return a data section, of a folder, that fits the networks, such as imported ones."""
    if model.directions:
        kind = "gantrain.data.folder.UnpairedFolder"
        channels = {f"channels_{name[0]}": input_channels(g) for name, g in model.networks.items()}
        return {"_target_": kind, **{key: x for key, x in channels.items() if x}}
    G, data = model.generator, model.meta.get("data", {})
    resolution = getattr(G, "resolution", data.get("resolution"))
    channels = getattr(G, "channels", (data.get("channels") or {}).get("image"))
    if resolution is None or channels is None:
        raise ConfigError(
            f"{model.file} says neither by its network (attributes channels and resolution) nor by "
            "its data which images it generates: give run=, a directory with config.yaml."
        )
    size = {"resolution": list(resolution), "channels": channels, "labels": model.label_dim > 0}
    return {"_target_": "gantrain.data.image_folder.ImageFolder", **size}


def size_multiple(model: Model) -> int:
    """Return the number that the sides of the networks' images must be multiples of."""
    return max(int(getattr(network, "size_multiple", 1)) for network in model.networks.values())
