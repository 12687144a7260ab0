"""Pickles in the layout of the reference codes of StyleGAN and R3GAN, made by stand-ins.

The real classes are not here: stand-ins of the same names are pickled, from modules that exist
only while the file is written.
"""

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

PERSISTENCE = "torch_utils.persistence"
SOURCE = "import os; os.system('touch executed')"  # the page says: such source is run on loading


def tree(weights: dict[str, Tensor], cls: type[nn.Module]) -> nn.Module:
    """Return modules within modules whose state dict is `weights`."""
    root = cls()
    for name, tensor in weights.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, cls())
            module = module.get_submodule(part)
        if tensor.is_floating_point() and "filter" not in last:
            module.register_parameter(last, nn.Parameter(tensor))
        else:
            module.register_buffer(last, tensor)
    return root


def write_stylegan(
    path: Path, networks: dict[str, tuple[dict[str, Tensor], dict[str, Any]]], p: float = 0.25
) -> Path:
    """Write {"G_ema": (state dict, constructor arguments), ...} and an augment_pipe as .pkl."""
    content: dict[str, Any] = {"training_set_kwargs": {"path": "/home/somebody/set.zip"}}
    with _module(PERSISTENCE) as module:

        def reconstruct(meta: dict[str, Any]) -> None:
            raise AssertionError("a pickle was run")

        _own(reconstruct, module, "_reconstruct_persistent_obj")

        class Persistent(nn.Module):
            def __reduce__(self) -> tuple[Any, ...]:
                meta = {"type": "class", "version": 6, "module_src": SOURCE}
                meta |= {"class_name": self.kind, "state": dict(self.__dict__)}
                return reconstruct, (meta,)

            kind = "Layer"

        for name, (weights, arguments) in networks.items():
            network = tree(weights, Persistent)
            network.__dict__ |= {"kind": "Discriminator" if name == "D" else "Generator"}
            network.__dict__ |= {"_init_args": (), "_init_kwargs": dict(arguments)}
            content[name] = network
        content["augment_pipe"] = tree({"p": torch.tensor(p)}, Persistent)
        path.write_bytes(pickle.dumps(content))
    return path


def write_r3gan(path: Path, networks: dict[str, dict[str, Tensor]]) -> Path:
    """Write {"G_ema": state dict, ...} as modules of the ordinary kind."""
    with _module("R3GAN.Networks") as module:

        class Generator(nn.Module):
            pass

        _own(Generator, module, "Generator")
        content = {name: tree(weights, Generator) for name, weights in networks.items()}
        path.write_bytes(pickle.dumps({**content, "cur_nimg": 1000}))
    return path


def _own(thing: Any, module: ModuleType, name: str) -> None:
    thing.__module__, thing.__qualname__, thing.__name__ = module.__name__, name, name
    setattr(module, name, thing)


@contextmanager
def _module(name: str) -> Iterator[ModuleType]:
    parts = name.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    for part in names:
        sys.modules[part] = ModuleType(part)
    try:
        yield sys.modules[name]
    finally:
        for part in names:
            del sys.modules[part]
