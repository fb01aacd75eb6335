"""pick_files: many imzML files one after the other, each with a result folder. One that fails stops no other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy.typing as npt

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.normalization import checked_normalize
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.models.model import Model
from ionmorphnet.picking.outputs import output_names, parse_formats, prepared_folder, refuse_input_folder
from ionmorphnet.picking.peak_list import PeakList, write_result
from ionmorphnet.picking.progress import PickProgress, Report, Stage, shown_pick
from ionmorphnet.picking.run_record import InputRecord
from ionmorphnet.picking.section import (
    DEFAULT_MEMORY_LIMIT,
    AxisKind,
    SampleChoice,
    axis_kind,
    check_sample,
    check_windows,
    checked_cut,
    pick,
    require_cut,
)
from ionmorphnet.scoring.choose import make_scorer
from ionmorphnet.scoring.scorer import Precision, Scorer, ScorerCallable, ScorerName
from ionmorphnet.scoring.section_calibration import SectionCalibration, calibration_name, calibration_of


@dataclass(frozen=True)
class PickedPlane:
    """One section, or one plane of it, that was picked and written.

    Attributes:
        peaks: The picks. The file is closed; the list opens it again when it needs images.
        z: The plane of a file with several; None otherwise.
        folder: The result folder.
        written: Its files.
        seconds: Wall time, with writing.
        skipped: Formats that could not hold the result, and why.
    """

    peaks: PeakList
    z: int | None
    folder: Path
    written: tuple[Path, ...]
    seconds: float
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PickOutcome:
    """What became of one file.

    Attributes:
        path: The file, as given.
        picked: Its sections in the order of the planes; those before the failure if one failed.
        error: Why the file failed; None if it did not.
        warnings: What was odd about the file and what limits the meaning of the scores, each once.
    """

    path: Path
    picked: tuple[PickedPlane, ...]
    error: Exception | None
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything in the file was picked and written."""
        return self.error is None

    @property
    def message(self) -> str:
        """The error in one line, which names the file; empty if there is none."""
        if self.error is None:
            return ""
        if isinstance(self.error, MemoryError):
            return f"{self.path}: there is not enough memory; give a smaller memory limit or fewer channels"
        if isinstance(self.error, OSError) and not isinstance(self.error, FileError) and self.error.filename:
            return f"{self.error.filename}: {self.error.strerror}"
        return " ".join(str(self.error).split())


def pick_files(
    files: Iterable[PathLike],
    out: PathLike,
    *,
    formats: str | Iterable[str] = ("csv",),
    report: bool = False,
    features: bool = False,
    top: int | None = None,
    min_score: float | None = None,
    model: str | Path | Model | None = None,
    scorer: ScorerName | ScorerCallable | Scorer = "auto",
    device: DeviceName | Device = "auto",
    precision: Precision = "auto",
    engine: PathLike | None = None,
    axis: AxisKind | CandidateAxis | npt.ArrayLike | None = None,
    ppm: float | None = None,
    tol: float | None = None,
    normalize: Normalize | None = None,
    sample: SampleChoice = "auto",
    memory_limit: int | str = DEFAULT_MEMORY_LIMIT,
    device_memory_limit: int | str | None = None,
    cascade: bool = True,
    threads: int = 0,
    calibration: SectionCalibration | PathLike | None = None,
    overwrite: bool = False,
    progress: Callable[[PickProgress], None] | bool | None = None,
    **opened: Unpack[OpenOptions],
) -> Iterator[PickOutcome]:
    """Picks imzML files one after the other and writes a result folder for each.

    The network is loaded once. What is wrong with the arguments is raised by this call; what is wrong with a file is in
    its outcome, and the other files are picked all the same. Files are picked as the outcomes are asked for::

        for outcome in imn.pick_files(paths, "results", report=True):
            print(outcome.path, outcome.message or f"{len(outcome.picked[0].peaks)} picks")

    Args:
        files: imzML files.
        out: Folder for the results. A file goes to ``out/<stem>``; equal stems get their parent folder's name as
            prefix; the planes of a file with several go to ``out/<stem>_z<plane>``. See :meth:`PeakList.save`.
            A file whose folder holds the result of another input fails before it is picked.
        formats: Files to write: names of ``csv``, ``parquet``, ``imzml``, ``h5ad``, or one text with commas.
        report: Write report.html.
        features: Append the classical statistics of the picks to peaks.csv and peaks.parquet.
        top: See :func:`ionmorphnet.pick`, as for the arguments that follow.
        min_score: As above.
        model: As above.
        scorer: As above.
        device: As above.
        precision: As above.
        engine: A TensorRT engine that was built ahead, see :func:`ionmorphnet.make_scorer`.
        axis: As above.
        ppm: As above.
        tol: As above.
        normalize: As above.
        sample: As above; a map that is given is for all files.
        memory_limit: As above.
        device_memory_limit: As above.
        cascade: As above.
        threads: As above.
        calibration: As above.
        overwrite: Replace the results of other inputs too.
        progress: Called with a :class:`PickProgress`; True: a bar on the terminal or in the notebook. An exception
            that it raises stops the work.
        **opened: How every file is opened: options of :func:`ionmorphnet.open`, such as ``duplicates="sum"``;
            ``ibd_path`` for a single file only.

    Yields:
        One outcome per file, in the order given.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range, or two files would write to one folder.
        FileError: The model cannot be used.
        UnavailableError: The scorer or device is not available.
    """
    paths = [Path(file) for file in files]
    names = output_names(paths)
    top, min_score = checked_cut(top, min_score)
    threads = thread_count(threads)
    check_windows(axis, ppm, tol)
    check_sample(sample)
    if normalize is not None:
        normalize = checked_normalize(normalize)
    if isinstance(axis, str):
        axis = axis_kind(axis)
    checked_open_options(opened, function="pick_files", paths=paths)
    with shown_pick(progress):  # checks it
        pass
    if axis is not None and not isinstance(axis, (str, CandidateAxis)):
        axis = CandidateAxis.from_mz_list(axis, ppm=ppm, tol=tol)
    arguments: dict[str, Any] = {
        "top": top,
        "min_score": min_score,
        "axis": axis,
        "normalize": normalize,
        "sample": sample,
        "memory_limit": parse_bytes(memory_limit),
        "device_memory_limit": None if device_memory_limit is None else parse_bytes(device_memory_limit),
        "cascade": cascade,
        "threads": threads,
        "calibration": calibration_of(calibration),
    }
    wanted = parse_formats(formats)
    ready = make_scorer(model=model, scorer=scorer, device=device, precision=precision, threads=threads, engine=engine)
    require_cut(ready, top, min_score)
    if arguments["calibration"] is not None:
        arguments["calibration"].require_model(ready.model, calibration_name(calibration))
    batch = _Batch(
        Path(out),
        wanted,
        report,
        features,
        overwrite,
        opened,
        {**arguments, "scorer": ready},
        len(paths),
        progress,
    )
    return batch.run(paths, names)


class _Advance:
    """Tells the caller's progress where a file is, and remembers what the progress raised."""

    def __init__(self, path: Path, number: int, n_files: int, tell: Report | None, raised: list[BaseException]) -> None:
        self._place = (path, number, n_files)
        self._tell = tell
        self._raised = raised

    def __call__(self, z: int | None, stage: Stage, done: int = 0, total: int = 0) -> None:
        if self._tell is None:
            return
        try:
            self._tell(PickProgress(*self._place, z, stage, done, total))
        except BaseException as error:
            self._raised.append(error)
            raise


class _Batch:
    """One call of :func:`pick_files`."""

    def __init__(
        self,
        out: Path,
        formats: tuple[str, ...],
        report: bool,
        features: bool,
        overwrite: bool,
        opened: OpenOptions,
        arguments: dict[str, Any],
        n_files: int,
        progress: Callable[[PickProgress], None] | bool | None,
    ) -> None:
        self.out = out
        self.formats = formats
        self.report = report
        self.features = features
        self.overwrite = overwrite
        self.opened = opened
        self.arguments = arguments
        self.n_files = n_files
        self.progress = progress
        # Result folders of this call, and of which input.
        self.claimed: dict[Path, Path] = {}

    def run(self, paths: list[Path], names: list[str]) -> Iterator[PickOutcome]:
        for number, (path, name) in enumerate(zip(paths, names, strict=True), 1):
            raised: list[BaseException] = []  # by the caller's progress: not the fault of a file
            with shown_pick(self.progress) as tell:
                advance = _Advance(path, number, self.n_files, tell, raised)
                outcome = self._file(path, name, advance)
            if raised:
                raise raised[0]
            yield outcome

    def _file(self, path: Path, name: str, advance: _Advance) -> PickOutcome:
        picked: list[PickedPlane] = []
        warnings: list[str] = []
        failure: Exception | None = None
        try:
            advance(None, "opening")
            with open_dataset(path, **self.opened) as ds:
                for z, plane, folder in self._planes(ds, path, name):
                    picked.append(self._plane(plane, z, folder, advance))
                    run = picked[-1].peaks.run
                    warnings += run.warnings if run is not None else ()
                warnings = [*ds.warnings, *warnings]
        except BrokenPipeError:  # nobody reads the output of the caller's progress: not the fault of this file
            raise
        except (IonMorphNetError, OSError, MemoryError) as error:
            failure = error
        return PickOutcome(path, tuple(picked), failure, tuple(dict.fromkeys(warnings)))

    def _planes(self, ds: Dataset, path: Path, name: str) -> list[tuple[int | None, Dataset, Path]]:
        """The planes of a file and their folders, which are reserved for it.

        Raises:
            ArgumentError: Another file of this call has written to one of the folders.
            FileError: One of them holds the input, or the result of another input.
        """
        planes = ds.z_planes
        if len(planes) <= 1:
            found: list[tuple[int | None, Dataset, Path]] = [(None, ds, self.out / name)]
        else:
            found = [(z, ds.plane(z), self.out / f"{name}_z{z}") for z in planes]
        for _, _, folder in found:
            if folder in self.claimed:
                raise ArgumentError(
                    f"{path}: would write to {folder}, which holds the result of {self.claimed[folder]}: pick them "
                    "into separate folders"
                )
        for _, plane, folder in found:
            refuse_input_folder((ds.path, ds.ibd_path), folder)
            self._require_free(plane, folder)
        self.claimed.update({folder: path for _, _, folder in found})
        return found

    def _require_free(self, ds: Dataset, folder: Path) -> None:
        if not self.overwrite:
            InputRecord.of(ds).refuse_other_result(folder)

    def _plane(self, ds: Dataset, z: int | None, folder: Path, advance: _Advance) -> PickedPlane:
        started = time.perf_counter()
        with prepared_folder(folder):
            self._require_free(ds, folder)  # again: until the lock, another process could write to the folder
            advance(z, "finding channels")
            peaks = pick(ds, progress=lambda done, total: advance(z, "scoring", done, total), **self.arguments)
            advance(z, "writing")
            written = write_result(peaks, folder, formats=self.formats, report=self.report, features=self.features)
        seconds = time.perf_counter() - started
        # The file is closed when the outcome is handed over; the record opens it again if something needs it.
        peaks = dataclasses.replace(peaks, section=None if peaks.run is None else peaks.run.input)
        return PickedPlane(peaks, z, folder, tuple(written), seconds, peaks.unwritable(self.formats))
