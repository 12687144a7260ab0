"""Work beside the training: files are written in a thread while the next steps run."""

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]


class Background:
    """Runs jobs one after the other in a thread, in the order in which they were submitted.

    The thread ends with its last job, so there is nothing to close, and data workers that are
    forked while it is idle inherit no lock. Python's exit waits for it: only a kill cuts a job
    short. All methods are for the thread that trains.

    Args:
        limit: how many jobs may be unfinished, the running one included.
    """

    def __init__(self, limit: int = 2) -> None:
        self._limit = limit
        self._jobs: deque[Job] = deque()  # the first one is running
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def submit(self, job: Job) -> None:
        """Run `job()` after those submitted before; wait here while `limit` are unfinished.

        Raises:
            BaseException: what an earlier job raised, see `check`.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._jobs) < self._limit)
            self.check()
            if not self._jobs:
                # It blocks until `_changed` is released. Not a daemon, which would be cut short.
                threading.Thread(target=self._run, name="background", daemon=False).start()
            self._jobs.append(job)

    def check(self) -> None:
        """Raise what the first job that failed raised, every time."""
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Wait until all jobs are done, and `check` that they were."""
        self.finish()
        self.check()

    def finish(self) -> None:
        """Wait until no job is left, even if one failed: for a training that ends by an error."""
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs)

    def _run(self) -> None:
        job = self._next(after=None)
        while job:
            try:
                job()
            except BaseException as error:
                # The jobs after it are still done: a checkpoint must not be lost for a grid.
                self._error = self._error or error
            job = self._next(after=job)

    def _next(self, after: Job | None) -> Job | None:
        """Return the next job, or None if this thread ends."""
        # One step: a thread that is about to end must not be taken for one that goes on.
        with self._changed:
            if after:
                self._jobs.popleft()
            self._changed.notify_all()
            return self._jobs[0] if self._jobs else None
