"""Truth of a simulated section: class and grade of each channel, judged as single simulated images are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation.channels import Channels, SectionMaps, visible
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.observer import UNSTRUCTURED, Truth, bounded_detail, judge, missing_surroundings

# Channels are judged on a grid of at most this many cells per side, to limit memory: three cells per block of the view.
_CELLS = 48
# Pixels from which detail, grain and the 0.99 quantile of a channel are taken.
_PROBES = 4000
# Channels whose quantiles are computed at a time.
_CHANNELS = 256


@dataclass
class Tally:
    """Sums per channel, accumulated over the chunks of pixels."""

    channels: Channels
    maps: Field  # (maps, pixels), measured pixels only
    regions: NDArray[np.int64]  # (pixels,)
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    shape: tuple[int, int]  # cells
    cell: NDArray[np.int64]  # (pixels,)
    framed: bool  # whether all pixels of the frame are measured
    top: Field = field(init=False)  # (channels,) 0.99 quantile of the expectation
    clip: Field = field(init=False)  # (channels,) the same with noise, about the 0.99 quantile of the image
    hits: NDArray[np.int64] = field(init=False)
    total: NDArray[np.float64] = field(init=False)
    observed: Field = field(init=False)  # (cells, channels) sums
    by_region: NDArray[np.float64] = field(init=False)  # (regions, channels) sums of the expectation
    moments: NDArray[np.float64] = field(init=False)  # (11, channels) sums over the probed pixels
    probed_inside: int = field(init=False)

    @classmethod
    def start(cls, channels: Channels, maps: SectionMaps, measured: NDArray[np.bool_]) -> Tally:
        """Tally of the measured pixels in raster order."""
        rows, cols = np.nonzero(measured)
        side = -(-max(measured.shape) // _CELLS)
        shape = (-(-measured.shape[0] // side), -(-measured.shape[1] // side))
        cell = (rows // side) * shape[1] + cols // side
        framed = bool(measured.all())
        return cls(channels, maps.stacked()[:, measured], maps.regions[measured], rows, cols, shape, cell, framed)

    def __post_init__(self) -> None:
        n = self.channels.mz.size
        self.top = self._tops()
        self.clip = (self.top * (1.0 + 2.0 / np.sqrt(self.channels.shape))).astype(np.float32)
        self.hits = np.zeros(n, dtype=np.int64)
        self.total = np.zeros(n)
        self.observed = np.zeros((self.shape[0] * self.shape[1], n), dtype=np.float32)
        self.by_region = np.zeros((int(self.regions.max()) + 1, n))
        self.moments = np.zeros((11, n))
        self.probed_inside = 0

    @property
    def n_pixels(self) -> int:
        """Number of measured pixels."""
        return self.rows.size

    def add(self, part: slice, expected: Field, observed: Field) -> None:
        """Adds a chunk: expected abundance and observed intensities, float32 (pixels, channels)."""
        self.hits += np.count_nonzero(observed, axis=0)
        self.total += observed.sum(axis=0, dtype=np.float64)
        _add_by_group(self.observed, self.cell[part], np.minimum(observed, self.clip * self.channels.level))
        _add_by_group(self.by_region, self.regions[part], expected)
        self._probe(part, expected, observed)

    def _tops(self) -> Field:
        """0.99 quantile of what is visible without noise, at least 1e-6, float32 (channels,)."""
        c = self.channels
        probed = self.maps[:, :: max(1, self.n_pixels // _PROBES)]
        tops = np.empty(c.mz.size, dtype=np.float32)
        for first in range(0, c.mz.size, _CHANNELS):
            part = slice(first, first + _CHANNELS)
            seen = visible(probed.T @ c.weights[part].T, c.shape[part], c.limit[part])
            rank = int(0.99 * (len(seen) - 1))
            tops[part] = np.partition(seen, rank, axis=0)[rank]
        result: Field = np.maximum(tops, np.float32(1e-6))
        return result

    def _probe(self, part: slice, expected: Field, observed: Field) -> None:
        """Adds what detail and grain need, from every k-th measured pixel."""
        step = max(1, self.n_pixels // _PROBES)
        picked = np.arange(-part.start % step, expected.shape[0], step)
        if not picked.size:
            return
        c = self.channels
        seen = np.minimum(observed[picked] / c.level, self.clip)
        mean = np.minimum(visible(expected[picked], c.shape, c.limit), self.top)
        inside = self.regions[part][picked] > 0
        on_sample, on_sample_mean = seen[inside], mean[inside]
        self.moments += [
            (seen * mean).sum(axis=0, dtype=np.float64),
            seen.sum(axis=0, dtype=np.float64),
            mean.sum(axis=0, dtype=np.float64),
            (seen**2).sum(axis=0, dtype=np.float64),
            (mean**2).sum(axis=0, dtype=np.float64),
            on_sample.sum(axis=0, dtype=np.float64),
            (on_sample**2).sum(axis=0, dtype=np.float64),
            (on_sample * on_sample_mean).sum(axis=0, dtype=np.float64),
            on_sample_mean.sum(axis=0, dtype=np.float64),
            (on_sample_mean**2).sum(axis=0, dtype=np.float64),
            np.full(seen.shape[1], picked.size, dtype=np.float64),
        ]
        self.probed_inside += int(inside.sum())

    def truth(self) -> pd.DataFrame:
        """Truth of each channel, judged as :mod:`~ionmorphnet.simulation.observer` judges single images."""
        labels, structure = self._judged()
        in_region = np.maximum(np.bincount(self.regions, minlength=len(self.by_region)), 1)
        brightest = np.argmax(self.by_region / in_region[:, None], axis=0)
        return pd.DataFrame(
            {
                "mz": self.channels.mz,
                "label": np.array(CLASSES)[labels],
                "informative": self.channels.informative,
                "structure": structure.round(3),
                "region": np.where(self.channels.labels == UNSTRUCTURED, -1, brightest),
                "frequency": self.hits / self.n_pixels,
                "mean_intensity": self.total / self.n_pixels,
            }
        )

    def _judged(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        c = self.channels
        n_cells = self.shape[0] * self.shape[1]
        pixels = np.bincount(self.cell, minlength=n_cells)
        measured = (pixels > 0).reshape(self.shape)
        share = np.bincount(self.cell, weights=self.regions > 0, minlength=n_cells) / np.maximum(pixels, 1)
        tissue = (share > 0.5).reshape(self.shape)
        used = np.flatnonzero(pixels)
        # Abundance is linear in the maps, so its mean over a cell comes from the means of the maps.
        maps = np.zeros((n_cells, len(self.maps)), dtype=np.float64)
        _add_by_group(maps, self.cell, self.maps.T)
        maps[used] /= pixels[used, None]
        detail, grain = self._detail_and_grain()
        labels, structure = c.labels.copy(), np.zeros(c.mz.size)
        for k in np.flatnonzero(c.labels != UNSTRUCTURED):
            abundance = (maps @ c.weights[k]).astype(np.float32)[:, None]
            expected = visible(abundance, c.shape[k : k + 1], c.limit[k : k + 1])[:, 0].reshape(self.shape)
            image = (self.observed[:, k] / np.maximum(pixels, 1)).astype(np.float32).reshape(self.shape)
            view = Truth(expected, tissue, measured).visibility(image, detail=detail[k], grain=grain[k])
            shares, structure[k] = judge(int(c.labels[k]), view)
            labels[k] = shares.argmax()
        return labels, structure

    def _detail_and_grain(self) -> tuple[list[float], list[float]]:
        """Detail, and coefficient of variation within the sample, of each channel, as in Truth.visibility."""
        product, seen, mean, seen2, mean2, inside, inside2, inside_product, inside_mean, inside_mean2, n = self.moments
        m = max(self.probed_inside, 1)
        # Dark surroundings add nothing to the sums.
        n = n + missing_surroundings(float(n.max(initial=0.0)), float(m), framed=self.framed)
        everywhere = _correlation(product, seen, mean, seen2, mean2, n)
        within = _correlation(inside_product, inside, inside_mean, inside2, inside_mean2, np.full_like(n, m))
        average = np.maximum(inside / m, 1e-6)
        grain = np.sqrt(np.maximum(inside2 / m - average**2, 0.0)) / average
        detail = [bounded_detail(*each) for each in zip(everywhere, within, grain, strict=True)]
        return [float(x) for x in detail], [float(x) for x in grain]


def _correlation(
    product: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    a2: NDArray[np.float64],
    b2: NDArray[np.float64],
    n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pearson correlation from sums of products, values and squares over n pairs; 0 if one is constant."""
    spread = (a2 - a**2 / n) * (b2 - b**2 / n)
    known = spread > 1e-12
    result: NDArray[np.float64] = np.where(known, product - a * b / n, 0.0) / np.sqrt(np.where(known, spread, 1.0))
    return result


def _add_by_group(sums: NDArray[np.floating], group: NDArray[np.int64], values: Field) -> None:
    """Adds the sum of ``values[group == g]`` over the pixels to ``sums[g]``."""
    order = np.argsort(group, kind="stable")
    present, first = np.unique(group[order], return_index=True)
    sums[present] += np.add.reduceat(values[order], first, axis=0, dtype=np.float64)
