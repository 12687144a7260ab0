"""Where downloaded and derived files are kept between runs."""

import os
from pathlib import Path


def cache_home() -> Path:
    """Return $GANTRAIN_CACHE or ~/.cache/gantrain, without creating it."""
    return Path(os.environ.get("GANTRAIN_CACHE") or "~/.cache/gantrain").expanduser()
