"""Check everything that needs a CUDA GPU, in one command and within a budget of minutes.

python scripts/gpu_check.py [--device cuda|cpu] [--quick] [--minutes 11] [--out DIR] [--pack PACK]

It runs from the source tree and needs no internet, only gantrain's dependencies and pytest. The
parts run in order of value, each in its own process with its own time limit; a part that fails,
crashes or hangs does not stop the next one. DIR gets result.jsonl (a JSON object per result, as it
comes), table.md (updated after every part), log.txt (the output of the parts) and a few images. The
exit code is 0 if every part ran and no check failed, else 1. Ctrl-C and SIGTERM keep the results so
far.

--device cpu --quick is a rehearsal with tiny networks; its figures are meaningless.
"""

import argparse
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from gpu_parts.runner import ROOT, Order, Part, Runner, python
from gpu_parts.table import summary
from gpu_parts.task import read

PARTS = [  # in order of value; seconds on a GPU
    Part("roofs", 20, "roofs"),
    Part("tests", 110, "suite"),
    Part("waits", 40, "waits"),
    Part("fir", 50, "fir"),
    Part("stylegan", 240, "stylegan"),
    Part("cyclegan", 120, "cyclegan"),
    Part("models", 110, "models"),
    Part("loop", 30, "loop"),
    Part("resume", 45, "resume"),
    Part("memory", 35, "memory"),
    Part("loader", 35, "loader"),
    Part("evaluation", 25, "evaluation"),
    Part("training", 60, "training"),
]


def facts() -> dict[str, str]:
    """Return the facts for the head of the table. The first part adds those about the GPU."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "command": shlex.join(["python", *sys.argv]),
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty") or "unknown",
        "Python": python(),
        "torch": _version("torch"),
        "card and driver": _output(
            "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"
        )
        or "nvidia-smi is missing",
    }


def has_cuda() -> bool:
    """Return whether there is a CUDA GPU.

    If nvidia-smi does not list one, torch is asked, in another process because importing it takes
    seconds.
    """
    if _output("nvidia-smi", "-L"):
        return True
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


def _output(*command: str) -> str:
    """Return the first line that a program prints; "" if it is missing or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip().partition("\n")[0] if result.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def select_parts(parts: list[Part], only: str | None, skip: str | None) -> list[Part]:
    """Return the parts of --only without those of --skip.

    Raises:
        SystemExit: a name is unknown.
    """
    names = {part.name for part in parts}
    included, excluded = ({*filter(None, (text or "").split(","))} for text in (only, skip))
    if unknown := sorted((included | excluded) - names):
        raise SystemExit(
            f"Error: there is no part {', '.join(unknown)}; the parts are "
            f"{', '.join(sorted(names))}."
        )
    return [
        part
        for part in parts
        if part.name not in excluded and (part.name in included or not included)
    ]


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny networks and sizes")
    parser.add_argument("--minutes", type=float, default=11.0, help="budget of all parts")
    parser.add_argument("--out", type=Path, help="default: runs/gpu_check-DATE-TIME")
    parser.add_argument("--pack", help="images to train on: a folder or a .zip; default: shapes")
    parser.add_argument("--only", metavar="PART,PART")
    parser.add_argument("--skip", metavar="PART,PART")
    parser.add_argument("--extra", type=Path, help=argparse.SUPPRESS)  # a folder of further parts
    return parser.parse_args()


def main() -> int:
    """Run the parts, and return the exit code."""
    args = parse_arguments()
    out: Path = args.out or Path("runs", time.strftime("gpu_check-%Y%m%d-%H%M%S"))
    out = out.absolute()
    if (out / "result.jsonl").exists():
        raise SystemExit(f"Error: {out} already holds a result: give another folder with --out.")
    if args.pack and not Path(args.pack).exists():
        raise SystemExit(f"Error: --pack {args.pack} does not exist.")
    if args.device == "cuda" and not has_cuda():
        raise SystemExit(
            "Error: torch finds no CUDA device. --device cpu --quick is a rehearsal without one."
        )
    out.mkdir(parents=True, exist_ok=True)
    extra = sorted(args.extra.absolute().glob("*.py")) if args.extra else []
    parts = [*(Part(file.stem, 4, str(file)) for file in extra), *PARTS]
    pack = str(Path(args.pack).absolute()) if args.pack else None
    order = Order(args.device, args.quick, args.minutes, out, pack)
    runner = Runner(order, select_parts(parts, args.only, args.skip), facts())
    passed = runner.run()
    print(f"\n{summary(read(out / 'result.jsonl'))}\n\nAll figures: {out / 'table.md'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
