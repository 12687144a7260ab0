"""Text streams whose reader may go away."""

import errno
import io
import os
from typing import Any, TextIO


def escape_unprintable(stream: TextIO) -> None:
    r"""Let a stream print what its encoding lacks as an escape such as \u2192, not raise an error.

    Windows encodes what goes to a file or a pipe in the code page of its language.

    Args:
        stream: such as `sys.stdout`; one that is not of a file is left alone.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


class DetachableStream:
    """A text stream that survives the loss of its reader, and the work with it.

    The reader is a terminal that is closed, or a pipe that ends (`| head`, Ctrl-C). Later text is
    discarded.

    Args:
        stream: the stream to write to, such as `sys.stdout`.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.fault: OSError | None = None  # what was not the loss of a reader, such as a full disk

    def write(self, text: str) -> int:
        """Write text, or discard it if the reader is lost."""
        try:
            return self.stream.write(text)
        except OSError as error:
            self._detach(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or discard its buffer if the reader is lost."""
        try:
            self.stream.flush()
        except OSError as error:
            self._detach(error)

    def __getattr__(self, name: str) -> Any:
        """Return everything else from the stream, such as `isatty`."""
        return getattr(self.stream, name)

    def _detach(self, error: OSError) -> None:
        if error.errno not in (errno.EPIPE, errno.EIO):
            self.fault = error
        # The stream's buffer still holds the text, and flushing it at exit would fail again.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.stream.fileno())
        os.close(devnull)
