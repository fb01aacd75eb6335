"""Feature matrices: pixels x consensus channels in Zarr stores with AnnData's layout, written in bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError, UnavailableError
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.units import format_bytes, parse_bytes
from ionmorphnet.cohort.carried import free_name
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.literals import Normalize

if TYPE_CHECKING:
    import zarr

# One channel of many pixels is read more often than all channels of a few: chunks are long and narrow.
CHUNK = (7500, 38)
# Zarr format 2, which every version of anndata that knows Zarr reads; AnnData's own layout version of a dense array.
_FORMAT: Literal[2] = 2
_ARRAY_ATTRIBUTES = {"encoding-type": "array", "encoding-version": "0.2.0"}
# Column of the pixels that holds their total ion current.
_TIC = "total_ion_current"
# Columns of the table of pixels; a column of the sample list that has one of their names gets a prefix.
_PIXEL_COLUMNS = ("sample", "x", "y", "x_um", "y_um", _TIC)
# Attribute of a store that says what it was made of.
_STATE = "ionmorphnet"
# Of the memory limit, what the blocks of values may take; the rest is for reading, compression and the tables.
_SHARE = 0.25


@dataclass(frozen=True)
class SectionMatrix:
    """A written matrix of a section.

    Attributes:
        path: The Zarr store.
        n_pixels: Its rows.
        means: Mean of each channel over the measured pixels, float64 (C,).
    """

    path: Path
    n_pixels: int
    means: npt.NDArray[np.float64]


def write_section_matrix(
    ds: Dataset,
    axis: CandidateAxis,
    path: Path,
    *,
    var: pd.DataFrame,
    sample: str,
    columns: Mapping[str, str],
    facts: Mapping[str, Any],
    normalize: Normalize = "none",
    scale: float = 1.0,
    state: str = "",
    memory_limit: int | str = "4GB",
    threads: int = 0,
) -> SectionMatrix:
    """Writes all measured pixels of a section x channels as an AnnData-Zarr store.

    Args:
        ds: The section.
        axis: Channels (C,) with the section's own windows, drift included.
        path: The store, a folder; an existing one is replaced when the new one is complete.
        var: C rows: the channels on the common scale, the same for all sections.
        sample: Name of the section; rows are named ``<sample>:<y>_<x>``, so that they stay unique in a cohort.
        columns: Further columns of ``obs``, such as patient and batch, with one value for all pixels.
        facts: Goes to ``uns``: source, normalisation, drift and the like.
        normalize: How ion images are normalised.
        scale: Factor of all values, such as one that brings normalised sections to a common scale.
        state: What tells this matrix from one of other data or channels, for :func:`kept_matrix`.
        memory_limit: Limit of what is held at once, in bytes or as text.
        threads: CPU threads, 0 = all cores.

    Returns:
        The store and the mean of each channel.

    Raises:
        ArgumentError: ``axis`` and ``var`` differ in length, or one block of channels exceeds the memory limit.
        FileError: The section cannot be read, or the store cannot be written.
        UnavailableError: anndata or zarr is not installed.
    """
    write_elem = _needed()
    if len(axis) != len(var):
        raise ArgumentError(f"{len(axis)} windows for {len(var)} channels")
    mask = ds.mask
    n_pixels, n_channels = int(mask.sum()), len(axis)
    block = _channels_at_once(parse_bytes(memory_limit), 2 * 4 * mask.size, CHUNK[1], ds.path)
    means = np.zeros(n_channels)
    with _replaced_store(path) as store:
        x = _matrix(store, n_pixels, n_channels)
        for first in range(0, n_channels, block):
            part = slice(first, min(n_channels, first + block))
            images = ds.window_images(axis.mz_lo[part], axis.mz_hi[part], normalize=normalize, threads=threads)
            values = images[:, mask] if scale == 1.0 else images[:, mask] * np.float32(scale)
            means[part] = values.mean(axis=1, dtype=np.float64) if n_pixels else 0.0
            x[:, part] = values.T
        obs = _pixels(ds, mask, sample, columns, threads)
        write_elem(store, "obs", obs)
        write_elem(store, "var", _plain_strings(var))
        write_elem(store, "obsm", {"spatial": _spatial(obs)})
        write_elem(store, "uns", dict(facts))
        _finish(store)
        store.attrs[_STATE] = {"state": state, "means": means.tolist()}
    return SectionMatrix(path, n_pixels, means)


def kept_matrix(path: Path, state: str, var: pd.DataFrame) -> SectionMatrix | None:
    """The matrix of a section if it is there, complete and of this state; else None.

    Its table of the channels becomes ``var``, whose shares and scores may have changed while the windows did not.
    """
    if not (path / ".zgroup").is_file():
        return None
    try:
        store = _opened(path)
        known = store.attrs[_STATE]
        assert isinstance(known, dict)
        if known["state"] != state:
            return None
        _refresh_var(path, var)
        return SectionMatrix(path, _values(store).shape[0], np.asarray(known["means"], np.float64))
    except (FileError, KeyError, TypeError, ValueError):
        return None


def _refresh_var(path: Path, var: pd.DataFrame) -> None:
    import zarr
    from anndata.io import read_elem

    wanted = _plain_strings(var)
    store = zarr.open_group(path, mode="r+")
    if not read_elem(store["var"]).equals(wanted):
        _needed()(store, "var", wanted)


@dataclass(frozen=True)
class StoredMeans:
    """What a section's store knows besides the pixels.

    Attributes:
        n_pixels: Measured pixels.
        means: Mean of each channel over them, float64 (C,).
        windows: m/z, lower and upper bounds of the channels on the common scale, float64 (3, C).
        facts: Source, normalisation, drift and the like.
    """

    n_pixels: int
    means: npt.NDArray[np.float64]
    windows: npt.NDArray[np.float64]
    facts: Mapping[str, Any]


def stored_means(path: Path) -> StoredMeans:
    """Reads the means of a section without its pixels.

    Raises:
        FileError: There is no complete store.
        UnavailableError: anndata or zarr is not installed.
    """
    _needed()
    from anndata.io import read_elem

    if not (path / ".zgroup").is_file():
        raise FileError(f"{path}: no such matrix; extract it with ionmorphnet cohort matrix")
    store = _opened(path)
    try:
        known = store.attrs[_STATE]
        assert isinstance(known, dict)
        means = np.asarray(known["means"], np.float64)
        var, facts = read_elem(store["var"]), read_elem(store["uns"])
        windows = var[["mz", "mz_lo", "mz_hi"]].to_numpy(np.float64).T
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: not a readable matrix ({type(error).__name__}); extract it again") from None
    return StoredMeans(int(_values(store).shape[0]), means, windows, facts)


def column_reader(path: Path) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]:
    """A function of channel positions (k,), ascending, that reads their values, float32 (pixels, k)."""

    def read(channels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.asarray(_values(_opened(path)).oindex[:, channels], np.float32)

    return read


@dataclass(frozen=True)
class StoredMatrix:
    """A section's matrix as it lies on the disk; values are read when they are asked for.

    Attributes:
        path: The Zarr store.
        mz: Channels on the common scale (C,).
        x: Column of each pixel in the section's grid, int64 (n,).
        y: Row of each pixel.
        tic: Total ion current of each pixel, float32 (n,).
        normalize: How its values were normalised.
        drift_mz: Knots of the drift that its windows were moved by.
        drift_ppm: Deviation at the knots.
    """

    path: Path
    mz: npt.NDArray[np.float64]
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    tic: npt.NDArray[np.float32]
    normalize: str
    drift_mz: npt.NDArray[np.float64]
    drift_ppm: npt.NDArray[np.float64]

    def columns(self, channels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Values of channels, given by position (k,), ascending; float32 (n, k)."""
        return column_reader(self.path)(channels)


def open_matrix(path: Path) -> StoredMatrix:
    """Opens a section's matrix.

    Raises:
        FileError: It cannot be read.
        UnavailableError: anndata or zarr is not installed.
    """
    _needed()
    from anndata.io import read_elem

    store = _opened(path)
    try:
        facts = read_elem(store["uns"])
        x, y = (np.asarray(read_elem(store[f"obs/{name}"]), np.int64) for name in ("x", "y"))
        tic = np.asarray(read_elem(store[f"obs/{_TIC}"]), np.float32)
        knots, ppm = (np.asarray(facts[name], np.float64) for name in ("drift_mz", "drift_ppm"))
        mz = np.asarray(read_elem(store["var/mz"]), np.float64)
        return StoredMatrix(path, mz, x, y, tic, str(facts["normalize"]), knots, ppm)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path}: not a readable matrix ({type(error).__name__}); extract it again") from None


def join_matrices(path: Path, parts: Sequence[Path], *, memory_limit: int | str = "4GB") -> int:
    """Streams section matrices with the same channels into one store, below each other.

    Args:
        path: The store to write; an existing one is replaced when the new one is complete.
        parts: Stores of the sections, in order.
        memory_limit: Limit of what is held at once. The table of the pixels has to fit, about 100 bytes each.

    Returns:
        Number of rows.

    Raises:
        ArgumentError: There are no parts, or they differ in their channels.
        FileError: A store cannot be read or written.
        UnavailableError: anndata or zarr is not installed.
    """
    write_elem = _needed()
    from anndata.io import read_elem

    if not parts:
        raise ArgumentError(f"{path}: there are no sections to join")
    stores = [_opened(part) for part in parts]
    var = read_elem(stores[0]["var"])
    for part, store in zip(parts, stores, strict=True):
        other = read_elem(store["var"])
        if not (other.index.equals(var.index) and np.array_equal(other["mz"], var["mz"])):
            raise ArgumentError(f"{part}: has other channels than {parts[0]}; extract it again")
    values_of = [_values(store) for store in stores]
    rows = np.cumsum([0, *(each.shape[0] for each in values_of)])
    n_channels = len(var)
    wide = _channels_at_once(parse_bytes(memory_limit), 2 * 4 * CHUNK[0], CHUNK[1], str(path))
    with _replaced_store(path) as joined:
        x = _matrix(joined, int(rows[-1]), n_channels)
        for top in range(0, int(rows[-1]), CHUNK[0]):
            bottom = min(int(rows[-1]), top + CHUNK[0])
            for left in range(0, n_channels, wide):
                right = min(n_channels, left + wide)
                values = np.empty((bottom - top, right - left), np.float32)
                for k in range(int(np.searchsorted(rows, top, side="right")) - 1, len(stores)):
                    if rows[k] >= bottom:
                        break
                    begin, end = max(top, int(rows[k])), min(bottom, int(rows[k + 1]))
                    own = slice(begin - int(rows[k]), end - int(rows[k]))
                    values[begin - top : end - top] = values_of[k][own, left:right]
                x[top:bottom, left:right] = values
        obs = _stacked([read_elem(store["obs"]) for store in stores])
        write_elem(joined, "obs", obs)
        write_elem(joined, "var", var)
        write_elem(joined, "obsm", {"spatial": _spatial(obs)})
        names = [str(sample) for sample in obs["sample"].cat.categories]
        write_elem(joined, "uns", {"sections": _facts_table(names, [read_elem(store["uns"]) for store in stores])})
        _finish(joined)
    return int(rows[-1])


def _needed() -> Any:
    try:
        import zarr  # noqa: F401
        from anndata.io import write_elem
    except ImportError:
        raise UnavailableError("feature matrices need anndata and zarr: pip install 'ionmorphnet[cohort]'") from None
    return write_elem


def _opened(path: Path) -> zarr.Group:
    import zarr

    try:
        store = zarr.open_group(path, mode="r")
        if not {"X", "obs", "var"} <= set(store):
            raise FileError(f"{path}: is not a complete matrix; extract it again")
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{path}: not a readable matrix ({type(error).__name__}); extract it again") from None
    return store


def _values(store: zarr.Group) -> zarr.Array[Any]:
    import zarr

    values = store["X"]
    assert isinstance(values, zarr.Array)
    return values


@contextlib.contextmanager
def _replaced_store(path: Path) -> Iterator[zarr.Group]:
    """A store under a temporary name; it takes its place when the block succeeds and leaves nothing when it fails."""
    import zarr

    if path.exists() and not (path / ".zgroup").is_file():
        raise FileError(f"{path}: is there and is not a Zarr store; choose another name")
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}.zarr")
    try:
        try:
            store = zarr.open_group(temporary, mode="w", zarr_format=_FORMAT)
            store.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            yield store
            if path.exists():
                old = path.with_name(f".tmp-{secrets.token_hex(8)}.old")
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        except OSError as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _matrix(store: zarr.Group, n_rows: int, n_columns: int) -> zarr.Array[Any]:
    chunks = (max(1, min(CHUNK[0], n_rows)), max(1, min(CHUNK[1], n_columns)))
    array = store.create_array("X", shape=(n_rows, n_columns), chunks=chunks, dtype="float32")
    array.attrs.update(_ARRAY_ATTRIBUTES)
    return array


def _finish(store: zarr.Group) -> None:
    """The groups that AnnData expects, empty."""
    from anndata.io import write_elem

    for name in ("layers", "obsp", "varm", "varp"):
        write_elem(store, name, {})


def _channels_at_once(limit: int, bytes_each: int, step: int, what: str) -> int:
    """How many channels fit, a multiple of the width of a chunk so that no chunk is written twice."""
    fit = int(_SHARE * limit) // max(1, bytes_each)
    if fit < step:
        least = format_bytes(step * bytes_each / _SHARE)
        raise ArgumentError(f"{what}: {step} channels of it need a memory limit of {least}")
    return fit // step * step


def _pixels(
    ds: Dataset, mask: npt.NDArray[np.bool_], sample: str, columns: Mapping[str, str], threads: int
) -> pd.DataFrame:
    cells = np.argwhere(mask)
    size = ds.pixel_size_um or (float("nan"), float("nan"))
    table: dict[str, Any] = {"sample": pd.Categorical([sample] * len(cells), categories=[sample])}
    for name, value in columns.items():
        table[free_name(name, {*_PIXEL_COLUMNS}, "sample")] = pd.Categorical([value] * len(cells), categories=[value])
    table["x"], table["y"] = cells[:, 1], cells[:, 0]
    table["x_um"], table["y_um"] = cells[:, 1] * size[0], cells[:, 0] * size[1]
    table[_TIC] = ds.tic_image(threads=threads)[mask]
    index = pd.Index([f"{sample}:{y}_{x}" for y, x in cells], dtype=object)
    return pd.DataFrame(table, index=index)


def _spatial(obs: pd.DataFrame) -> npt.NDArray[np.float64]:
    """x and y of each pixel, in micrometres where all sections state their pixel size, else in pixels."""
    known = bool(np.isfinite(obs[["x_um", "y_um"]].to_numpy(np.float64)).all())
    return obs[["x_um", "y_um"] if known else ["x", "y"]].to_numpy(np.float64)


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Pixel tables below each other; a column that a section lacks is empty there."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    whole = pd.concat([table.astype({n: object for n in table if table[n].dtype == "category"}) for table in tables])
    for name in names:
        if whole[name].dtype == object:
            values = whole[name].where(whole[name].notna(), "").astype(str)
            whole[name] = pd.Categorical(values, categories=list(dict.fromkeys(values)))
    return whole[names]


def _facts_table(names: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row per section; lists as JSON. A dictionary will not do: its keys may not hold a slash, names may."""
    rows = [
        {name: json.dumps(plain(value)) if np.ndim(value) else value for name, value in each.items()} for each in facts
    ]
    return _plain_strings(pd.DataFrame(rows, index=list(names)))


def _plain_strings(var: pd.DataFrame) -> pd.DataFrame:
    """AnnData writes plain strings; a missing one becomes empty."""
    table = var.copy()
    for name in table:
        if table[name].dtype == object or isinstance(table[name].dtype, pd.StringDtype):
            table[name] = table[name].astype(object).where(table[name].notna(), "")
    table.index = table.index.astype(str)
    return table
