"""sbatch, srun and squeue for machines without Slurm: jobs are processes that start at once."""

import os
import sys
from pathlib import Path

SBATCH = """
import itertools, json, os, re, subprocess, sys
home = os.environ["STAND_IN"]
text = open(sys.argv[-1]).read()
if "--partition=nowhere" in text:
    sys.exit("sbatch: error: invalid partition specified: nowhere")
number = next(n for n in itertools.count(1) if not os.path.exists(f"{home}/{n}.sh"))
script = f"{home}/{number}.sh"
open(script, "w").write(text)
array = re.search(r"--array=0-([0-9]+)", text)
for task in range(int(array[1]) + 1) if array else [None]:
    job = str(number) if task is None else f"{number}_{task}"
    env = os.environ | {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
    if task is not None:
        env |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
    process = subprocess.Popen(
        ["bash", script], env=env, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=open(f"{home}/{job}.out", "w"), stderr=subprocess.STDOUT,
    )
    open(f"{home}/{job}.job", "w").write(str(process.pid))
print("Submitted batch job", number)
"""
SRUN = """
import os, sys
words = sys.argv[1:]
words = words[words.index(sys.executable):]
os.execv(words[0], words)
"""
SQUEUE = """
import glob, os, pathlib
for file in glob.glob(os.environ["STAND_IN"] + "/*.job"):
    pid = pathlib.Path(file).read_text()
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        continue
    if state != "Z":
        print(pathlib.Path(file).stem + "|RUNNING")
"""


def install(folder: Path) -> dict[str, str]:
    """The commands in `folder`; returns the environment in which they are found."""
    folder.mkdir()
    for name, source in (("sbatch", SBATCH), ("srun", SRUN), ("squeue", SQUEUE)):
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{source}")
        file.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "STAND_IN": str(folder)}
