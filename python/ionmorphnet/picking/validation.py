"""Validation: reads every spectrum of a file and lists its problems."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field
from typing import Literal, Unpack

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.errors import FileError, IonMorphNetError
from ionmorphnet.base.paths import PathLike, utf8_path
from ionmorphnet.base.progress import Progress, shown_progress
from ionmorphnet.io.data_checks import BY_SPECTRUM, check_data
from ionmorphnet.io.dataset import CHANGED, Dataset, open_dataset
from ionmorphnet.io.info import declared_checksums
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.picking.section import pick

__all__ = ["Problem", "ValidationReport", "validate"]

Kind = Literal["open", "file", "data", "spectrum", "checksum"]
Severity = Literal["error", "warning"]

# Channels whose images are looked at for patterns of the measurement.
_PICKS = 20


@dataclass(frozen=True)
class Problem:
    """One kind of problem, found in the file as a whole or in any number of spectra.

    Attributes:
        kind: ``"open"`` (the file cannot be opened), ``"file"`` (what it declares), ``"data"`` (signs
            of a faulty measurement or conversion), ``"spectrum"`` or ``"checksum"``.
        severity: ``"error"`` or ``"warning"``.
        message: The cause, as found in the first affected spectrum.
        count: Number of affected spectra; 1 for the file as a whole.
        first: Index of the first affected spectrum; None for the file as a whole.
    """

    kind: Kind
    severity: Severity
    message: str
    count: int = 1
    first: int | None = None


@dataclass(frozen=True)
class ValidationReport:
    """Result of :func:`ionmorphnet.validate`.

    Attributes:
        path: Path of the imzML file.
        n_spectra: Number of spectra checked; 0 if the file cannot be opened.
        problems: One entry for each kind of problem.
    """

    path: str
    n_spectra: int
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are no errors; warnings are allowed."""
        return all(problem.severity != "error" for problem in self.problems)

    def to_dict(self) -> dict[str, object]:
        """Returns all fields and ``ok`` as plain Python values, ready for JSON."""
        return {**asdict(self), "ok": self.ok}

    def __repr__(self) -> str:
        """Verdict and counts in one line."""
        errors = sum(problem.severity == "error" for problem in self.problems)
        return (
            f"<ValidationReport {self.path!r}: {'ok' if self.ok else 'not ok'}, {self.n_spectra} spectra, "
            f"{_kinds(errors, 'error')}, {_kinds(len(self.problems) - errors, 'warning')}>"
        )


def _kinds(n: int, what: str) -> str:
    return f"{n} kind{'s' * (n != 1)} of {what}"


def _checksum_problems(ibd_path: str, declared: dict[str, str]) -> list[Problem]:
    wanted = declared_checksums(declared)
    if not wanted:
        return [Problem("checksum", "warning", "the file declares no checksum of its ibd file")]
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in wanted}
    with open(ibd_path, "rb") as stream:
        while piece := stream.read(1 << 20):
            for digest in digests.values():
                digest.update(piece)
    return [
        Problem(
            "checksum", "error", f"{name} of the ibd file is {digests[name].hexdigest()}, the file declares {value}"
        )
        for name, value in wanted.items()
        if digests[name].hexdigest() != value
    ]


def _pick_findings(dataset: Dataset, threads: int) -> list[str]:
    """What a pick says about the candidates and their images; nothing if it fails: the cause is told already."""
    texts: list[str] = []
    try:
        for z in dataset.z_planes:
            plane = dataset if len(dataset.z_planes) == 1 else dataset.plane(z)
            run = pick(plane, scorer="moran", top=_PICKS, threads=threads).run
            texts += run.warnings if run is not None else ()
    except IonMorphNetError:
        return []
    return texts


def validate(
    path: PathLike,
    *,
    threads: int = 0,
    checksum: bool = False,
    progress: Progress | bool | None = None,
    **opened: Unpack[OpenOptions],
) -> ValidationReport:
    """Reads every spectrum of an imzML file and lists the problems, one entry for each kind.

    Args:
        path: The imzML file.
        threads: Worker threads, 0 = all cores. Does not affect the result.
        checksum: Whether to compare the ibd file with its declared checksums as well, which reads it a second time.
        progress: Called as progress(spectra read, all spectra); True: a bar on the terminal or in the notebook. An
            exception raised in it stops the work.
        **opened: How the file is opened: options of :func:`ionmorphnet.open`, such as ``ibd_path``. Without a choice
            of MS level, polarity or run, the spectra of all are read.

    Returns:
        The report. A file that cannot be opened yields a report with one error, not an exception.

    Raises:
        ArgumentError: ``threads`` is not an integer of at least 0, or an option has an unknown value.

    Example:
        >>> import ionmorphnet as imn
        >>> imn.validate("section.imzML", checksum=True)
        <ValidationReport 'section.imzML': ok, 2 spectra, 0 kinds of error, 1 kind of warning>
    """
    workers = thread_count(threads)
    checked_open_options(opened, function="validate")
    text = utf8_path(path)
    problems: list[Problem] = []
    try:
        dataset = open_dataset(text, **opened)
    except FileError as error:
        problems.append(Problem("open", "error", str(error)))
        try:
            # The spectra before a truncation can still be checked.
            lenient: OpenOptions = {**opened, "strict": False}
            dataset = open_dataset(text, **lenient)
        except FileError:
            return ValidationReport(text, 0, problems)
    with dataset, shown_progress(progress, os.path.basename(text), "spectra") as shown:
        native = dataset._native
        if not any(opened.get(choice) for choice in ("ms_level", "polarity", "run")):
            try:
                native = dataset.native_of_all_spectra()
            except FileError as error:  # of spectra that a pick does not read
                problems.append(Problem("open", "error", str(error)))
        n = native.n_spectra
        native_progress = None if shown is None else (lambda done: shown(done, n))
        found = _core.validate(native, threads=workers, progress=native_progress)
        lines = dict.fromkeys(check_data(dataset, threads=workers) + _pick_findings(dataset, workers))
        # After the pick, which may have found more.
        problems += [Problem("file", "warning", line) for line in dataset.warnings if line not in lines]
        problems += [Problem("data", "warning", line) for line in lines if not line.startswith(BY_SPECTRUM)]
        if dataset.was_changed:
            problems.append(Problem("file", "error", CHANGED))
        problems += [
            Problem("spectrum", "error" if is_error else "warning", message, count, first)
            for message, count, first, is_error in found
        ]
        if checksum:
            problems += _checksum_problems(dataset.ibd_path, dataset.declared)
    return ValidationReport(text, n, problems)
