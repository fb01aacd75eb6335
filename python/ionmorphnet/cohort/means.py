"""Means of the common channels in each section and patient, as tables for statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.cohort.carried import free_name
from ionmorphnet.cohort.consensus import Consensus
from ionmorphnet.cohort.matrix import StoredMeans, stored_means
from ionmorphnet.cohort.study import MATRICES, StudySection

PATIENT = "patient"
# Columns of the tables; a column of the sample list that has one of their names gets a prefix.
_SECTION = ("section", "sample", "n_pixels", "normalize")
_LONG = (*_SECTION, "channel", "mz", "name", "mean", "mean_pixels", "present", "picked", "n_sections", "reason")


@dataclass(frozen=True)
class StudyMeans:
    """Means of the sections that have them.

    Attributes:
        sections: A row per section: ``section``, ``sample``, the columns of the sample list, ``n_pixels``,
            ``normalize``.
        values: Mean of each channel over the measured pixels, float64 (n_sections, C).
        places: Position of each section in the consensus.
        normalize: How the pixels were normalised.
        missing: Sections without means, and why.
    """

    sections: pd.DataFrame
    values: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64]
    normalize: str
    missing: dict[str, str]

    @property
    def columns(self) -> list[str]:
        """The columns of the sample list."""
        return [str(name) for name in self.sections if name not in _SECTION]


def read_means(out: Path, found: Consensus, sections: Sequence[StudySection]) -> StudyMeans:
    """The means that :func:`ionmorphnet.cohort.write_matrix` left in the sections' stores.

    A section that was not extracted, or with other channels than those of the consensus, is missing.

    Raises:
        FileError: No section has means, or they are on different scales.
        UnavailableError: anndata or zarr is not installed.
    """
    windows = found.channels[["mz", "mz_lo", "mz_hi"]].to_numpy(np.float64).T
    places = {name: k for k, name in enumerate(found.sections)}
    stored: list[tuple[StudySection, StoredMeans]] = []
    missing: dict[str, str] = {}
    for section in sections:
        if section.name not in places:
            missing[section.name] = "picked after the consensus"
            continue
        path = out / MATRICES / f"{section.name}.zarr"
        if not path.exists():
            missing[section.name] = "not in the matrix"
            continue
        means = stored_means(path)
        drift = found.drift[places[section.name]]
        own = [*map(float, np.ravel(means.facts["drift_mz"])), *map(float, np.ravel(means.facts["drift_ppm"]))]
        if not np.array_equal(means.windows, windows) or own != [*drift.mz, *drift.ppm]:
            missing[section.name] = "extracted with another consensus"
            continue
        stored.append((section, means))
    remedy = "run ionmorphnet cohort matrix"
    if not stored:
        why = sorted(set(missing.values()))
        raise FileError(f"{out}: no section has means ({', '.join(why)}); {remedy}")
    scales = sorted({(str(each.facts["normalize"]), float(each.facts["unit"])) for _, each in stored})
    if len(scales) > 1:
        shown = ", ".join(dict.fromkeys(name for name, _ in scales))
        raise FileError(f"{out}: the sections of the matrix are on different scales ({shown}); {remedy} to its end")
    names = dict.fromkeys(name for section, _ in stored for name in section.entry.columns)
    free = {name: free_name(name, {*_LONG}, "sample") for name in names}
    rows = [
        {
            "section": section.name,
            "sample": section.entry.name,
            **{free[name]: section.entry.columns.get(name, "") for name in names},
            "n_pixels": each.n_pixels,
            "normalize": scales[0][0],
        }
        for section, each in stored
    ]
    return StudyMeans(
        pd.DataFrame(rows),
        np.stack([each.means for _, each in stored]),
        np.array([places[section.name] for section, _ in stored], np.int64),
        scales[0][0],
        missing,
    )


def patient_means(means: StudyMeans) -> tuple[pd.DataFrame, npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Means over the sections of each patient.

    Returns:
        None if no section has a patient. Otherwise a row per patient (``patient``, the columns of the sample list that
        are the same in all sections of each patient, ``n_sections``, ``n_pixels``, ``normalize``); the mean of the
        sections' means, (n_patients, C), where each section counts the same; and the mean over all pixels.
    """
    table = means.sections
    if PATIENT not in table or not (table[PATIENT] != "").any():
        return None
    patients = sorted(set(table[PATIENT]) - {""})
    rows, plain, weighted = [], [], []
    constant = [
        name
        for name in means.columns
        if name != PATIENT and (table[table[PATIENT] != ""].groupby(PATIENT)[name].nunique() == 1).all()
    ]
    for patient in patients:
        own = np.flatnonzero(table[PATIENT] == patient)
        pixels = table["n_pixels"].to_numpy(np.float64)[own]
        rows.append(
            {
                PATIENT: patient,
                **{name: table[name].iloc[own[0]] for name in constant},
                "n_sections": len(own),
                "n_pixels": int(pixels.sum()),
                "normalize": means.normalize,
            }
        )
        plain.append(means.values[own].mean(axis=0))
        weighted.append(pixels @ means.values[own] / max(1.0, pixels.sum()))
    return pd.DataFrame(rows), np.stack(plain), np.stack(weighted)


def wide_table(rows: pd.DataFrame, values: npt.NDArray[np.float64], mz: npt.NDArray[np.float64]) -> pd.DataFrame:
    """A row per section or patient, a column per channel, ``mz_<m/z>``, which R takes as it is."""
    names = channel_columns(mz)
    return pd.concat([rows, pd.DataFrame(values, columns=names, index=rows.index)], axis=1)


def channel_columns(mz: npt.NDArray[np.float64]) -> list[str]:
    """Names of channels as columns: six digits, and more where these do not tell two apart."""
    for digits in (6, 9, 12):
        names = [f"mz_{value:.{digits}f}" for value in mz]
        if len(set(names)) == len(names):
            return names
    raise ArgumentError("two channels have the same m/z")


def long_table(rows: pd.DataFrame, channels: pd.DataFrame, values: dict[str, npt.NDArray[np.generic]]) -> pd.DataFrame:
    """A row per section (or patient) and channel.

    Args:
        rows: n sections or patients.
        channels: C channels.
        values: Further columns, (n, C) each.
    """
    n, c = len(rows), len(channels)
    left = rows.iloc[np.repeat(np.arange(n), c)].reset_index(drop=True)
    right = channels.iloc[np.tile(np.arange(c), n)].reset_index(drop=True)
    own = pd.DataFrame({name: each.ravel() for name, each in values.items()})
    return pd.concat([left, right, own], axis=1)
