"""Tar archives for the tests, by the library's tarfile: what is read must equal what it reads."""

import io
import tarfile
from pathlib import Path


def write_tar(path: Path, files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    """Files of these paths and contents, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as target:
        for name, content in files.items():
            add_file(target, name, content)
    return path


def add_file(target: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    target.addfile(info, io.BytesIO(content))


def pack_folder(root: Path, *archives: Path, labels: dict[str, str] | None = None) -> None:
    """All files below `root` in turn into several archives; labels: text of the .cls by path."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    for number, archive in enumerate(archives):
        with tarfile.open(archive, "w") as target:
            for path in files[number :: len(archives)]:
                name = path.relative_to(root).as_posix()
                add_file(target, name, path.read_bytes())
                if labels:
                    add_file(target, f"{name.rpartition('.')[0]}.cls", labels[name].encode())
