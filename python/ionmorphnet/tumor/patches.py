"""Labelled pixels of several sections and their patches, which the native core extracts in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.tumor.cubes import Cube, CubeStore

Float32 = npt.NDArray[np.float32]

LEAST_VARIANCE = 1e-4  # added to variances, which keeps their roots differentiable
COMPONENTS = 12  # projections of the channels whose local variance is a feature
TEXTURE_SIDES = (5, 9)
LEAST_TEXTURE = 1e-2  # added to their variances; that of the noise of a pixel is 1

# Values held at once: of spectra for statistics, and of patches (32 MB).
_STATISTICS_VALUES = 500_000
_PATCH_VALUES = 8_000_000


@dataclass(frozen=True)
class Neighbourhood:
    """What a classifier of local features sees around a pixel.

    Attributes:
        side: Side of the patch in pixels.
        near: Side of the part of it over which channels are averaged.
        spread: Whether the standard deviations of the channels are features too.
        texture: Whether the logs of the local variances of projections are, over ``TEXTURE_SIDES``.
    """

    side: int
    near: int
    spread: bool = False
    texture: bool = False

    def count(self, channels: int) -> int:
        """Number of features."""
        textures = len(TEXTURE_SIDES) * min(COMPONENTS, channels) if self.texture else 0
        return channels * (2 if self.spread else 1) + textures


# Suffix of a method's name -> features.
FEATURES: Mapping[str, Neighbourhood] = {
    "": Neighbourhood(1, 1),
    "-mean": Neighbourhood(5, 5),
    "-meanstd": Neighbourhood(5, 5, spread=True),
    "-texture": Neighbourhood(max(TEXTURE_SIDES), 5, texture=True),
}


@dataclass(frozen=True, eq=False, repr=False)
class Pixels:
    """Pixels of some sections; all arrays (n,).

    Attributes:
        section: int64, position of the section among the cubes.
        pixel: int64, linear index y * W + x.
        label: int64, class; -1 = none.
    """

    section: npt.NDArray[np.int64]
    pixel: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of pixels."""
        return len(self.pixel)

    def __repr__(self) -> str:
        """Counts."""
        return f"Pixels({len(self)} of {len(np.unique(self.section))} sections)"

    def __getitem__(self, chosen: npt.NDArray[np.int64] | slice) -> Pixels:
        """The pixels at these positions."""
        return Pixels(self.section[chosen], self.pixel[chosen], self.label[chosen])


def labelled_pixels(cubes: Sequence[Cube], sections: Sequence[int]) -> Pixels:
    """All labelled pixels of the sections at these positions, section by section."""
    return _joined(cubes, [(i, cubes[i].labelled()) for i in sections])


def measured_pixels(cubes: Sequence[Cube], sections: Sequence[int]) -> Pixels:
    """All measured pixels of the sections at these positions, section by section; -1 = no label."""
    return _joined(cubes, [(i, np.flatnonzero(cubes[i].measured.ravel())) for i in sections])


def _joined(cubes: Sequence[Cube], parts: Sequence[tuple[int, npt.NDArray[np.int64]]]) -> Pixels:
    return Pixels(
        np.concatenate([np.full(len(pixel), i, np.int64) for i, pixel in parts] or [np.zeros(0, np.int64)]),
        np.concatenate([pixel for _, pixel in parts] or [np.zeros(0, np.int64)]),
        np.concatenate([cubes[i].labels.ravel()[p].astype(np.int64) for i, p in parts] or [np.zeros(0, np.int64)]),
    )


def groups_of(cubes: Sequence[Cube], pixels: Pixels) -> npt.NDArray[np.int64]:
    """Number of the patient of each pixel, int64 (n,)."""
    patients = np.unique([cube.group for cube in cubes], return_inverse=True)[1]
    found: npt.NDArray[np.int64] = patients[pixels.section].astype(np.int64)
    return found


def thinned(pixels: Pixels, most: int, seed: int) -> Pixels:
    """About ``most`` pixels at most, drawn evenly from each class of each section; deterministic for a seed."""
    if len(pixels) <= most:
        return pixels
    key = pixels.section * (int(pixels.label.max()) + 1) + pixels.label
    cells, index = np.unique(key, return_inverse=True)
    share = max(1, most // len(cells))
    order = np.random.default_rng([seed, 77]).permutation(len(pixels))
    place = np.empty(len(pixels), np.int64)
    for cell in range(len(cells)):
        members = order[index[order] == cell]
        place[members] = np.arange(len(members))
    return pixels[np.flatnonzero(place < share)]


@dataclass(frozen=True, eq=False, repr=False)
class Scaling:
    """The channels of a classifier and their standardisation.

    Attributes:
        channels: int64 (k,), positions on the cubes' axis.
        centre: float32 (k,), mean over the training pixels.
        scale: float32 (k,), 1 / standard deviation; 0 where a channel is constant.
    """

    channels: npt.NDArray[np.int64]
    centre: Float32
    scale: Float32

    @classmethod
    def of(cls, cubes: Sequence[Cube], pixels: Pixels, channels: npt.NDArray[np.int64]) -> Scaling:
        """Computes mean and standard deviation over some pixels; every section has the same weight.

        Raises:
            ArgumentError: A value is not finite.
        """
        n, mean, square = 0, np.zeros(len(channels)), np.zeros(len(channels))
        step = max(1, _STATISTICS_VALUES // max(1, len(channels)))
        for section in np.unique(pixels.section):
            own = pixels.pixel[pixels.section == section]
            flat = cubes[section].values.reshape(-1, cubes[section].n_channels)
            total, total_square = np.zeros(len(channels)), np.zeros(len(channels))
            for first in range(0, len(own), step):
                # Only the chosen channels are copied: an axis may have thousands.
                values = flat[own[first : first + step, None], channels].astype(np.float64)
                total += values.sum(axis=0)
                total_square += (values**2).sum(axis=0)
            if not np.isfinite(total_square).all():
                bad = int(channels[np.flatnonzero(~np.isfinite(total_square))[0]])
                raise ArgumentError(f"{cubes[section].name}: channel {bad} holds NaN or infinite values")
            n, mean, square = n + 1, mean + total / len(own), square + total_square / len(own)
        mean, square = mean / n, square / n
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        tiny = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-12)
        scale = np.where(tiny, 0.0, 1.0 / np.where(tiny, 1.0, deviation))
        return cls(channels, mean.astype(np.float32), scale.astype(np.float32))


def pieces(n: int, values: int) -> Iterator[slice]:
    """Divides ``n`` pixels, each with ``values`` values, into slices of about 32 MB."""
    step = max(1, _PATCH_VALUES // max(1, values))
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))


def extract(
    cubes: Sequence[Cube], pixels: Pixels, size: int, scaling: Scaling, *, threads: int = 0
) -> tuple[Float32, npt.NDArray[np.uint8]]:
    """Extracts the patches around pixels, in the order of the pixels.

    Args:
        cubes: The sections.
        pixels: Centres of the patches.
        size: Side of a patch in pixels, odd.
        scaling: Channels and their standardisation.
        threads: CPU threads; 0: all cores. The result does not depend on it.

    Returns:
        Patches, float32 (n, k, size, size), axes [patch, channel, y, x], 0 where not measured or outside the grid, and
        masks, uint8 (n, size, size), 1 = measured.

    Raises:
        ArgumentError: ``size`` is even or not positive.
    """
    sections = np.unique(pixels.section)
    if len(sections) == 1:
        return _extract(cubes[int(sections[0])], pixels.pixel, size, scaling, threads)
    values = np.empty((len(pixels), len(scaling.channels), max(size, 0), max(size, 0)), np.float32)
    mask = np.empty((len(pixels), max(size, 0), max(size, 0)), np.uint8)
    for section in sections:
        own = np.flatnonzero(pixels.section == section)
        values[own], mask[own] = _extract(cubes[section], pixels.pixel[own], size, scaling, threads)
    return values, mask


def in_batches(
    cubes: Sequence[Cube], pixels: Pixels, size: int, scaling: Scaling, batch: int, *, threads: int = 0
) -> Iterator[tuple[slice, Float32, npt.NDArray[np.uint8]]]:
    """Extracts patches as :func:`extract` does, in batches of at most ``batch`` patches and about 32 MB.

    All batches share the same arrays, because clearing new memory takes as long as the extraction.

    Yields:
        Positions of the batch among the pixels, its patches and its masks; valid until the next batch.
    """
    batch = int(np.clip(_PATCH_VALUES // (max(1, len(scaling.channels)) * max(1, size) ** 2), 1, batch))
    values = np.empty((min(batch, len(pixels)), len(scaling.channels), size, size), np.float32)
    mask = np.empty((len(values), size, size), np.uint8)
    for first in range(0, len(pixels), batch):
        part = slice(first, min(first + batch, len(pixels)))
        chosen = pixels[part]
        n = len(chosen)
        if (chosen.section == chosen.section[0]).all():
            cube = cubes[int(chosen.section[0])]
            yield part, *_extract(cube, chosen.pixel, size, scaling, threads, out=(values[:n], mask[:n]))
        else:
            yield part, *extract(cubes, chosen, size, scaling, threads=threads)


def local_features(
    cubes: Sequence[Cube], pixels: Pixels, scaling: Scaling, kind: str = "", projection: Float32 | None = None
) -> Float32:
    """What a classifier without filters sees of each pixel, from standardised values.

    Args:
        cubes: The sections.
        pixels: The pixels, each measured.
        scaling: The k channels and their standardisation.
        kind: Name in ``FEATURES``.
        projection: float32 (k, m), see :func:`~ionmorphnet.tumor.texture.texture_projection`; for texture only.

    Returns:
        float32 (n, d): the means of the channels over the measured pixels around; then their standard deviations, or
        the logs of the variances of the projections over each of ``TEXTURE_SIDES``.
    """
    return neighbourhoods(cubes, pixels, scaling, FEATURES[kind], projection)


def neighbourhoods(
    cubes: Sequence[Cube], pixels: Pixels, scaling: Scaling, wanted: Neighbourhood, projection: Float32 | None = None
) -> Float32:
    """Features of any neighbourhood; see :func:`local_features`."""
    k = len(scaling.channels)
    found = np.empty((len(pixels), wanted.count(k)), np.float32)
    for part, patches, given in in_batches(cubes, pixels, wanted.side, scaling, 4096):
        values, mask = inner(patches, wanted.near), inner(given, wanted.near)
        # A centre is measured, so no patch is empty.
        n = mask.sum(axis=(1, 2), dtype=np.float32)[:, None]
        mean = values.sum(axis=(2, 3)) / n
        found[part, :k] = mean
        if wanted.spread:
            away = (values - mean[:, :, None, None]) * mask[:, None]
            found[part, k:] = np.sqrt((away**2).sum(axis=(2, 3)) / n + LEAST_VARIANCE)
        if wanted.texture:
            assert projection is not None
            projected = np.matmul(projection.T, patches.reshape(*patches.shape[:2], -1))
            projected = projected.reshape(len(patches), -1, *patches.shape[2:])
            found[part, k:] = np.concatenate([_log_variance(projected, given, side) for side in TEXTURE_SIDES], axis=1)
    return found


def _log_variance(patches: Float32, mask: npt.NDArray[np.uint8], side: int) -> Float32:
    values, mask = inner(patches, side), inner(mask, side)
    n = mask.sum(axis=(1, 2), dtype=np.float32)[:, None]
    away = (values - (values.sum(axis=(2, 3)) / n)[:, :, None, None]) * mask[:, None]
    found: Float32 = np.log((away**2).sum(axis=(2, 3)) / n + np.float32(LEAST_TEXTURE))
    return found


def inner(patches: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """The middle of patches (..., size, size)."""
    first = (patches.shape[-1] - side) // 2
    return patches[..., first : first + side, first : first + side]


def side_means(values: Float32, measured: npt.NDArray[np.bool_], side: int) -> Float32:
    """Means of the measured pixels of the square around each pixel.

    Args:
        values: float32 (H, W, k), 0 where not measured.
        measured: bool (H, W).
        side: Side of the square, odd.

    Returns:
        float32 (H, W, k), 0 where not measured.
    """
    weight = np.maximum(_side_sums(measured.astype(np.float64), side), 1.0)
    sums = _side_sums(values.astype(np.float64), side)
    found: Float32 = (sums / weight[..., None] * measured[..., None]).astype(np.float32)
    return found


def _side_sums(values: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """Sums over squares along the first two axes."""
    for axis in (0, 1):
        pads = [(side // 2 + 1, side // 2) if i == axis else (0, 0) for i in range(values.ndim)]
        sums = np.moveaxis(np.cumsum(np.pad(values, pads), axis=axis), axis, 0)
        values = np.moveaxis(sums[side:] - sums[:-side], 0, axis)
    return values


def feature_cubes(
    cubes: Sequence[Cube], scaling: Scaling, kind: str, projection: Float32 | None, store: CubeStore
) -> list[Cube]:
    """Cubes whose channels are the local features of the scaled channels; see :func:`local_features`."""
    features = FEATURES[kind].count(len(scaling.channels))
    made = []
    for i, cube in enumerate(cubes):
        pixels = measured_pixels(cubes, [i])
        values = store.allocate((*cube.measured.shape, features))
        for part in pieces(len(pixels), features):
            values.reshape(-1, features)[pixels.pixel[part]] = local_features(
                cubes, pixels[part], scaling, kind, projection
            )
        made.append(replace(cube, values=values))
    return made


def _extract(
    cube: Cube,
    pixels: npt.NDArray[np.int64],
    size: int,
    scaling: Scaling,
    threads: int,
    out: tuple[Float32, npt.NDArray[np.uint8]] | tuple[None, None] = (None, None),
) -> tuple[Float32, npt.NDArray[np.uint8]]:
    measured = cube.measured.view(np.uint8)  # the core expects bytes; bool would be copied for every batch
    values, mask = _core.extract_patches(
        cube.values,
        measured,
        pixels,
        size,
        scaling.channels,
        scaling.centre,
        scaling.scale,
        threads=threads,
        out_values=out[0],
        out_mask=out[1],
    )
    return values, mask
