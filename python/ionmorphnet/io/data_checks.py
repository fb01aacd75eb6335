"""What is odd about the data of a section: found from one pass over its spectra, without a candidate axis.

Each finding is one line: the cause, how much of the section it concerns, what it does to the picks, and the remedy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.errors import FileError
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.mass_checks import mass_findings

__all__ = ["BY_SPECTRUM", "CUT_OFF", "check_data"]

# How the findings begin that `validate` lists by spectrum.
BY_SPECTRUM = ("negative intensities in", "arrays of")
# How the finding begins that tells of a limit of all intensities.
CUT_OFF = "intensities are cut off at"

Floats = NDArray[np.float64]

# Bands of m/z that stand for a spectrum where pixels are compared.
_BANDS = 24
# Spectra whose values are looked at one by one, and about how many values that may be.
_SAMPLED = 200
_SAMPLED_VALUES = 2_000_000
# Bytes of an ibd file up to which every spectrum is looked at; beyond it, blocks of neighbouring lines.
_ALL_BYTES = 4 << 30
_BLOCK_LINES = 16
# Spectra below which nothing can be said about a section.
_FEWEST = 20


@dataclass(frozen=True)
class _Facts:
    """Facts of each spectrum looked at, all float64 (n,); see csrc/io/spectrum_facts.h."""

    signals: Floats
    total: Floats
    squares: Floats
    least: Floats
    largest: Floats
    at_largest: Floats
    near_largest: Floats


@dataclass(frozen=True)
class _Sample:
    """Values of some spectra, evenly spread over the file: m/z float64 (k,) and intensities other than 0."""

    mz: Floats
    weight: Floats
    intensity: Floats


def check_data(ds: Dataset, *, threads: int = 0) -> list[str]:
    """Looks for signs of a faulty measurement or conversion in the data; ``pick`` and ``validate`` do so too.

    Reads all spectra (blocks of lines of a very large file) once. Later calls return what the first one found.

    Args:
        ds: The section; of a file with several z planes, each plane is looked at.
        threads: Worker threads, 0 = all cores. Does not affect the result.

    Returns:
        One line for each finding, which :attr:`Dataset.warnings` lists from then on; none for a section in order.
        Spectra that cannot be read are passed over.
    """
    if ds._findings is None:
        ds._findings = _findings(ds, thread_count(threads))
    return list(ds._findings)


def _findings(ds: Dataset, threads: int) -> list[str]:
    texts = _overlaps(ds)
    planes = ds.z_planes
    if len(planes) == 1:
        return texts + _plane_findings(ds, threads)
    texts += [f"plane z={z}: {text}" for z in planes for text in _plane_findings(ds.plane(z), threads)]
    return list(dict.fromkeys(texts))


def _overlaps(ds: Dataset) -> list[str]:
    numbers = ds._native.overlapping()
    if not numbers:
        return []
    return [
        f"arrays of {len(numbers)} spectra (the first is spectrum {numbers[0]}) overlap others, so offsets or lengths "
        "in the header are wrong and these spectra hold foreign values; export the file again"
    ]


def _plane_findings(ds: Dataset, threads: int) -> list[str]:
    pixels = ds._native.pixels
    if len(pixels) < _FEWEST:
        return []
    shown = _looked_at(ds, pixels)
    sample = _sample(ds, shown[:, 1])
    if not len(sample.intensity):
        return []
    if nonsense := _nonsense(sample):
        return nonsense
    rows, coarse = _core.spectrum_facts(ds._native, shown[:, 1].tolist(), _band_edges(sample), threads=threads)
    facts = _Facts(*rows.T)
    return [
        *_intensity_findings(facts, sample),
        *_hot_pixel(coarse, shown[:, 0], ds.shape[1]),
        *_scattered_empty(facts, shown[:, 0], ds.shape),
        *mass_findings(ds, shown, sample.mz, ds.shape[1]),
    ]


def _looked_at(ds: Dataset, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pixels (index, spectrum) to look at: all, or blocks of lines of a large file."""
    try:
        size = os.path.getsize(ds.ibd_path)
    except OSError:  # moved, or named relative to another folder; the opened file is read all the same
        size = 0
    if size <= _ALL_BYTES:
        return pixels
    every = int(np.ceil(size / _ALL_BYTES))
    block = pixels[:, 0] // ds.shape[1] // _BLOCK_LINES
    chosen: NDArray[np.int64] = pixels[block % every == 0]
    return chosen


def _sample(ds: Dataset, spectra: NDArray[np.int64]) -> _Sample:
    mz, values = [], []
    left = _SAMPLED_VALUES
    for i in spectra[np.unique(np.linspace(0, len(spectra) - 1, _SAMPLED).astype(int))].tolist():
        try:
            own_mz, own = ds.spectrum(i)
        except FileError:
            continue
        mz.append(own_mz[own != 0])
        values.append(own[own != 0])
        left -= len(own)
        if left < 0:
            break
    if not mz:
        return _Sample(np.empty(0), np.empty(0), np.empty(0))
    intensity = np.concatenate(values)
    return _Sample(np.concatenate(mz), np.maximum(intensity, 0), intensity)


def _band_edges(sample: _Sample) -> Floats:
    """Bounds of m/z bands with about the same intensity in each."""
    order = np.argsort(sample.mz)
    mz, reached = sample.mz[order], np.cumsum(np.sqrt(sample.weight[order]))
    if reached[-1] <= 0:
        return np.array([mz[0], np.nextafter(mz[-1], np.inf)])
    inner = np.interp(np.linspace(0, 1, _BANDS + 1)[1:-1] * reached[-1], reached, mz)
    return np.unique(np.concatenate([[0.0], inner, [np.inf]]))


def _nonsense(sample: _Sample) -> list[str]:
    """Intensities that no instrument counts: bytes that were read in the wrong way."""
    size = np.abs(sample.intensity)
    if size.max() < 1e-30:
        return [
            f"no intensity is larger than {size.max():.2g}, as if integers were declared as floats; correct the data "
            "type of the intensities in the header"
        ]
    low, high = np.quantile(size, 0.01), np.quantile(size, 0.99)
    if low < 1e-25 * high and high > 1e15:
        return [
            f"intensities range from {low:.2g} to {high:.2g}, as if their byte order or data type were wrong; imzML "
            "wants little-endian; export the file again"
        ]
    return []


def _intensity_findings(facts: _Facts, sample: _Sample) -> list[str]:
    texts = []
    n = len(facts.total)
    negative = facts.least < 0
    if negative.any():
        texts.append(
            f"negative intensities in {int(negative.sum())} of {n} spectra, down to {facts.least.min():.4g}; they "
            "distort ion images and scores; export the data before a baseline is subtracted, or cut them at 0"
        )
    positive = sample.intensity[sample.intensity > 0]
    if not len(positive):
        return texts
    if len(positive) >= _FEWEST and positive.min() == positive.max():
        return [
            *texts,
            f"all intensities are equal ({positive[0]:.4g}), so images show no more than where a peak was found; "
            "export intensities",
        ]
    processed = _normalised(facts, facts.largest > 0) or _cut_off(facts, sample.intensity)
    if processed:
        return texts + processed
    # Logarithms of counts are below 35 (the natural one of 10^15), their largest are few times the usual ones, and they
    # spread by less than a factor of e.
    whole = bool((positive == np.round(positive)).all())
    top = float(np.quantile(positive, 0.999))
    narrow = top < 7 * np.median(positive) and np.log(positive).std() < 0.85
    logs = narrow and facts.largest.max() < 35 and _has_levels(sample)
    if len(positive) >= 500 and not whole and logs:
        texts.append(
            f"intensities look transformed, like logarithms: the largest, {facts.largest.max():.3g}, is only "
            f"{facts.largest.max() / np.median(positive):.1f} times the median; images show less contrast than the "
            "sample has; export untransformed intensities"
        )
    return texts


def _has_levels(sample: _Sample) -> bool:
    """Whether bands of m/z differ in their level, as ions do and noise in small units does not."""
    shown = sample.intensity > 0
    order = np.argsort(sample.mz[shown], kind="stable")
    bands = np.array_split(sample.intensity[shown][order], _BANDS)
    if len(bands[-1]) < 2:
        return False
    middle = np.array([np.median(band) for band in bands])
    chance = 1.25 * np.median([band.std() / np.sqrt(len(band)) for band in bands])  # standard error of a median
    return bool(middle.std() > 1.6 * chance)


def _same(values: Floats, tolerance: float) -> bool:
    return len(values) >= _FEWEST and float(values.std()) <= tolerance * abs(float(values.mean()))


def _normalised(facts: _Facts, lit: NDArray[np.bool_]) -> list[str]:
    end = "as after a normalisation, so images show shares, not amounts; export unnormalised data if you want amounts"
    if not lit.any() or (facts.signals[lit] > 1).mean() < 0.5:  # one value each: every measure of it is the same
        return []
    if _same(facts.total[lit], 1e-4):
        return [f"all spectra have the same total intensity ({facts.total[lit].mean():.4g}), {end}"]
    if _same(np.sqrt(facts.squares[lit]), 1e-4):
        return [f"all spectra have the same root of their sum of squares, {end}"]
    if _same(facts.largest[lit], 1e-6) and facts.at_largest[lit].mean() < 1.5:
        return [f"all spectra have the same largest intensity ({facts.largest.max():.4g}), {end}"]
    return []


def _cut_off(facts: _Facts, values: Floats) -> list[str]:
    """Many values that equal the largest of all, and fewer just below it: a limit of the detector or the data type."""
    limit = float(facts.largest.max())
    at = facts.largest == limit
    n_at = facts.at_largest[at].sum()
    below = facts.near_largest[at].sum() - n_at + ((facts.largest >= 0.8 * limit) & ~at).sum()
    counts = limit < 100 and bool((values == np.round(values)).all())
    if counts or n_at < 10 or at.sum() < 5 or n_at <= below:
        return []
    return [
        f"{CUT_OFF} {limit:.6g}: {int(n_at)} values in {at.mean():.1%} of the spectra equal it, as "
        "those of a saturated detector; bright regions look flat; rank these channels with care"
    ]


def _hot_pixel(coarse: NDArray[np.float32], index: NDArray[np.int64], width: int) -> list[str]:
    """A pixel that outshines the next ones in most bands, not just for one ion."""
    if len(coarse) < 100:
        return []
    top = np.partition(coarse, -5, axis=0)[-5]
    bright = coarse.argmax(axis=0)
    far = coarse.max(axis=0) > 2.5 * np.maximum(top, 1e-30)
    pixels, bands = np.unique(bright[far], return_counts=True)
    if not len(pixels) or bands.max() < max(3, 0.2 * coarse.shape[1]):
        return []
    pixel = pixels[bands.argmax()]
    times = float(np.median((coarse[pixel] / np.maximum(top, 1e-30))[far & (bright == pixel)])) ** 2
    y, x = divmod(int(index[pixel]), width)
    more = "over 1000" if times > 1000 else f"{times:.0f}"
    return [
        f"one pixel outshines the section: x {x + 1}, y {y + 1} is {more} times as bright as the next brightest in "
        f"{bands.max() / coarse.shape[1]:.0%} of the m/z range; it decides the scores of many channels; leave it out "
        "when exporting"
    ]


def _scattered_empty(facts: _Facts, index: NDArray[np.int64], shape: tuple[int, int]) -> list[str]:
    """Empty spectra between others; those of a region without sample lie together."""
    empty = facts.signals == 0
    if empty.mean() < 0.02:
        return []
    image = np.zeros((shape[0] + 2, shape[1] + 2), dtype=np.int8)  # 1: empty, 2: not; 0: not measured
    image[1 + index // shape[1], 1 + index % shape[1]] = np.where(empty, 1, 2)
    around = [image[:-2, 1:-1], image[2:, 1:-1], image[1:-1, :-2], image[1:-1, 2:]]
    here = image[1:-1, 1:-1] == 1
    alike = sum(int((here & (other == 1)).sum()) for other in around)
    unlike = sum(int((here & (other == 2)).sum()) for other in around)
    if alike > 2 * unlike:
        return []
    return [
        f"{int(empty.sum())} of {len(empty)} spectra are empty, scattered between others; images have holes there; "
        "check the threshold of the export"
    ]
