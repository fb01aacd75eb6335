"""Channels that are probably another form of the same molecule: isotopes and adducts, flagged and never dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.arguments import number, positive

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Differences in m/z between the heavier and the lighter form (charge 1 unless stated), from the masses of the isotopes
# and of the electron (CODATA/AME): 13C - 12C, and the adduct ions less H+.
RELATIONS: Mapping[str, float] = {
    "13C isotope": 1.0033548,
    "13C isotope, charge 2": 0.5016774,
    "second 13C isotope": 2.0067097,
    "34S isotope": 1.9957959,
    "37Cl isotope": 1.9970501,
    "81Br isotope": 1.9979535,
    "NH4 for H": 17.0265491,
    "Na for H": 21.9819442,
    "K for H": 37.9558817,
    "K for Na": 15.9739374,
    "Na for NH4": 4.9553952,
    "Cl for -H": 35.9766776,
    "water": 18.0105647,
}

# Correlation of the images over the sections that have both channels.
Correlation = Callable[[Int64, Int64], Float64]
# Two float32 columns as read, their square roots in float64 and a temporary of these, and the two factors of a product.
_BYTES_OF_A_PAIR = 2 * (4 + 8 + 8) + 2 * 8


def relatives(
    mz: npt.ArrayLike,
    correlation: Correlation,
    *,
    tolerance_ppm: float = 3.0,
    min_correlation: float = 0.8,
) -> pd.DataFrame:
    """Pairs of channels with the distance of a known relation and images alike.

    Args:
        mz: Channels (C,), ascending.
        correlation: Given positions of lighter and heavier channels (k,), the correlations of their images (k,); NaN
            where they cannot be compared. Called once.
        tolerance_ppm: Largest deviation of a distance, in ppm of the heavier m/z.
        min_correlation: Least correlation, -1 to 1.

    Returns:
        One row per pair: ``lighter`` and ``heavier`` (positions), ``mz_lighter``, ``mz_heavier``, ``relation``,
        ``error_ppm`` and ``correlation``, ascending in the heavier and in the size of the error.

    Raises:
        ArgumentError: A limit is out of range.
    """
    tolerance_ppm = positive("tolerance_ppm", tolerance_ppm)
    min_correlation = number("min_correlation", min_correlation, -1.0, 1.0)
    values = np.asarray(mz, np.float64)
    parts = []
    for relation, distance in RELATIONS.items():
        target = values - distance
        reach = tolerance_ppm * 1e-6 * values
        first = np.searchsorted(values, target - reach)
        last = np.searchsorted(values, target + reach, side="right")
        for heavier in np.flatnonzero(last > first):
            for lighter in range(first[heavier], last[heavier]):
                error = (values[heavier] - values[lighter] - distance) / values[heavier] * 1e6
                parts.append((lighter, int(heavier), relation, float(error)))
    table = pd.DataFrame(parts, columns=["lighter", "heavier", "relation", "error_ppm"])
    table = table.astype({"lighter": np.int64, "heavier": np.int64, "error_ppm": np.float64})
    pairs = table[["lighter", "heavier"]].to_numpy(np.int64)
    table["correlation"] = correlation(pairs[:, 0], pairs[:, 1]) if len(table) else np.zeros(0)
    table = table[table["correlation"] >= min_correlation]
    table.insert(2, "mz_lighter", values[table["lighter"]])
    table.insert(3, "mz_heavier", values[table["heavier"]])
    order = np.lexsort([table["error_ppm"].abs(), table["heavier"]])
    return table.iloc[order].reset_index(drop=True)


def image_correlation(
    sections: Sequence[Callable[[Int64], npt.NDArray[np.float32]]], members: Int64, *, memory: int = 1 << 30
) -> Correlation:
    """Correlation of channels over the sections that have both.

    Args:
        sections: For each section a function of channel positions (k,) that returns their values, float32 (pixels, k).
        members: int64 (n_sections, C), -1 where a section lacks a channel.
        memory: Bytes that the values of the pairs looked at together may take.

    Returns:
        A function for :func:`relatives`: the median over sections of Pearson's correlation of square roots, which a few
        bright pixels do not decide.
    """

    def correlate(lighter: Int64, heavier: Int64) -> Float64:
        found = np.full((len(sections), len(lighter)), np.nan)
        for k, values_of in enumerate(sections):
            both = np.flatnonzero((members[k, lighter] >= 0) & (members[k, heavier] >= 0))
            n_pixels = len(values_of(np.zeros(0, np.int64)))
            at_once = max(1, memory // (_BYTES_OF_A_PAIR * max(1, n_pixels)))
            for first in range(0, len(both), at_once):
                part = both[first : first + at_once]
                found[k, part] = _correlations(values_of, lighter[part], heavier[part])
        some = np.isfinite(found).any(axis=0)
        result = np.full(len(lighter), np.nan)
        result[some] = np.nanmedian(found[:, some], axis=0)
        return result

    return correlate


def _correlations(
    values_of: Callable[[Int64], npt.NDArray[np.float32]], lighter: Int64, heavier: Int64
) -> npt.NDArray[np.float64]:
    needed, place = np.unique(np.concatenate([lighter, heavier]), return_inverse=True)
    root = np.sqrt(np.maximum(values_of(needed), 0.0), dtype=np.float64)
    root -= root.mean(axis=0)
    norm = np.sqrt((root**2).sum(axis=0))
    a, b = place[: len(lighter)], place[len(lighter) :]
    product = np.einsum("pk,pk->k", root[:, a], root[:, b])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norm[a] * norm[b] > 0, product / (norm[a] * norm[b]), np.nan)
