"""The cluster's commands in docs/cluster.md, up to the point where a cluster is needed.

sbatch, srun, torchrun and scontrol are stand-ins here that only hand on; test_preemption.py runs
the files of scripts/ on a real Slurm.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.helpers.command_line import gantrain

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "cluster.md").read_text()
LINES = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    for line in block.splitlines()
]
JOBS = [line for line in LINES if line.startswith(("sbatch ", "torchrun "))]
SWEEPS = [line for line in LINES if line.startswith("gantrain -m ")]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sbatch"))

STAND_INS = {
    # options up to the script are sbatch's own
    "sbatch": 'while [ "${1#--}" != "$1" ]; do shift; done; exec bash "$@"',
    "srun": 'exec "$@"',
    "torchrun": 'while [ "$1" != gantrain ]; do shift; done; exec "$@"',
    "scontrol": "echo node1; echo node2",
    "gantrain": 'printf "%s\\n" "$@"',
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Job 12 on two nodes of two GPUs, seen from its batch script."""
    for name, text in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "2",
    }


def handed_on(command: list[str], environment: dict[str, str]) -> list[str]:
    """The arguments that reach gantrain."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_document_has_commands_for_every_file() -> None:
    assert len(JOBS) >= 4 and len(SWEEPS) >= 2
    for script in SCRIPTS:
        assert f"scripts/{script.name}" in TEXT


@pytest.mark.parametrize("line", JOBS)
def test_what_a_job_is_to_run_composes(
    line: str, environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = handed_on(shlex.split(line), environment)
    assert any(text.startswith("name=") for text in arguments)
    config = gantrain(tmp_path, *arguments, "--cfg", "job")
    for text in arguments:
        key, value = text.rsplit(".", 1)[-1].split("=")
        if key not in ("model", "data"):  # groups: the file's content is shown, not its name
            assert re.search(rf"\b{key}: {re.escape(value)}\b", config), text


@pytest.mark.parametrize("line", SWEEPS)
@pytest.mark.parametrize("wrong", [[], ["train.kmig=1"]])
def test_the_sweeps_are_checked_and_then_look_for_slurm(
    line: str, wrong: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("submitit", reason="launcher=slurm needs pip install 'gantrain[slurm]'")
    (tmp_path / "squeue").write_text("#!/bin/bash\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    path = {"PATH": environment["PATH"]}
    output = gantrain(tmp_path, *shlex.split(line)[1:], *wrong, code=2, environment=path)
    assert ("squeue does not answer" in output) == (not wrong), output
    assert ("train.kmig" in output) == bool(wrong)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_files_name_the_run_only_where_nobody_did(
    script: Path, environment: dict[str, str]
) -> None:
    def run(*arguments: str) -> list[str]:
        return handed_on(["bash", str(script), *arguments], environment)

    assert run("data=shapes", "a='two words'") == ["data=shapes", "a='two words'", "name=slurm-12"]
    assert run("data=shapes", "name=mine") == ["data=shapes", "name=mine"]
    assert run("resume=runs/mine") == ["resume=runs/mine"]
    assert run() == ["name=slurm-12"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_files_ask_for_what_going_on_needs(script: Path) -> None:
    options = re.findall(r"^#SBATCH (\S+)", script.read_text(), flags=re.MULTILINE)
    assert {"--signal=USR1@120", "--requeue", "--open-mode=append"} <= set(options)
