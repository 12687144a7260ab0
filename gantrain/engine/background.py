"""Work beside the training: files are written in a thread while the next steps run."""

import threading
from collections import deque
from collections.abc import Callable

Work = Callable[[], object]


class Background:
    """Does works one after the other in a thread, in the order in which they were submitted.

    The thread ends with its last work. So there is none when data workers are forked while nothing
    is to be done, and nothing to close. Python's exit waits for it, so no work is cut short but by
    a kill. All methods are for the thread that trains.

    Args:
        limit: how many works may be unfinished, the running one included.
    """

    def __init__(self, limit: int = 2) -> None:
        self._limit = limit
        self._works: deque[Work] = deque()  # the first one is running
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def submit(self, work: Work) -> None:
        """Have `work()` done after those submitted before; wait while `limit` are unfinished.

        Raises:
            BaseException: what an earlier work raised, see `check`.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._works) < self._limit)
            self.check()
            if not self._works:
                # It blocks until `_changed` is released. Not a daemon, which would be cut short.
                threading.Thread(target=self._run, name="background", daemon=False).start()
            self._works.append(work)

    def check(self) -> None:
        """Raise what a work has raised. It stays: what was submitted after it was not done."""
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Wait until all works are done, and `check` that they were."""
        self.finish()
        self.check()

    def finish(self) -> None:
        """Wait until no work is left, even if one failed: for a training that ends by an error."""
        with self._changed:
            self._changed.wait_for(lambda: not self._works)

    def _run(self) -> None:
        work = self._next(after=None)
        while work:
            try:
                work()
            except BaseException as error:
                self._error = error
            work = self._next(after=work)

    def _next(self, after: Work | None) -> Work | None:
        """Return the next work, or None if this thread ends."""
        # One step: a thread that is about to end must not be taken for one that goes on.
        with self._changed:
            if after:
                self._works.popleft()
            if self._error is not None:
                self._works.clear()
            self._changed.notify_all()
            return self._works[0] if self._works else None
