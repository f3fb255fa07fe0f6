"""One job at a time in an output folder: a lock that ends with the processes that hold it."""

from __future__ import annotations

import errno
import os
import socket
import time
import warnings
from contextlib import suppress
from pathlib import Path

from ..errors import UserError
from .explaining import explained

try:
    import fcntl
except ImportError:  # Windows: two jobs in one folder go unnoticed
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderClaim"]

#: Seconds that a second job waits for the last processes of a killed one to be gone.
PATIENCE = 5.0
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


class FolderClaim:
    """The lock of a job on its output folder, which all its processes share.

    The first process of a job takes the lock for itself alone, which fails while any process of
    another job is alive, and then shares it with those of its own job. The system releases it when
    a process ends, however it ends, so a killed job blocks nobody.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / ".lock"
        self._handle: int | None = None

    def take(self) -> None:
        """Claim the folder; called by one process, before the others :meth:`join`.

        Raises:
            UserError: Another job is at work in the folder, or it cannot be written to.
        """
        if fcntl is None:
            return
        self.release()
        with explained(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + PATIENCE
        while not self._lock(fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise UserError(
                    f"{self.path.parent} is in use by another job ({self._owner()}): wait for its end, "
                    "or pass another --output_dir."
                )
            time.sleep(0.1)
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.write(self._handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            fcntl.flock(self._handle, fcntl.LOCK_SH)

    def join(self) -> None:
        """Share the claim that another process of the same job has taken.

        Raises:
            UserError: A second job was faster.
        """
        if fcntl is None or self._handle is not None or not self.path.exists():
            return
        if not self._lock(fcntl.LOCK_SH):
            raise UserError(f"{self.path.parent} is in use by another job ({self._owner()}).")

    def release(self) -> None:
        """Give the folder back; the last process of the job takes the lock's file away."""
        if self._handle is None:
            return
        with suppress(OSError):  # fails where another process still holds it
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None

    def _lock(self, kind: int) -> bool:
        with explained(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino != self.path.stat().st_ino:  # its last owner removed it
                raise FileNotFoundError
        except (BlockingIOError, FileNotFoundError):
            os.close(handle)
            return False
        except OSError as error:
            os.close(handle)
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"{self.path.parent}: this file system has no locks, so see to it yourself that no two "
                "jobs write here at once.",
                stacklevel=2,
            )
            self.path.unlink(missing_ok=True)
            return True
        self._handle = handle
        inode = os.fstat(handle).st_ino
        # a child, such as a data loader's worker, must not keep the claim of a killed parent
        os.register_at_fork(after_in_child=lambda: _close(handle, inode))
        return True

    def _owner(self) -> str:
        try:
            return self.path.read_text() or "unknown"
        except OSError:
            return "unknown"


def _close(handle: int, inode: int) -> None:
    """In a forked child: close the copy of a handle, if it is still the lock's."""
    try:
        if os.fstat(handle).st_ino == inode:
            os.close(handle)
    except OSError:
        pass
