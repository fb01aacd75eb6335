"""Reading every spectrum of a file and listing what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ionmorphnet import _core
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike, utf8_path
from ionmorphnet.io.dataset import CHANGED, open_dataset
from ionmorphnet.io.info import declared_checksums

__all__ = ["Problem", "ValidationReport", "validate"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One kind of problem, however many spectra show it."""

    kind: str
    """``"open"`` (the file cannot be opened), ``"file"``, ``"spectrum"`` or ``"checksum"``."""
    severity: Severity
    message: str
    """Cause, as the first spectrum shows it."""
    count: int = 1
    """Number of spectra; 1 for problems of the file as a whole."""
    first: int | None = None
    """Index of the first such spectrum, ``None`` for the file as a whole."""


@dataclass(frozen=True)
class ValidationReport:
    """Result of :func:`validate`."""

    path: str
    n_spectra: int
    """Spectra that were read or tried; 0 if the file cannot be opened."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every spectrum can be used; warnings do not count."""
        return all(problem.severity != "error" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """All fields and ``ok`` as plain Python values, for JSON."""
        return {**asdict(self), "ok": self.ok}

    def __repr__(self) -> str:
        """One line: verdict and numbers."""
        errors = sum(problem.severity == "error" for problem in self.problems)
        return (
            f"<ValidationReport {self.path!r}: {'ok' if self.ok else 'not ok'}, {self.n_spectra} spectra, "
            f"{errors} kinds of errors, {len(self.problems) - errors} kinds of warnings>"
        )


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
        Problem("checksum", "error", f"the ibd file's {name} is {digests[name].hexdigest()}, declared is {value}")
        for name, value in wanted.items()
        if digests[name].hexdigest() != value
    ]


def validate(
    path: PathLike,
    progress: Callable[[int, int], None] | None = None,
    *,
    ibd_path: PathLike | None = None,
    threads: int = 0,
    checksum: bool = False,
) -> ValidationReport:
    """Reads every spectrum of an imzML file and lists the problems, one entry a kind.

    Args:
        path: the imzML file.
        progress: called with (spectra read, spectra in all); an exception raised in it stops the work.
        ibd_path: the ibd file; by default the one beside ``path``.
        threads: number of threads, 0 for all.
        checksum: also compare the ibd file with the declared checksums (reads all of it once more).

    Returns:
        The report; a file that cannot be opened is a report with one error, not an exception.
    """
    text = utf8_path(path)
    problems: list[Problem] = []
    try:
        dataset = open_dataset(text, ibd_path=ibd_path)
    except FileError as error:
        problems.append(Problem("open", "error", str(error)))
        try:
            # A truncated file still holds spectra worth looking at.
            dataset = open_dataset(text, ibd_path=ibd_path, strict=False)
        except FileError:
            return ValidationReport(text, 0, problems)
    with dataset:
        n = dataset.n_spectra
        native_progress = None if progress is None else (lambda done: progress(done, n))
        found = _core.validate(dataset._native, threads=threads, progress=native_progress)
        problems += [Problem("file", "warning", line) for line in dataset.warnings]
        if dataset.was_changed:
            problems.append(Problem("file", "error", CHANGED))
        problems += [
            Problem("spectrum", "error" if is_error else "warning", message, count, first)
            for message, count, first, is_error in found
        ]
        if checksum:
            problems += _checksum_problems(dataset.ibd_path, dataset.declared)
    return ValidationReport(text, n, problems)
