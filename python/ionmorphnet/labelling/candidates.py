"""The images that can be labelled: candidates of a section, or image arrays, with the scores that order them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.sample_maps import sample_map
from ionmorphnet.labelled.image_arrays import ImageArrays
from ionmorphnet.models.labels import PROBABILITY_COLUMNS
from ionmorphnet.picking.peak_list import PeakList

Images = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Candidates:
    """Images that can be labelled, in rank order; item 0 has the highest score.

    Attributes:
        title: Name of the section or file, as shown.
        filename: File name without folder, which label files hold in their column ``filename``.
        keys: Name of each image in label files: its m/z as text, or the key of an array (may be empty).
        indices: Position of each image in its array file; None for a section, whose images are known by their m/z.
        mz: float64 (n,); None for image arrays.
        mz_lo: Lower window bounds (n,), inclusive; None for image arrays.
        mz_hi: Upper window bounds (n,), inclusive; None for image arrays.
        scores: float64 (n,).
        probabilities: Class probabilities, float64 (n, 6), rows sum to 1; None if the scorer has no classes.
        read: Reads the images of some items, in the order given; NaN = not measured.
        section: Total ion current of the section, float32 (H, W), NaN = not measured; None for image arrays.
        sample: Probability that a pixel is sample, float32 (H, W); None if unknown, or if all of them are.
        pixel_size_um: Width and height of a pixel in micrometres; None if unknown.
    """

    title: str
    filename: str
    keys: tuple[str, ...]
    indices: tuple[int, ...] | None
    mz: NDArray[np.float64] | None
    mz_lo: NDArray[np.float64] | None
    mz_hi: NDArray[np.float64] | None
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None
    read: Callable[[Sequence[int]], Images]
    section: NDArray[np.float32] | None = None
    sample: NDArray[np.float32] | None = None
    pixel_size_um: tuple[float, float] | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.keys)

    def caption(self, item: int) -> str:
        """Name of an image for people: ``m/z 346.0558`` or ``image 12``."""
        if self.mz is not None:
            return f"m/z {self.mz[item]:.4f}"
        assert self.indices is not None
        key = self.keys[item]
        return f"image {self.indices[item]}" + (f" ({key})" if key else "")


def section_candidates(peaks: PeakList, ds: Dataset) -> Candidates:
    """All scored channels of a section.

    Args:
        peaks: The scores; picked or not, every channel is a candidate.
        ds: The open section.

    Raises:
        FileError: There is no channel.
        ArgumentError: The section is one of several planes of a file.
    """
    if ds.plane_z is not None or len(ds.z_planes) > 1:
        raise ArgumentError(
            f"{ds.path}: holds several z planes, and a label file does not state which one it describes; "
            "write the plane to a file of its own"
        )
    frame = peaks.all_scores
    if not len(frame):
        raise FileError(f"{ds.path}: no candidate channel was found; there is nothing to label")
    mz, lo, hi = (frame[name].to_numpy(np.float64) for name in ("mz", "mz_lo", "mz_hi"))

    def read(items: Sequence[int]) -> Images:
        chosen = np.asarray(items, dtype=np.intp)
        return list(ds.window_images(lo[chosen], hi[chosen]))

    name = Path(ds.path).name
    return Candidates(
        title=name,
        filename=name,
        keys=tuple(f"{value:.10g}" for value in mz),
        indices=None,
        mz=mz,
        mz_lo=lo,
        mz_hi=hi,
        scores=frame["score"].to_numpy(np.float64),
        probabilities=_probabilities(frame),
        read=read,
        section=ds.tic_image(),
        sample=_sample(peaks, ds),
        pixel_size_um=ds.pixel_size_um,
    )


def _sample(peaks: PeakList, ds: Dataset) -> NDArray[np.float32] | None:
    """The sample map, if only a part of the measured pixels is sample: only then is there an outline to draw."""
    found = peaks.sample
    if found is None:
        by_mz = peaks.all_scores.sort_values("mz", kind="stable")
        mz, lo, hi, frequency = (by_mz[name].to_numpy(np.float64) for name in ("mz", "mz_lo", "mz_hi", "frequency"))
        found = sample_map(ds, CandidateAxis(mz, lo, hi, frequency))
    return found.map if found.kind in ("part", "given") else None


def array_candidates(path: Path, score: Callable[[NDArray[np.float32]], pd.DataFrame]) -> Candidates:
    """All images of an npz file.

    Args:
        path: The file.
        score: Scores images of one shape, (n, H, W), as :func:`ionmorphnet.score_images` does.

    Raises:
        FileError: The file is missing or malformed.
    """
    found = ImageArrays(path)
    images = [found[k] for k in range(len(found))]
    frames = []
    for shape in sorted({image.shape for image in images}):
        members = [k for k, image in enumerate(images) if image.shape == shape]
        frames.append(score(np.stack([images[k] for k in members])).set_index(pd.Index(members)))
    # mergesort keeps images with equal scores in the order of the file.
    frame = pd.concat(frames).sort_index().sort_values("score", ascending=False, kind="mergesort")
    order = tuple(int(k) for k in frame.index)

    def read(items: Sequence[int]) -> Images:
        return [images[order[item]] for item in items]

    return Candidates(
        title=path.name,
        filename=path.name,
        keys=tuple(found.key(k) for k in order),
        indices=order,
        mz=None,
        mz_lo=None,
        mz_hi=None,
        scores=frame["score"].to_numpy(np.float64),
        probabilities=_probabilities(frame),
        read=read,
    )


def _probabilities(frame: pd.DataFrame) -> NDArray[np.float64] | None:
    if not set(PROBABILITY_COLUMNS) <= set(frame.columns):
        return None
    values = frame[list(PROBABILITY_COLUMNS)].to_numpy(np.float64, na_value=np.nan)
    return None if np.isnan(values).any() else values
