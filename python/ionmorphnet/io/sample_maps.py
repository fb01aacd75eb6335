"""The sample map of a section: which of its measured pixels are sample, judged from many of its ion images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.stacks import checked_sample
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import Dataset

SampleKind = Literal["part", "all", "unknown", "given", "off"]


@dataclass(frozen=True, eq=False)
class SampleMap:
    """Which measured pixels of a section are sample.

    Attributes:
        map: float32 (height, width), probability from 0 to 1 that a pixel is sample, 0 where not measured; None:
            unknown.
        kind: ``part``: a part of the measured pixels is sample; ``all``: all of them; ``unknown``: the images cannot
            tell, because fewer than three are spatially coherent or too few pixels were measured; ``given``: the map
            is the caller's own; ``off``: the caller wanted none.
        share: Mean of the map over the measured pixels, about the share of them that is sample; None: unknown.
        off_sample: Probability that a part of the measured pixels is not sample; None for a map that is given or
            unknown, as for the values below.
        separation: Distance of the two groups of pixels in units of their mean standard deviation.
        noise: Signal of the sample's ions off the sample: the 0.95 quantile of an image there, divided by its 0.99
            quantile over all measured pixels; the median over the spatially coherent images that are brighter on the
            sample than off it. None as well if there are hardly any pixels off the sample.
        n_images: Number of ion images that were looked at.
        n_coherent: How many of them were spatially coherent and used.

    Source: docs/reference/sample-map.md; :mod:`ionmorphnet.reference.sample_map` specifies the computation.
    """

    map: npt.NDArray[np.float32] | None = field(repr=False)
    kind: SampleKind
    share: float | None = None
    off_sample: float | None = None
    separation: float | None = None
    noise: float | None = None
    n_images: int = 0
    n_coherent: int = 0


def sample_map(dataset: Dataset, axis: CandidateAxis | None = None, *, threads: int = 0) -> SampleMap:
    """Finds the pixels of a section that are sample, from up to 200 of its candidate channels.

    The channels are spread over m/z; in each range of m/z, channels are taken that are found in most spectra and that
    are found in about a third of them. All images are binned in one pass over the file.

    Args:
        dataset: A section of one z plane.
        axis: The candidates; None: :func:`ionmorphnet.candidate_axis` with its defaults.
        threads: CPU threads; 0: all. Does not affect the result.

    Raises:
        ArgumentError: The file holds several z planes (use ``ds.plane(z)``).
        FileError: A spectrum cannot be read.

    Example:
        >>> import ionmorphnet as imn
        >>> section = imn.simulate("section.imzML", shape=(40, 60), n_channels=100, seed=1)
        >>> found = imn.sample_map(imn.open("section.imzML"))
        >>> found.kind, found.map.shape
        ('part', (40, 60))
    """
    dataset.require_one_plane("use ds.plane(z)")
    threads = thread_count(threads)
    if axis is None:
        axis = candidate_axis(dataset, threads=threads)
    # As measured: dividing by the TIC would level the difference between sample and background.
    return SampleMap(**_core.section_sample(dataset._native, axis.mz_lo, axis.mz_hi, axis.frequency, threads=threads))


def sample_map_of_images(
    images: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8] | None = None, *, threads: int = 0
) -> SampleMap:
    """Finds the pixels that are sample from ion images of one section.

    Args:
        images: float32 (n, height, width); NaN = not measured.
        mask: (height, width), non-zero = measured; None: every pixel that is not NaN in all images.
        threads: CPU threads; 0: all.
    """
    return SampleMap(**_core.sample_of_images(images, mask, threads=thread_count(threads)))


def given_sample_map(values: npt.ArrayLike, dataset: Dataset) -> SampleMap:
    """A caller's own map; 0 where the section was not measured.

    Raises:
        ArgumentError: Not of the section's shape, or not probabilities.
    """
    checked = cast("npt.NDArray[np.float32]", checked_sample(values, dataset.shape))
    inside = np.where(dataset.mask, checked, np.float32(0))
    return SampleMap(inside, "given", float(inside[dataset.mask].mean(dtype=np.float64)))


def read_sample_map(path: Path) -> npt.NDArray[np.float32]:
    """Reads a map from a file.

    Args:
        path: ``.npy``: an array (height, width) of booleans or of probabilities from 0 to 1. ``.png``: a picture whose
            grey levels run from 0 (black) to 1 (white).

    Returns:
        float32 (height, width).

    Raises:
        FileError: Not readable, or another kind of file.
    """
    from PIL import Image, UnidentifiedImageError

    kind = path.suffix.lower()
    if kind not in (".npy", ".png"):
        raise FileError(f"{path}: a sample map must be a .npy or .png file")
    try:
        if kind == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as picture:
                deep = picture.mode.startswith("I")
                values = np.asarray(picture if deep else picture.convert("L"), np.float64) / (65535 if deep else 255)
    except OSError as error:  # also what is no PNG
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else error.strerror or error
        raise FileError(f"{path}: cannot be read as a sample map ({reason})") from None
    except (ValueError, SyntaxError) as error:
        raise FileError(f"{path}: cannot be read as a sample map ({error})") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise FileError(f"{path}: a sample map must be numbers of shape (height, width)")
    try:
        checked = checked_sample(values, (values.shape[0], values.shape[1]))
    except ArgumentError as error:
        raise FileError(f"{path}: {error}") from None
    return cast("npt.NDArray[np.float32]", checked)
