"""Channels of one section with a class mask, for mSCF1; read in blocks, so that any section fits."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.evaluate.methods import Methods, Progress, score_stack
from ionmorphnet.evaluate.mscf1 import THRESHOLDS, MSCF1Truth, Rule, mscf1_truth
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import Dataset, open_dataset

AxisKind = Literal["auto", "bins", "peaks"]

# Values of ion images held at once (256 MB).
_BLOCK = 64_000_000


@dataclass(frozen=True, eq=False, repr=False)
class SectionBins:
    """The channels of a section, the mask that they are judged by, and how many of them are true.

    Attributes:
        name: Name of the section.
        axis: The channels: (n,) m/z, or a CandidateAxis with windows.
        source: (n, H, W) images, NaN = not measured, or the open section.
        class_mask: (H, W) whole numbers.
        measured: (H, W) bool.
        n_informative: Channels that are informative by construction (simulated sections); None where unknown.
    """

    name: str
    axis: npt.NDArray[np.float64] | CandidateAxis
    source: npt.NDArray[np.float32] | Dataset
    class_mask: npt.NDArray[Any]
    measured: npt.NDArray[np.bool_]
    n_informative: int | None = field(default=None)

    def __len__(self) -> int:
        """Number of channels."""
        return len(self.axis)

    def __repr__(self) -> str:
        """Name and size."""
        height, width = self.measured.shape
        return f"SectionBins({self.name!r}, {len(self)} channels of {height} x {width} pixels)"

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """The images in order, a bounded number at a time.

        Yields:
            (n, H, W) float32, NaN = not measured.

        Raises:
            FileError: A spectrum cannot be read.
        """
        step = max(1, _BLOCK // max(self.measured.size, 1))
        for first in range(0, len(self), step):
            part = slice(first, first + step)
            if isinstance(self.source, Dataset):
                assert isinstance(self.axis, CandidateAxis)
                yield self.source.window_images(self.axis.mz_lo[part], self.axis.mz_hi[part])
            else:
                yield self.source[part]

    def truth(self, *, rule: Rule = "released", thresholds: Sequence[float] = THRESHOLDS) -> MSCF1Truth:
        """The true bins; see :func:`~ionmorphnet.evaluate.mscf1_truth`.

        Args:
            rule: ``released`` or ``strict``.
            thresholds: Correlations from which a bin counts as true.

        Raises:
            ArgumentError: An unknown rule, thresholds that are not finite, or no measured pixel.
            FileError: A spectrum cannot be read.
        """
        return mscf1_truth(
            self.source, self.axis, self.class_mask, measured=self.measured, rule=rule, thresholds=thresholds
        )

    def scores(self, methods: Methods, *, progress: Progress | None = None) -> pd.DataFrame:
        """Score of every channel by every method.

        Args:
            methods: See :func:`~ionmorphnet.evaluate.make_methods`.
            progress: Called as progress(done, total) in images times methods that run a network.

        Returns:
            (n, methods), in the order of the axis; higher = more structure.

        Raises:
            FileError: A spectrum cannot be read.
            IonMorphNetError: Outputs of a network are not finite.
        """
        frames, done, total = [], 0, len(self) * max(len(methods.scorers), 1)
        for block in self.blocks():
            base = done

            def advance(part: int, _: int, base: int = base) -> None:
                if progress is not None:
                    progress(base + part, total)

            frames.append(score_stack(block, methods, progress=advance)[0])
            done += len(block) * max(len(methods.scorers), 1)
        return pd.concat(frames, ignore_index=True)


@contextmanager
def open_bins(path: PathLike, mask: PathLike | None = None, *, axis: AxisKind = "auto") -> Iterator[SectionBins]:
    """Opens a section with its class mask.

    Args:
        path: NPZ with ``images`` (n, H, W), ``mz`` and, unless ``mask`` is given, ``regions`` (H, W); or imzML.
        mask: NPY, or NPZ with ``regions`` or a single array; (H, W). None: ``regions`` of the NPZ; for ``X.imzML`` the
            file ``X_mask.npz``, which ``ionmorphnet simulate`` writes.
        axis: imzML: how the channels are found, see :func:`ionmorphnet.candidate_axis`.

    Yields:
        The section; an imzML file is closed at the end of the block. ``X_truth.csv`` beside ``X.imzML`` gives
        ``n_informative``.

    Raises:
        FileError: A file is missing or not understood, or the mask has another size.
    """
    path = Path(path)
    if path.suffix.lower() != ".imzml":
        yield _from_arrays(path, mask)
        return
    with open_dataset(path) as ds:
        ds.require_one_plane("evaluation takes sections of one plane", error=FileError)
        mask_path = Path(mask) if mask is not None else path.with_name(f"{path.stem}_mask.npz")
        classes = _read_mask(mask_path, ds.shape)
        found = candidate_axis(ds, kind=axis)
        if not len(found):
            raise FileError(f"{path}: no channel was found")
        truth = path.with_name(f"{path.stem}_truth.csv")
        informative = _count_informative(truth, len(found)) if truth.is_file() else None
        yield SectionBins(path.stem, found, ds, classes, ds.mask, informative)


def _from_arrays(path: Path, mask: PathLike | None) -> SectionBins:
    arrays = _read_arrays(path)
    if "images" not in arrays or "mz" not in arrays:
        raise FileError(f"{path}: mSCF1 needs 'images' (n, H, W) and their 'mz'; there are {', '.join(arrays)}")
    if mask is None and "regions" not in arrays:
        raise FileError(f"{path}: holds no 'regions'; give a class mask")
    images, mz = arrays["images"].astype(np.float32), arrays["mz"].astype(np.float64)
    if images.ndim != 3 or 0 in images.shape or mz.shape != images.shape[:1]:
        raise FileError(f"{path}: 'images' {images.shape} and 'mz' {mz.shape} must be (n, H, W) and (n,)")
    shape = (images.shape[1], images.shape[2])
    classes = arrays["regions"] if mask is None else _read_mask(Path(mask), shape)
    measured = arrays.get("mask", np.ones(shape)) != 0
    for name, grid in (("regions", classes), ("mask", measured)):
        if grid.shape != shape:
            raise FileError(f"{path}: '{name}' has shape {grid.shape}, the images {shape}")
    images[:, ~measured] = np.nan
    order = np.argsort(mz, kind="stable")
    return SectionBins(path.stem, mz[order], images[order], classes, measured & ~np.isnan(images).all(axis=0))


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an NPZ by name, or that of an NPY under the file's stem."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {path.stem: loaded}
        else:
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable NPZ or NPY file'}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise FileError(f"{path}: array '{name}' does not hold numbers ({array.dtype})")
    return arrays


def _read_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    arrays = _read_arrays(path)
    name = "regions" if "regions" in arrays else next(iter(arrays)) if len(arrays) == 1 else None
    if name is None:
        raise FileError(f"{path}: holds {', '.join(arrays) or 'nothing'}; 'regions' or a single array is expected")
    if arrays[name].shape != shape:
        raise FileError(f"{path}: the mask has shape {arrays[name].shape}, the images {shape}")
    return arrays[name]


def _count_informative(path: Path, n_bins: int) -> int:
    try:
        table = pd.read_csv(path)
        count = int(table["informative"].astype(bool).sum())
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{path}: no truth of a simulated section ({error})") from None
    if count > n_bins:
        raise ArgumentError(f"{path}: {count} informative channels, but only {n_bins} channels were found")
    return count
