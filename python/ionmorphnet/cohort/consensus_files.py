"""The files of a consensus: tables for people and other programs, from which it is read again without loss."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import atomic_path, make_folder, read_json
from ionmorphnet.base.json_output import write_json
from ionmorphnet.base.versions import versions
from ionmorphnet.cohort.consensus import Consensus, SectionChannels
from ionmorphnet.cohort.drift import Drift
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.picking.tables import read_listed

CHANNELS, MEMBERS, DRIFT, RECORD = "channels.csv", "members.csv", "drift.csv", "consensus.json"
# Columns of channels.csv that are not those of an m/z list.
OWN = (
    *("channel", "mz", "mz_lo", "mz_hi", "n_present", "share_present", "n_picked", "share_picked"),
    *("score", "score_present", "spread_ppm", "label", "votes"),
)
# Version of the layout; it grows when a field changes its meaning or goes.
_SCHEMA = 1


def write_consensus(
    found: Consensus, sections: list[SectionChannels], folder: Path, parameters: dict[str, Any]
) -> list[Path]:
    """Writes a consensus.

    ``channels.csv``: a row per channel. ``members.csv``: a row per channel and section that has it, with the section's
    own m/z, score, class, and whether it was picked. ``drift.csv``: a row per section. ``consensus.json``: the rest.

    Args:
        found: The consensus.
        sections: What it was made of, in the same order.
        folder: Where the files go; made if it is missing.
        parameters: How it was made, for the record.

    Returns:
        The files.

    Raises:
        FileError: They cannot be written.
    """
    make_folder(folder)
    tables = {CHANNELS: channel_table(found), MEMBERS: _member_table(found, sections), DRIFT: drift_table(found)}
    (folder / RECORD).unlink(missing_ok=True)  # until the new one is there, nothing is complete
    for name, table in tables.items():
        with atomic_path(folder / name) as temporary:
            table.to_csv(temporary, index=False)
    write_json(
        folder / RECORD,
        {
            "schema": _SCHEMA,
            "sections": list(found.sections),
            "n_channels": len(found),
            "width_ppm": found.width_ppm,
            "absolute": found.absolute,
            "drift": [dataclasses.asdict(each) for each in found.drift],
            "parameters": parameters,
            "versions": versions(),
        },
    )
    return [folder / name for name in (*tables, RECORD)]


def read_consensus(folder: Path) -> Consensus:
    """Reads what :func:`write_consensus` wrote.

    Raises:
        FileError: The files are not there, or do not fit each other.
    """
    if not (folder / RECORD).is_file():
        raise FileError(f"{folder}: holds no complete consensus; make it with ionmorphnet cohort consensus")
    record = read_json(folder / RECORD)
    try:
        if record["schema"] != _SCHEMA:
            raise FileError(f"{folder / RECORD}: schema {record['schema']}, this version reads {_SCHEMA}")
        names = tuple(str(name) for name in record["sections"])
        drift = tuple(
            Drift(tuple(each["mz"]), tuple(each["ppm"]), int(each["n_matched"]), _number(each["residual_ppm"]))
            for each in record["drift"]
        )
        channels = pd.read_csv(folder / CHANNELS, float_precision="round_trip", keep_default_na=False, na_values=[""])
        members = read_members(folder, "channel", "section", "candidate")
        labels = channels["label"].astype(object).map({name: k for k, name in enumerate(CLASSES)})
        channels["label"] = labels.fillna(-1).astype(np.int64)
        listed = read_listed(folder / CHANNELS, [str(name) for name in channels if name not in OWN])
        channels[listed.columns] = listed
        position = {name: k for k, name in enumerate(names)}
        table = np.full((len(names), len(channels)), -1, np.int64)
        rows = members["section"].map(position)
        table[rows.to_numpy(np.int64), members["channel"].to_numpy(np.int64) - 1] = members["candidate"]
        found = Consensus(
            channels.drop(columns="channel"),
            table,
            names,
            drift,
            float(record["width_ppm"]),
            bool(record["absolute"]),
        )
        fits = len(channels) == record["n_channels"] and len(drift) == len(names)
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise FileError(f"{folder}: not a readable consensus ({type(error).__name__}: {error})") from None
    if not fits:
        raise FileError(f"{folder}: its files are not of one consensus; make it again")
    return found


def read_members(folder: Path, *columns: str) -> pd.DataFrame:
    """Columns of ``members.csv``. Names of sections stay texts: ``007`` is no number, ``NA`` is not missing.

    Raises:
        OSError: The file cannot be read.
        ValueError: A column is missing.
    """
    return pd.read_csv(
        folder / MEMBERS,
        usecols=list(columns),
        dtype={"section": str, "label": str},
        float_precision="round_trip",
        keep_default_na=False,
        na_values={"score": [""]},
    )


def channel_table(found: Consensus) -> pd.DataFrame:
    """The channels with the names of their classes, numbered from 1."""
    table = found.channels.copy()
    codes = table["label"].to_numpy(np.int64)
    names = np.array([*CLASSES, ""], dtype=object)
    table["label"] = names[codes]
    table.insert(0, "channel", np.arange(1, len(table) + 1))
    return table


def drift_table(found: Consensus) -> pd.DataFrame:
    """The drift of each section at the ends and in the middle of its range."""
    rows = []
    for name, drift in zip(found.sections, found.drift, strict=True):
        low, high = drift.mz[0], drift.mz[-1]
        middle = float(np.sqrt(low * high))
        at = drift.at([low, middle, high])
        rows.append(
            {
                "section": name,
                "mz_low": low,
                "mz_high": high,
                "ppm_low": at[0],
                "ppm_middle": at[1],
                "ppm_high": at[2],
                "n_matched": drift.n_matched,
                "residual_ppm": drift.residual_ppm,
                "piecewise": len(drift.mz) > 2,
            }
        )
    return pd.DataFrame(rows)


def _member_table(found: Consensus, sections: list[SectionChannels]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("channel", "section", "candidate", "mz", "score", "picked", "label")
    }
    names = np.array([*CLASSES, ""], dtype=object)
    for k, section in enumerate(sections):
        has = np.flatnonzero(found.members[k] >= 0)
        own = found.members[k, has]
        columns["channel"].append(has + 1)
        columns["section"].append(np.full(len(has), section.name, dtype=object))
        columns["candidate"].append(own)
        columns["mz"].append(section.mz[own])
        columns["score"].append(section.score[own])
        columns["picked"].append(section.picked[own])
        columns["label"].append(names[section.label[own]])
    joined = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in columns.items()}
    table = pd.DataFrame(joined)
    return table.sort_values(["channel"], kind="stable").reset_index(drop=True)


def _number(value: object) -> float:
    return float("nan") if value is None else float(str(value))
