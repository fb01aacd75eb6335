"""A lock on a file or folder that is replaced as a whole, held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

from ionmorphnet.base.errors import FileError

# The file system cannot lock.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class FileLock:
    """An exclusive lock on ``<path>.lock``.

    The file itself cannot carry the lock, because every save replaces it. The system releases the lock when the process
    ends, however it ends; a lock file left behind by a crash is therefore taken over.
    """

    def __init__(
        self,
        path: Path,
        *,
        shown: Path | None = None,
        busy: str = "another session is using it",
        remedy: str = "finish that one first",
        required: bool = True,
    ) -> None:
        """Take the lock.

        Args:
            path: The file to protect; it need not exist. Links are followed, so that two names of one file share a
                lock.
            shown: What errors name instead of ``path``.
            busy: What the holder of the lock does; the middle of the error.
            remedy: The end of the error.
            required: False: go on without a lock where the file system has none.

        Raises:
            FileError: Another process holds the lock, or the lock file cannot be made.
        """
        shown = path if shown is None else shown
        target = path.resolve()
        self.path = target.with_name(target.name + ".lock")
        if not target.parent.is_dir():
            raise FileError(f"{shown}: the folder {target.parent} does not exist")
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise FileError(f"{shown}: cannot be written: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place(descriptor):
                    break
            except OSError as error:
                if not required and error.errno in _NO_LOCKS:
                    break
                holder = os.read(descriptor, 200).decode("utf-8", "replace").strip()
                os.close(descriptor)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise FileError(f"{shown}: cannot be locked: {error.strerror}") from None
                raise FileError(f"{shown}: {busy} ({holder or 'unknown process'}); {remedy}") from None
            os.close(descriptor)  # its holder removed the file just before we locked it
        with contextlib.suppress(OSError):  # on a full disk the holder has no name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor: int | None = descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    @property
    def held(self) -> bool:
        """Whether the lock has not been released yet."""
        return self._descriptor is not None

    def release(self) -> None:
        """Remove the lock file and release the lock; a second call does nothing."""
        if self._descriptor is None:
            return
        self.path.unlink(missing_ok=True)  # before the release: nobody may lock a file that is about to go
        os.close(self._descriptor)
        self._descriptor = None
