"""Digests of tensors, and recognition of files that are pickles of other programs."""

import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DIGEST = "sha256"  # key of the digest in snapshots, checkpoints and exported .safetensors
_TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch.save before version 1.6


def digest(content: Any) -> str:
    """Return the SHA-256 of all tensors in nested dicts and lists: where they are, and their bits.

    The order of a dict does not matter.

    Args:
        content: of a file; everything but tensors is left out.
    """
    hasher = hashlib.sha256()
    for path, tensor in _tensors(content, ""):
        hasher.update(f"{path} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if tensor.numel():
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            hasher.update(plain.view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def is_unaltered(content: dict[str, Any]) -> bool:
    """Return whether the tensors of a file are those that were written.

    Files of versions without a digest count as unaltered. The digest is removed from `content`.
    """
    expected = content.pop(DIGEST, None)
    return expected is None or expected == digest(content)


def _tensors(node: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield path, node
    elif isinstance(node, dict):
        for key, value in sorted(node.items(), key=lambda item: str(item[0])):
            yield from _tensors(value, f"{path}/{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _tensors(value, f"{path}/{index}")


def is_module_pickle(file: Path) -> bool:
    """Return whether a file is a pickle of Python, and not one of torch.save.

    Args:
        file: of any kind. Nothing in it is executed.
    """
    if not file.is_file():  # a pipe may never end
        return False
    try:
        with file.open("rb") as opened:
            start = opened.read(64)
    except OSError:
        return False
    is_pickle = start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"
    if file.suffix in (".pkl", ".pickle") and not zipfile.is_zipfile(file):
        is_pickle = True
    return is_pickle and _TORCH_MAGIC not in start


def named_code(error: BaseException) -> str | None:
    """Return the code that a file names, such as "os.system", if torch refused it for that."""
    match = re.search(r"GLOBAL ([\w.]+)", str(error))
    return match[1] if match else None
