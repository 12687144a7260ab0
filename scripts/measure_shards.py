"""Measure the start on tar archives with a million images: the first one, and a later one.

python scripts/measure_shards.py [--images 1000000] [--shards 10] [--folder DIR] [--no-labels]

Writes archives of images of 100 bytes (which nothing decodes) and their .cls files, then composes a
StyleGAN on them in a fresh process, as far as its data set with all files. Prints seconds, and the
most memory of the process beyond what it had after its imports.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

BYTES = 100
CLASSES = 1000


def write(folder: Path, images: int, shards: int, labels: bool) -> None:
    """Write the archives, WebDataset's way."""
    for number in range(shards):
        with (folder / f"train-{number:03d}.tar").open("wb") as file:
            for i in range(number * images // shards, (number + 1) * images // shards):
                _add(file, f"{i:08d}.jpg", bytes(BYTES))
                if labels:
                    _add(file, f"{i:08d}.cls", str(i % CLASSES).encode())
            file.write(bytes(2 * tarfile.BLOCKSIZE))


def _add(file, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    file.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))


def start(root: str, labels: bool) -> dict[str, float]:
    """Compose, make the data set, and list its files."""
    import resource

    import gantrain
    from gantrain.build import make_data
    from gantrain.data.base import FileDataset

    def memory() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    settings = ["model=stylegan", "data=folder", f"data.root={root}", f"data.labels={labels}"]
    gantrain.compose([*settings, "data.root=."])  # imports what composing needs
    before, begin, used = memory(), time.perf_counter(), time.process_time()
    data = make_data(gantrain.compose(settings))
    assert isinstance(data, FileDataset)
    files = data.sources(print)["train"].files
    return {
        "images": len(files),
        "seconds": round(time.perf_counter() - begin, 1),
        "of which CPU": round(time.process_time() - used, 1),
        "MB beyond imports": round(memory() - before),
    }


def main() -> None:
    """Measure, and print a line for each start."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--no-labels", dest="labels", action="store_false")
    parser.add_argument("--start", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        print(json.dumps(start(options.start, options.labels)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        (Path(folder) / "shards").mkdir()
        write(Path(folder) / "shards", options.images, options.shards, options.labels)
        environment = {**os.environ, "GANTRAIN_CACHE": f"{folder}/cache"}
        command = [sys.executable, __file__, f"--start={folder}/shards"]
        command += [] if options.labels else ["--no-labels"]
        for name in ("first start", "second start"):
            out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
            print(name, out.stdout.decode().strip(), flush=True)


if __name__ == "__main__":
    main()
