"""A lock on an open file, by the means of each system.

It belongs to the open file: the system releases it when that is closed, or its process ends.
"""

import sys

if sys.platform == "win32":
    import msvcrt
    import os

    HAS_SHARED = False  # whether several processes can share a lock
    # A locked byte cannot be read by others, so it is one that the file never reaches.
    _BYTE = 2**30

    def try_lock(descriptor: int, shared: bool = False) -> bool | None:
        """Return True if locked, False if another process holds the lock, None without locks.

        Args:
            descriptor: the open file.
            shared: whether others may share the lock, where the system has such locks.
        """
        try:
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return None
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    def unlock(descriptor: int) -> None:
        """Release a lock at once; the system takes its time when the file is closed."""
        try:
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        except OSError:  # it was not locked
            pass

else:
    import fcntl

    HAS_SHARED = True

    def try_lock(descriptor: int, shared: bool = False) -> bool | None:
        """Return True if locked, False if another process holds the lock, None without locks."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def unlock(descriptor: int) -> None:
        """Do nothing: closing the file releases its lock at once."""
