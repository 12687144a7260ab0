"""The tests of the repository that need CUDA; reports failures as they happen."""

import re
import subprocess
import sys
from collections import Counter

from .runner import ROOT
from .task import Task

FILES = ["tests/test_gpu.py", "tests/test_configs.py"]
REHEARSAL_FILES = ["tests/test_types.py"]
REASON = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?::.*?) - (.*)")
LINE = re.compile(r"^(tests/\S+?::.*?) (PASSED|FAILED|ERROR|SKIPPED)\b")


def run(task: Task) -> None:
    """Run the part."""
    # The options in pyproject.toml need pytest-xdist, and select other tests.
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "-v", "--tb=short", "--color=no"]
    options += ["-p", "scripts.gpu_parts.tell_failures"]
    options += ["--basetemp", f"{task.scratch}/t"]
    if task.on_cuda:
        options += ["-m", "gpu", *FILES]
    else:
        options += ["-m", "not slow and not gpu", *REHEARSAL_FILES]
    command = [sys.executable, "-m", "pytest", *options]
    counts: Counter[str] = Counter()
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if result := verdict(line):
                name, state = result
                counts[state] += 1
                if state in ("FAILED", "ERROR"):
                    task.check(name, False, state.lower())
            elif reason := REASON.match(line):  # in pytest's summary
                task.figure(reason[1], reason[2][:300])
    for state in ("PASSED", "FAILED", "ERROR", "SKIPPED"):
        task.figure(state.lower(), counts[state], "tests")
    code = process.returncode
    task.check("pytest ran tests to their end", code in (0, 1), f"exit code {code}")


def verdict(line: str) -> tuple[str, str] | None:
    """Return (test, state) of a line of pytest -v, or None for other lines."""
    match = LINE.match(line)
    return (match[1], match[2]) if match else None
