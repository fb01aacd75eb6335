"""A lock on a file or folder that is replaced as a whole, held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import weakref
from pathlib import Path

from ionmorphnet.base.deferred_signals import DeferredSignals
from ionmorphnet.base.errors import FileError

# The file system cannot lock.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_LONGEST_NOTE = 8192


class LockedError(FileError):
    """Another process, or another part of this one, holds the lock.

    Attributes:
        note: What the holder left beside its name.
    """

    def __init__(self, message: str, note: str) -> None:
        """Keeps the note of the holder."""
        super().__init__(message)
        self.note = note


class FileLock:
    """An exclusive lock on ``<path>.lock``.

    The file itself cannot carry the lock, because every save replaces it. The system releases the lock when the process
    ends, however it ends; a lock file left behind by a crash is therefore taken over. Ctrl-C while the lock is taken
    leaves no lock file, and a lock that is never released goes with the object.
    """

    def __init__(
        self,
        path: Path,
        *,
        shown: Path | None = None,
        busy: str = "another session is using it",
        remedy: str = "finish that one first",
        note: str = "",
        required: bool = True,
    ) -> None:
        """Take the lock.

        Args:
            path: The file to protect; it need not exist. Links are followed, so that two names of one file share a
                lock.
            shown: What errors name instead of ``path``.
            busy: What the holder of the lock does; the middle of the error.
            remedy: The end of the error.
            note: Kept in the lock file for others that find it held, see :class:`LockedError`.
            required: False: go on without a lock where the file system has none.

        Raises:
            LockedError: Another process holds the lock.
            FileError: The lock file cannot be made.
        """
        self._shown = path if shown is None else shown
        self._busy, self._remedy, self._note, self._required = busy, remedy, note, required
        target = path.resolve()
        self.path = target.with_name(target.name + ".lock")
        if not target.parent.is_dir():
            raise FileError(f"{self._shown}: the folder {target.parent} does not exist")
        # The descriptor, while the lock is held.
        self._held: list[int] = []
        # Whether the file system keeps others out.
        self.exclusive = True
        self._at_the_latest = weakref.finalize(self, _release, self._held, self.path, os.getpid())
        try:
            with DeferredSignals():
                self._take()
        except BaseException:
            self.release()
            raise

    def _take(self) -> None:
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise FileError(f"{self._shown}: cannot be written: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place(descriptor):
                    break
            except OSError as error:
                if not self._required and error.errno in _NO_LOCKS:
                    self.exclusive = False
                    break
                text = os.read(descriptor, _LONGEST_NOTE).decode("utf-8", "surrogateescape")
                os.close(descriptor)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise FileError(f"{self._shown}: cannot be locked: {error.strerror}") from None
                holder, _, note = text.partition("\n")
                message = f"{self._shown}: {self._busy} ({holder.strip() or 'unknown process'}); {self._remedy}"
                raise LockedError(message, note.strip("\n")) from None
            os.close(descriptor)  # its holder removed the file just before we locked it
        self._held.append(descriptor)
        with contextlib.suppress(OSError):  # on a full disk the holder has no name
            os.ftruncate(descriptor, 0)
            text = f"process {os.getpid()} on {socket.gethostname()}\n{self._note}\n"
            os.write(descriptor, text.encode("utf-8", "surrogateescape")[:_LONGEST_NOTE])

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    @property
    def held(self) -> bool:
        """Whether the lock has not been released yet."""
        return bool(self._held)

    def release(self) -> None:
        """Remove the lock file and release the lock; a second call does nothing."""
        _release(self._held, self.path, os.getpid())
        self._at_the_latest.detach()


def _release(held: list[int], path: Path, process: int) -> None:
    if process != os.getpid():  # a forked process inherits the object, not the lock
        return
    with DeferredSignals():
        while held:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # before the release: nobody may lock a file that is about to go
            os.close(held.pop())
