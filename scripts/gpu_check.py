"""Everything that only a CUDA card can show, in one command and within a budget of minutes.

python scripts/gpu_check.py [--device cuda|cpu] [--quick] [--minutes 11] [--out DIR] [--pack PACK]

Needs no network and nothing installed but gantrain's dependencies and pytest: it runs from the
source tree. The parts run in order of value, each in a process of its own with a limit of its own;
one that fails, crashes or hangs does not stop the next. DIR gets result.jsonl (a JSON object a
measured line, as it comes), table.md (after every part), log.txt (what the parts printed) and a few
pictures. The exit code is 0 if every part ran and no check failed, else 1. Ctrl-C and SIGTERM keep
what is there.

--device cpu --quick rehearses all of it with tiny networks; its figures mean nothing.
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

PARTS = [  # in order of value; seconds on a card
    Part("roofs", 12, "roofs"),
    Part("tests", 60, "suite"),
    Part("waits", 30, "waits"),
    Part("fir", 35, "fir"),
    Part("stylegan", 150, "stylegan"),
    Part("cyclegan", 80, "cyclegan"),
    Part("loop", 30, "loop"),
    Part("resume", 45, "resume"),
    Part("memory", 35, "memory"),
    Part("loader", 35, "loader"),
    Part("evaluation", 25, "evaluation"),
    Part("training", 60, "training"),
]


def facts() -> dict[str, str]:
    """What the head of the table says; the first part adds what torch knows of the card."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "command": shlex.join(["python", *sys.argv]),
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty") or "unknown",
        "Python": python(),
        "torch": _version("torch"),
        "card and driver": _output(
            "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"
        )
        or "no nvidia-smi here",
    }


def has_cuda() -> bool:
    """Whether there is a card. Where nvidia-smi knows of none torch is asked, in another process,
    since importing it takes seconds."""
    if _output("nvidia-smi", "-L"):
        return True
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


def _output(*command: str) -> str:
    """The first line a program prints; "" if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def chosen(parts: list[Part], only: str | None, skip: str | None) -> list[Part]:
    """Those of --only, without those of --skip. Exits with a sentence about unknown names."""
    names = {part.name for part in parts}
    wanted, unwanted = ({*filter(None, (text or "").split(","))} for text in (only, skip))
    if odd := sorted((wanted | unwanted) - names):
        raise SystemExit(
            f"Error: there is no part {', '.join(odd)}; the parts are {', '.join(sorted(names))}."
        )
    return [
        part for part in parts if part.name not in unwanted and (part.name in wanted or not wanted)
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny networks and sizes")
    parser.add_argument("--minutes", type=float, default=11.0, help="budget of all parts together")
    parser.add_argument("--out", type=Path, help="default: runs/gpu_check-DATE-TIME")
    parser.add_argument("--pack", help="pictures to train on: a folder or a .zip; default: shapes")
    parser.add_argument("--only", metavar="PART,PART")
    parser.add_argument("--skip", metavar="PART,PART")
    parser.add_argument("--extra", type=Path, help=argparse.SUPPRESS)  # a folder of more parts
    return parser.parse_args()


def main() -> int:
    args = arguments()
    out: Path = args.out or Path("runs", time.strftime("gpu_check-%Y%m%d-%H%M%S"))
    out = out.absolute()
    if (out / "result.jsonl").exists():
        raise SystemExit(f"Error: {out} holds a result already: name another folder with --out.")
    if args.pack and not Path(args.pack).exists():
        raise SystemExit(f"Error: --pack {args.pack} is not there.")
    if args.device == "cuda" and not has_cuda():
        raise SystemExit(
            "Error: torch finds no CUDA device. --device cpu --quick is a rehearsal without one."
        )
    out.mkdir(parents=True, exist_ok=True)
    extra = sorted(args.extra.absolute().glob("*.py")) if args.extra else []
    parts = [*(Part(file.stem, 4, str(file)) for file in extra), *PARTS]
    pack = str(Path(args.pack).absolute()) if args.pack else None
    order = Order(args.device, args.quick, args.minutes, out, pack)
    runner = Runner(order, chosen(parts, args.only, args.skip), facts())
    good = runner.run()
    print(f"\n{summary(read(out / 'result.jsonl'))}\n\nAll figures: {out / 'table.md'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
