"""How a study was made, for its page: what the records of its sections have in common, and where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ionmorphnet.base.files import read_json
from ionmorphnet.cohort.consensus import Consensus
from ionmorphnet.cohort.consensus_files import RECORD
from ionmorphnet.cohort.study import CONSENSUS
from ionmorphnet.picking.run_record import RunRecord

# Values that are listed where sections differ.
_MOST = 8

_PICKS: Mapping[str, Callable[[RunRecord], object]] = {
    "scorer": lambda run: run.scorer,
    "score": lambda run: run.score,
    "model": lambda run: None if run.model is None else f"{run.model.name} ({run.model.sha256[:12]})",
    "calibration": lambda run: None if run.calibration is None else "yes",
    "device": lambda run: run.device,
    "precision": lambda run: run.precision,
    "candidates": lambda run: run.axis.method,
    "normalisation": lambda run: run.input.normalize,
    "top": lambda run: run.parameters.top,
    "minimum score": lambda run: run.parameters.min_score,
    "threshold of the model": lambda run: run.parameters.threshold,
    "half width, ppm": lambda run: run.parameters.ppm,
    "half width, m/z": lambda run: run.parameters.tol,
}
_DATA: Mapping[str, Callable[[RunRecord], object]] = {
    "mode": lambda run: run.input.mode,
    "spectrum type": lambda run: run.input.spectrum_type,
    "polarity": lambda run: run.input.polarity,
    "instrument": lambda run: run.input.instrument,
    "pixel size, µm": lambda run: None if run.input.pixel_size_um is None else _size(run.input.pixel_size_um),
}


def study_facts(out: Path, runs: Sequence[RunRecord], found: Consensus | None) -> dict[str, dict[str, object]]:
    """Groups of named facts.

    Args:
        out: The study's folder.
        runs: Records of the sections that have a result.
        found: The consensus; None: there is none.

    Raises:
        FileError: The record of the consensus cannot be read.
    """
    facts: dict[str, dict[str, object]] = {}
    if runs:
        for heading, group in (("picks", _PICKS), ("data", _DATA)):
            facts[heading] = {name: in_common([of(run) for run in runs]) for name, of in group.items()}
        names = dict.fromkeys(name for run in runs for name in run.versions)
        facts["versions"] = {name: in_common([run.versions.get(name) for run in runs]) for name in names}
    if found is not None:
        record = read_json(out / CONSENSUS / RECORD)
        facts["common channels"] = {
            **record.get("parameters", {}),
            "scale": "absolute" if found.absolute else "relative to the median section",
            "version": record.get("versions", {}).get("ionmorphnet"),
        }
    return facts


def in_common(values: Sequence[object]) -> object:
    """The value that all sections have, or each value with the number of sections that have it."""
    counts = Counter(values)
    if len(counts) == 1:
        return values[0]
    parts = [
        f"{'not stated' if value is None else value} ({n} section{'s' * (n > 1)})"
        for value, n in counts.most_common(_MOST)
    ]
    return ", ".join(parts) + (f" and {len(counts) - _MOST} other values" if len(counts) > _MOST else "")


def _size(pixel_size_um: tuple[float, float]) -> str:
    return " × ".join(f"{each:g}" for each in pixel_size_um)
