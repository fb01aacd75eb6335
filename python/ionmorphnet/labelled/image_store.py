"""Storage of images for training: in memory up to a limit, beyond it in a temporary file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import FileError


@dataclass(frozen=True)
class _OnDisk:
    offset: int
    shape: tuple[int, int]


class ImageStore:
    """Images of any size, added once and read in any order.

    Input files are read once, when a source is created, so damaged files cannot interrupt a training. Worker processes
    share the images in the temporary file and, on systems that fork, those in memory. The file is deleted with the
    process that created it.

    Attributes:
        digests: Hash of shape and values of each image, which identifies copies.
    """

    def __init__(self, memory_limit: int) -> None:
        """Hold up to ``memory_limit`` bytes in memory; the file is created for the first image that does not fit."""
        self.memory_limit = memory_limit
        self.memory_bytes = 0
        self.disk_bytes = 0
        self.digests: list[str] = []
        self._images: list[NDArray[np.float32] | _OnDisk] = []
        self._path = ""

    def add(self, image: NDArray[np.float32]) -> int:
        """Store a copy of an image, float32 (H, W), and return its number.

        Raises:
            FileError: The temporary file cannot be written.
        """
        copy = np.array(image, dtype=np.float32, order="C")
        digest = hashlib.blake2b(repr(copy.shape).encode(), digest_size=16)
        digest.update(copy.data)
        self.digests.append(digest.hexdigest())
        if self.memory_bytes + copy.nbytes <= self.memory_limit:
            self.memory_bytes += copy.nbytes
            self._images.append(copy)
        else:
            self._spill(copy)
        return len(self._images) - 1

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, number: int) -> NDArray[np.float32]:
        """Image ``number``, float32 (H, W), read-only.

        Raises:
            FileError: The temporary file cannot be read.
        """
        kept = self._images[number]
        if not isinstance(kept, _OnDisk):
            shown = kept.view()
            shown.setflags(write=False)
            return shown
        height, width = kept.shape
        try:
            values = np.fromfile(self._path, dtype=np.float32, count=height * width, offset=kept.offset)
        except OSError as error:
            raise FileError(f"{self._path}: the temporary images cannot be read: {error.strerror}") from error
        image = values.reshape(height, width)
        image.setflags(write=False)
        return image

    def _spill(self, image: NDArray[np.float32]) -> None:
        try:
            if not self._path:
                handle, self._path = tempfile.mkstemp(prefix="ionmorphnet-images-")
                os.close(handle)
                weakref.finalize(self, _remove, self._path, os.getpid())
            with open(self._path, "ab") as stream:
                stream.write(image.tobytes())
        except OSError as error:
            where = self._path or tempfile.gettempdir()
            raise FileError(f"{where}: images beyond the memory limit cannot be written: {error.strerror}") from error
        self._images.append(_OnDisk(self.disk_bytes, (image.shape[0], image.shape[1])))
        self.disk_bytes += image.nbytes

    def __repr__(self) -> str:
        """Show the number of images and where they are stored."""
        megabyte = 1e-6
        return (
            f"ImageStore({len(self)} images, {self.memory_bytes * megabyte:.0f} MB in memory, "
            f"{self.disk_bytes * megabyte:.0f} MB in a file)"
        )


def _remove(path: str, owner: int) -> None:
    # A forked worker inherits the finalizer, but must not delete the file.
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            os.unlink(path)
