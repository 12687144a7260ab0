"""The repository's own tests for CUDA; a check for each, as it ends."""

import re
import subprocess
import sys
from collections import Counter

from .runner import ROOT
from .task import Task

FILES = ["tests/test_gpu.py", "tests/test_configs.py"]
REHEARSED = ["tests/test_types.py"]
WHY = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?::.*?) - (.*)")
LINE = re.compile(r"^(tests/\S+?::.*?) (PASSED|FAILED|ERROR|SKIPPED)\b")


def run(task: Task) -> None:
    # The options of pyproject.toml need pytest-xdist, and choose other tests.
    plain = ["-o", "addopts=", "-p", "no:cacheprovider", "-v", "--tb=short", "--color=no"]
    chosen = ["-m", "gpu", *FILES] if task.on_cuda else ["-m", "not slow and not gpu", *REHEARSED]
    command = [sys.executable, "-m", "pytest", *plain, "--basetemp", f"{task.scratch}/t", *chosen]
    counts: Counter[str] = Counter()
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := verdict(line):
                name, state = found
                counts[state] += 1
                if state in ("FAILED", "ERROR"):
                    task.check(name, False, state.lower())
            elif why := WHY.match(line):  # pytest's summary
                task.figure(why[1], why[2][:300])
    for state in ("PASSED", "FAILED", "ERROR", "SKIPPED"):
        task.figure(state.lower(), counts[state], "tests")
    code = process.returncode
    task.check("pytest ran tests to their end", code in (0, 1), f"exit code {code}")


def verdict(line: str) -> tuple[str, str] | None:
    """(test, PASSED or another word) of one of pytest -v's lines."""
    found = LINE.match(line)
    return (found[1], found[2]) if found else None
