"""h5ad files, written so that a full disk raises an ordinary error."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ionmorphnet.base.files import atomic_path

if TYPE_CHECKING:
    import anndata


def write_h5ad(table: anndata.AnnData, path: Path) -> None:
    """Writes the table as ``AnnData.write_h5ad`` does, but assembles the file in memory first.

    If the disk fills up while HDF5 writes, HDF5 prints to stderr, fails again on closing and may crash the process.

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
