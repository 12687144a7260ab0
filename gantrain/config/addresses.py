"""Which settings are paths, and which of them may be addresses, such as s3://bucket/set.zip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gantrain.io.remote.address import address_fault, bare, is_address

RUN_KEYS = ("run", "runs", "resume", "init_from")
REMOTE_KEYS = ("data.root", "data.root_a", "data.root_b", "data_root")  # may be addresses
PATH_KEYS = (
    *REMOTE_KEYS,
    *("input", "output", "out", "source", "images", "w", "csv", "html", "report", "pack"),
    *("directions", "data.cache_dir", "evaluation.inception", "evaluation.lpips"),
    *("weights.inception", "weights.lpips"),
)


def address_problems(plain: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each address that holds a secret, or is where a path is needed.

    Args:
        plain: values of a whole config.
    """
    for key in (*PATH_KEYS, *RUN_KEYS):
        section, _, name = key.rpartition(".")
        values = plain.get(section) if section else plain
        value = values.get(name) if isinstance(values, dict) else None
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str) or not is_address(text):
                continue
            if key not in REMOTE_KEYS:
                hint = " A model of the Hugging Face Hub is run=hub:OWNER/NAME." * (key == "run")
                yield (
                    f"{key}={bare(text)} is an address, and a path of this machine is needed; "
                    f"addresses may be given as {', '.join(REMOTE_KEYS)}.{hint}"
                )
            elif section and _is_local(values):
                yield (
                    f"{key}={bare(text)} is an address, and this data set is read from files of "
                    "this machine: download them, or use data=folder for images of your own."
                )
            elif fault := address_fault(key, text):
                yield fault


def _is_local(data: Any) -> bool:
    """Return whether a data set of gantrain's own, unlike one of a plug-in, takes no addresses."""
    target = data.get("_target_")
    return "remote_cache_gb" not in data and str(target).startswith("gantrain.")
