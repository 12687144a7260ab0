"""A studio as a user starts it, in a process of its own."""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.helpers.command_line import ENVIRONMENT


class Studio:
    """A running studio, which may live longer than a test.

    Attributes:
        root: the address without the path.
        path: that of the page.
        folder: where its temporary files are.
    """

    def __init__(self, home: Path, *words: str) -> None:
        self.folder = home / "tmp"
        self.folder.mkdir(exist_ok=True)
        fixed = ("open=false", "port=0", "device=cpu")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gantrain", "studio", *fixed, *words],
            cwd=home,
            env={**ENVIRONMENT, "TMPDIR": str(self.folder)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        said = ""
        while not (found := re.search(r"The page is at http://[^:]+:(\d+)(/\S*)", said)):
            line = self.process.stdout.readline()
            assert line, said
            said += line
        self.root, self.path = f"http://127.0.0.1:{found[1]}", found[2]

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and content of the answer."""
        request = urllib.request.Request(f"{self.root}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def end(self, how: signal.Signals, code: int) -> str:
        """What it still says; it leaves nothing behind."""
        self.process.send_signal(how)
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == code, said
        left = [file.name for file in self.folder.iterdir()]
        assert not [name for name in left if not name.startswith("torchinductor_")], left  # torch's
        return said
