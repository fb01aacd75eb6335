"""h5ad files, written so that a full disk is an error like any other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ionmorphnet.base.files import atomic_path

if TYPE_CHECKING:
    import anndata


def write_h5ad(table: anndata.AnnData, path: Path) -> None:
    """Writes the table, as its own ``write_h5ad`` does, by way of a copy in memory.

    HDF5 that writes to a disk that fills up prints what went wrong, fails once more when it closes the file, and can
    take the process along.

    Raises:
        FileError: The file cannot be written.
    """
    import h5py
    from anndata.io import write_elem

    table.strings_to_categoricals()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", table)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
