"""Run a part in its own process: python -m gpu_parts '{"part": ..., "module": ..., ...}'."""

import importlib
import importlib.util
import json
import sys
from types import ModuleType

from .task import Skipped, Task


def load(name: str) -> ModuleType:
    """Import a module of this package, or a Python file."""
    if not name.endswith(".py"):
        return importlib.import_module(f"{__package__}.{name}")
    spec = importlib.util.spec_from_file_location("extra_part", name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run the part that the command line describes."""
    task = Task(**json.loads(sys.argv[1]))
    try:
        load(task.module).run(task)
    except Skipped as reason:
        task.skip(str(reason))


if __name__ == "__main__":
    main()
