"""Channels of a section with a class mask for mSCF1, read in blocks to limit memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.evaluate.class_masks import read_arrays, read_mask
from ionmorphnet.evaluate.methods import REFERENCE, Methods, Progress, score_stack
from ionmorphnet.evaluate.mscf1 import THRESHOLDS, MSCF1Truth, Rule, mscf1_truth
from ionmorphnet.evaluate.patterns import reference_correlation
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.open_options import OpenOptions, checked_open_options

AxisKind = Literal["auto", "bins", "peaks"]

# Number of ion image values held at once (256 MB).
_BLOCK = 64_000_000


@dataclass(frozen=True, eq=False, repr=False)
class SectionBins:
    """The channels of a section and the class mask for their evaluation.

    Attributes:
        name: Name of the section.
        axis: The channels: m/z (n,), or a CandidateAxis with windows.
        source: Images (n, H, W), NaN = not measured, or the open section.
        class_mask: (H, W) whole numbers.
        measured: (H, W) bool.
        n_informative: Number of informative channels of a simulated section; None if unknown.
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
        """Reads the images in order, in blocks of limited memory.

        Yields:
            Images (n, H, W) float32, NaN = not measured.

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

    def images(self, channels: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Reads the images of some channels.

        Args:
            channels: Positions on the axis, (k,), in any order.

        Returns:
            (k, H, W) float32, NaN = not measured.

        Raises:
            FileError: A spectrum cannot be read.
        """
        if isinstance(self.source, Dataset):
            assert isinstance(self.axis, CandidateAxis)
            return self.source.window_images(self.axis.mz_lo[channels], self.axis.mz_hi[channels])
        return self.source[channels]

    def references(self) -> npt.NDArray[np.float32]:
        """Reads all images once for two references that other pickers compare them with.

        Returns:
            (2, H, W) float32, NaN = not measured: the sum of all images (TIC), and the mean of all images that are not
            0, each divided by its own mean.

        Raises:
            FileError: A spectrum cannot be read.
        """
        total = np.zeros((2, *self.measured.shape))
        for block in self.blocks():
            x = np.nan_to_num(block.astype(np.float64), posinf=0.0, neginf=0.0)
            mean = x.mean(axis=(1, 2))
            weights = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)
            total += np.einsum("kn,nij->kij", np.stack([np.ones_like(mean), weights]), x)
        return np.where(self.measured, total, np.nan).astype(np.float32)

    def truth(self, *, rule: Rule = "released", thresholds: Sequence[float] = THRESHOLDS) -> MSCF1Truth:
        """Computes the true bins; see :func:`~ionmorphnet.evaluate.mscf1_truth`.

        Args:
            rule: ``released`` or ``strict``.
            thresholds: Correlations from which a bin counts as true.

        Raises:
            ArgumentError: The rule is unknown, a threshold is not finite, or no pixel is measured.
            FileError: A spectrum cannot be read.
        """
        return mscf1_truth(
            self.source, self.axis, self.class_mask, measured=self.measured, rule=rule, thresholds=thresholds
        )

    def scores(self, methods: Methods, *, progress: Progress | None = None) -> pd.DataFrame:
        """Scores every channel with every method.

        Args:
            methods: The methods, see :func:`~ionmorphnet.evaluate.make_methods`.
            progress: Called as progress(done, total) in images times scorers.

        Returns:
            Scores (n, methods) in the order of the axis; higher = more structure. With the baselines, the column
            ``reference`` has the correlation with the references, see
            :func:`~ionmorphnet.evaluate.patterns.reference_correlation`.

        Raises:
            FileError: A spectrum cannot be read.
            IonMorphNetError: A network's output is not finite.
        """
        frames, done, total = [], 0, len(self) * max(len(methods.scorers), 1)
        references = self.references() if methods.baselines else None
        for block in self.blocks():
            base = done

            def advance(part: int, _: int, base: int = base) -> None:
                if progress is not None:
                    progress(base + part, total)

            frame = score_stack(block, methods, progress=advance)[0]
            if references is not None:
                frame[REFERENCE] = reference_correlation(block, references)
            frames.append(frame)
            done += len(block) * max(len(methods.scorers), 1)
        return pd.concat(frames, ignore_index=True)


@contextmanager
def open_bins(
    path: PathLike, mask: PathLike | None = None, *, axis: AxisKind = "auto", **opened: Unpack[OpenOptions]
) -> Iterator[SectionBins]:
    """Opens a section with its class mask.

    Args:
        path: imzML; or NPZ with ``images`` (n, H, W), ``mz`` (n,) and, unless ``mask`` is given, ``regions`` (H, W).
        mask: Class mask (H, W) as NPY, or as NPZ with ``regions`` or a single array. None: ``regions`` of the NPZ, or
            for ``X.imzML`` the file ``X_mask.npz`` (from ``ionmorphnet simulate``).
        axis: How the channels of an imzML file are found, see :func:`ionmorphnet.candidate_axis`.
        **opened: How an imzML file is opened: options of :func:`ionmorphnet.open`; without effect on an NPZ.

    Yields:
        The section; an imzML file is closed at the end of the block. ``n_informative`` comes from ``X_truth.csv`` next
        to ``X.imzML`` if that file exists.

    Raises:
        FileError: A file is missing or invalid, or the mask has another shape than the section.
    """
    path = Path(path)
    checked_open_options(opened, function="open_bins")
    if path.suffix.lower() != ".imzml":
        yield _from_arrays(path, mask)
        return
    with open_dataset(path, **opened) as ds:
        ds.require_one_plane("give each section as a file with one plane", error=FileError)
        mask_path = Path(mask) if mask is not None else path.with_name(f"{path.stem}_mask.npz")
        classes = read_mask(mask_path, ds.shape)
        found = candidate_axis(ds, kind=axis)
        if not len(found):
            raise FileError(f"{path}: no channels found")
        truth = path.with_name(f"{path.stem}_truth.csv")
        informative = _count_informative(truth, len(found)) if truth.is_file() else None
        yield SectionBins(path.stem, found, ds, classes, ds.mask, informative)


def _from_arrays(path: Path, mask: PathLike | None) -> SectionBins:
    arrays = read_arrays(path)
    if "images" not in arrays or "mz" not in arrays:
        raise FileError(f"{path}: mSCF1 needs arrays 'images' (n, H, W) and 'mz' (n,); found {', '.join(arrays)}")
    if mask is None and "regions" not in arrays:
        raise FileError(f"{path}: has no array 'regions'; give a class mask")
    images, mz = arrays["images"].astype(np.float32), arrays["mz"].astype(np.float64)
    if images.ndim != 3 or 0 in images.shape or mz.shape != images.shape[:1]:
        raise FileError(f"{path}: 'images' and 'mz' must have shapes (n, H, W), (n,), not {images.shape}, {mz.shape}")
    shape = (images.shape[1], images.shape[2])
    classes = arrays["regions"] if mask is None else read_mask(Path(mask), shape)
    measured = arrays.get("mask", np.ones(shape)) != 0
    for name, grid in (("regions", classes), ("mask", measured)):
        if grid.shape != shape:
            raise FileError(f"{path}: '{name}' has shape {grid.shape}, but the images have {shape}")
    images[:, ~measured] = np.nan
    order = np.argsort(mz, kind="stable")
    return SectionBins(path.stem, mz[order], images[order], classes, measured & ~np.isnan(images).all(axis=0))


def _count_informative(path: Path, n_bins: int) -> int:
    try:
        table = pd.read_csv(path)
        count = int(table["informative"].astype(bool).sum())
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{path}: not the truth of a simulated section ({error})") from None
    if count > n_bins:
        raise ArgumentError(f"{path}: lists {count} informative channels, but the section has only {n_bins} channels")
    return count
