"""Class masks and other arrays in NPY and NPZ files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import FileError


def read_arrays(path: Path, choose: Callable[[list[str]], Sequence[str]] = list) -> dict[str, npt.NDArray[Any]]:
    """Reads arrays of numbers.

    Args:
        path: NPZ, or NPY, whose array is named after the file's stem.
        choose: Selects the names to read from those in the file; by default all are read.

    Returns:
        The arrays by name; all hold numbers or bool.

    Raises:
        FileError: The file cannot be read, or an array does not hold numbers.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {path.stem: loaded}
        else:
            with loaded:
                arrays = {name: loaded[name] for name in choose(loaded.files)}
    except FileError:  # an OSError too, with a better message
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable NPZ or NPY file'}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise FileError(f"{path}: array '{name}' must hold numbers, not {array.dtype}")
    return arrays


def read_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Reads a class mask (H, W).

    Args:
        path: NPY; or NPZ with an array ``regions`` or a single array.
        shape: (H, W) of the section.

    Raises:
        FileError: The file cannot be read, the array does not hold numbers, or the shape differs.
    """

    def mask_name(names: list[str]) -> Sequence[str]:
        if "regions" not in names and len(names) != 1:
            raise FileError(f"{path}: contains {', '.join(names) or 'no array'}; expected 'regions' or a single array")
        return ["regions"] if "regions" in names else names

    (mask,) = read_arrays(path, mask_name).values()
    require_shape(path, mask, shape)
    return mask


def require_shape(path: Path, mask: npt.NDArray[Any], shape: tuple[int, int]) -> None:
    """Checks that a mask fits its section.

    Raises:
        FileError: The shapes differ.
    """
    if mask.shape != shape:
        raise FileError(f"{path}: the mask has shape {mask.shape}, but the section {shape}")
