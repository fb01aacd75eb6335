"""Which section the files of a tissue prediction are of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike, same_file


def refuse_other_prediction(target: Path, path: PathLike, formats: Iterable[str]) -> None:
    """Refuses to replace the prediction of another section.

    Args:
        target: Output files, without suffix.
        path: The section's file.
        formats: Their suffixes: ``npz``, ``png``, ``h5ad``.

    Raises:
        FileError: One of the files is of another section, or does not tell its section.
    """
    for name in formats:
        file = target.with_name(f"{target.name}.{name}")
        if not file.exists():
            continue
        source = _source(file, name)
        if source is None or not same_file(source, path):
            what = f"holds the prediction of {source}" if source else "is no prediction that tells its section"
            raise FileError(f"{file}: {what}; choose another folder or pass --overwrite")


def _source(file: Path, name: str) -> str | None:
    """The section of a prediction that was written; None if the file does not tell."""
    try:
        if name == "npz":
            with np.load(file) as found:
                return str(found["source"])
        if name == "png":
            with Image.open(file) as picture:
                return picture.info.get("Source")
        import h5py

        with h5py.File(file) as table:
            return str(table["uns/ionmorphnet/source"][()].decode())
    except (OSError, ValueError, KeyError, ImportError):
        return None
