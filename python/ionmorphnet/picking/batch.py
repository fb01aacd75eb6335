"""pick_files: many imzML files one after the other, each with a result folder. One that fails stops no other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy.typing as npt

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import FileError, IonMorphNetError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.base.versions import versions
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import open_quietly
from ionmorphnet.io.inputs import Input, listed_inputs
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.normalization import checked_normalize
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.models.labels import checked_classes
from ionmorphnet.models.model import Model
from ionmorphnet.picking.earlier import request_of
from ionmorphnet.picking.outputs import OPTIONAL_FILES, RECORD, TABLES, parse_formats, require_packages
from ionmorphnet.picking.parts import RegionChoice, checked_regions, log_warnings_of, parts_of, polarity_note
from ionmorphnet.picking.peak_list import PeakList, write_result
from ionmorphnet.picking.places import Place, Places
from ionmorphnet.picking.progress import PickProgress, Report, Stage, shown_pick
from ionmorphnet.picking.run_record import InputRecord
from ionmorphnet.picking.saved import open_run, with_moved_input
from ionmorphnet.picking.section import (
    DEFAULT_MEMORY_LIMIT,
    AxisKind,
    SampleChoice,
    axis_kind,
    check_sample,
    check_windows,
    checked_cut,
    pick,
    require_classes,
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
        title: What tells the part from the others of its file in messages, such as ``z=2``; empty for a whole file.
        already_done: Whether the folder held this result already, so that nothing was picked.
    """

    peaks: PeakList
    z: int | None
    folder: Path
    written: tuple[Path, ...]
    seconds: float
    skipped: dict[str, str] = field(default_factory=dict)
    title: str = ""
    already_done: bool = False


@dataclass(frozen=True)
class PickOutcome:
    """What became of one file.

    Attributes:
        path: The file, as given; a file of a given folder starts with that folder.
        picked: Its sections in the order of the planes; those before the failure if one failed.
        error: Why the file failed; None if it did not.
        warnings: What was odd about the file and what limits the meaning of the scores, each once.
        notes: Where the result is if it is not where one would look first, and why an earlier one was made anew.
        number: Number of the file in the call, from 1.
        n_files: Number of files of the call.
        name: As much of its path as tells the file from the others of the call.
    """

    path: Path
    picked: tuple[PickedPlane, ...]
    error: Exception | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    number: int = 1
    n_files: int = 1
    name: str = ""

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
    exclude: str | Iterable[str] = (),
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
    regions: RegionChoice = "together",
    name: str | None = None,
    force: bool = False,
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
        files: imzML files; folders, which are searched with all that is below them; patterns.
        out: Folder for the results. A file goes to ``out/<stem>``, a file that was found in a given folder to its path
            below that folder. Where another file of the call, or the result of another input, has that name, parent
            folders are put in front: ``out/patient01/MSI/data``. The planes of a file with several go to
            ``out/<stem>_z<plane>``, its polarities to ``out/<stem>_positive`` and ``out/<stem>_negative`` unless
            ``polarity`` chooses one. An input keeps the folder that holds its result. See :meth:`PeakList.save`.
        formats: Files to write: names of ``csv``, ``parquet``, ``xlsx``, ``imzml``, ``h5ad``, ``scils``, ``metaspace``,
            or one text with commas.
        report: Write report.html.
        features: Append the classical statistics of the picks to peaks.csv, peaks.parquet and peaks.xlsx.
        top: See :func:`ionmorphnet.pick`, as for the arguments that follow.
        min_score: As above.
        exclude: As above.
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
        regions: Sections that lie side by side on a slide: pick them ``"together"`` as one section, ``"each"`` into
            ``out/<stem>_region<k>``, or only the region of this number. See :attr:`Dataset.regions`.
        name: Name of the result, for a single input; it may have folders in front.
        force: Pick files again whose result is there already, from the same data with the same settings.
        overwrite: As ``force``; and replace the results of other inputs.
        progress: Called with a :class:`PickProgress`; True: a bar on the terminal or in the notebook. An exception
            that it raises stops the work.
        **opened: How every file is opened: options of :func:`ionmorphnet.open`, such as ``duplicates="sum"``;
            ``ibd_path`` for a single file only.

    Yields:
        One outcome per file, in the order given. A file that was picked before with the same settings, model and
        version is not picked again: its outcome has the result that is there.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range, or a name is given for several files.
        FileError: The model cannot be used.
        UnavailableError: The scorer or device is not available.
    """
    inputs = listed_inputs(files, name)
    regions = checked_regions(regions)
    top, min_score = checked_cut(top, min_score)
    exclude = checked_classes(exclude)
    threads = thread_count(threads)
    check_windows(axis, ppm, tol)
    check_sample(sample)
    if normalize is not None:
        normalize = checked_normalize(normalize)
    if isinstance(axis, str):
        axis = axis_kind(axis)
    checked_open_options(opened, function="pick_files", paths=[given.path for given in inputs])
    with shown_pick(progress):  # checks it
        pass
    if axis is not None and not isinstance(axis, (str, CandidateAxis)):
        axis = CandidateAxis.from_mz_list(axis, ppm=ppm, tol=tol)
    arguments: dict[str, Any] = {
        "top": top,
        "min_score": min_score,
        "exclude": exclude,
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
    require_packages(wanted)
    ready = make_scorer(model=model, scorer=scorer, device=device, precision=precision, threads=threads, engine=engine)
    require_cut(ready, top, min_score)
    require_classes(ready, exclude)
    if arguments["calibration"] is not None:
        arguments["calibration"].require_model(ready.model, calibration_name(calibration))
    settings = None
    if isinstance(scorer, str) or _made_by_name(ready):
        settings = _settings(ready, {**arguments, "features": features})
    kinds = [*wanted, *(["report"] if report else [])]
    files_wanted = [file for kind in kinds for file in OPTIONAL_FILES.get(kind, ())]
    batch = _Batch(
        inputs=inputs,
        places=Places(Path(out), inputs, overwrite=overwrite),
        formats=wanted,
        report=report,
        features=features,
        again=force or overwrite,
        opened=opened,
        arguments={**arguments, "scorer": ready},
        settings=settings,
        files=(*TABLES, *files_wanted, RECORD),
        regions=regions,
        progress=progress,
    )
    return batch.run()


def _made_by_name(scorer: Scorer) -> bool:
    """Whether the same names make the same scorer another time; of a caller's own code nobody can tell."""
    return type(scorer).__module__.startswith("ionmorphnet.") and scorer.name != "callback"


def _settings(scorer: Scorer, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a result depends on besides the section, by name."""
    model = scorer.model
    defaults = {"axis": "auto", "normalize": "none"}
    without = {"memory_limit", "device_memory_limit", "threads"}
    return {
        "version": versions()["ionmorphnet"],
        "scorer": scorer.name,
        "precision": scorer.precision,
        "device": scorer.device.kind,
        "model": None if model is None else model.sha256,
        "model_settings": None if model is None else model.config,
        **{
            name: defaults.get(name) if value is None or (isinstance(value, tuple) and not value) else value
            for name, value in arguments.items()
            if name not in without
        },
    }


class _Advance:
    """Tells the caller's progress where a file is, and remembers what the progress raised."""

    def __init__(self, given: Input, number: int, n_files: int, tell: Report | None) -> None:
        self._place = (given.path, number, n_files)
        self._name = given.shown
        self._tell = tell
        self.raised: list[BaseException] = []

    def __call__(self, z: int | None, stage: Stage, done: int = 0, total: int = 0) -> None:
        if self._tell is None:
            return
        try:
            self._tell(PickProgress(*self._place, z, stage, done, total, self._name))
        except BaseException as error:
            self.raised.append(error)
            raise


@dataclass
class _Batch:
    """One call of :func:`pick_files`."""

    inputs: list[Input]
    places: Places
    formats: tuple[str, ...]
    report: bool
    features: bool
    again: bool
    opened: OpenOptions
    arguments: dict[str, Any]
    settings: dict[str, Any] | None
    files: tuple[str, ...]
    regions: RegionChoice
    progress: Callable[[PickProgress], None] | bool | None
    _read: dict[Path, PeakList] = field(default_factory=dict)

    def run(self) -> Iterator[PickOutcome]:
        for number, given in enumerate(self.inputs, 1):
            with shown_pick(self.progress) as tell:
                advance = _Advance(given, number, len(self.inputs), tell)
                outcome = self._file(given, advance)
            if advance.raised:  # by the caller's progress: not the fault of a file
                raise advance.raised[0]
            yield dataclasses.replace(outcome, number=number, n_files=len(self.inputs), name=given.shown)

    def _file(self, given: Input, advance: _Advance) -> PickOutcome:
        picked: list[PickedPlane] = []
        warnings: list[str] = []
        notes: list[str] = []
        failure: Exception | None = None
        try:
            if given.problem is not None:
                raise given.problem
            advance(None, "opening")
            with open_quietly(given.path, **self.opened) as ds:
                parts = parts_of(ds, self.regions)
                log_warnings_of(parts)
                with self.places.prepared(given, parts, self._is_done) as (places, moved):
                    notes += [moved] if moved else []
                    for place in places:
                        done = self._earlier(place) or self._pick(place, advance, notes)
                        picked.append(done)
                        warnings += done.peaks.run.warnings if done.peaks.run is not None else ()
                warnings = [
                    *polarity_note(parts),
                    *(line for part in parts for line in part.dataset.warnings),
                    *warnings,
                ]
        except BrokenPipeError:  # nobody reads the output of the caller's progress: not the fault of this file
            raise
        except (IonMorphNetError, OSError, MemoryError) as error:
            failure = error
        return PickOutcome(given.path, tuple(picked), failure, tuple(dict.fromkeys(warnings)), tuple(notes))

    def _request(self, record: InputRecord) -> dict[str, Any] | None:
        return None if self.settings is None else request_of(record, self.settings)

    def _is_done(self, place: Place) -> bool:
        return self._earlier_peaks(place) is not None

    def _changes(self, place: Place) -> list[str]:
        """What keeps an earlier result of the input from being the one wanted."""
        found = place.earlier
        return found.changes(self._request(place.record), self.files) if found is not None and found.same else []

    def _earlier_peaks(self, place: Place) -> PeakList | None:
        """The result that is there already; None if there is none, or not the one wanted."""
        found = place.earlier
        if self.again or found is None or not found.same or self._changes(place):
            return None
        if place.folder not in self._read:
            try:
                self._read[place.folder] = open_run(place.folder)
            except FileError:  # a table that cannot be read
                return None
        return self._read[place.folder]

    def _earlier(self, place: Place) -> PickedPlane | None:
        started = time.perf_counter()
        peaks = self._earlier_peaks(place)
        if peaks is None or place.earlier is None:
            return None
        peaks = with_moved_input(peaks, place.folder, place.record)
        written = tuple(path for file in place.earlier.files if (path := place.folder / file).is_file())
        seconds = time.perf_counter() - started
        part = place.part
        return PickedPlane(peaks, part.z, place.folder, written, seconds, title=part.title, already_done=True)

    def _pick(self, place: Place, advance: _Advance, notes: list[str]) -> PickedPlane:
        started = time.perf_counter()
        part, folder = place.part, place.folder
        changes = [] if self.again else self._changes(place)
        formats, report = self.formats, self.report
        peaks = self._with_more_files(place, changes)
        if peaks is not None and place.earlier is not None:
            kinds = [kind for kind, files in OPTIONAL_FILES.items() if all((folder / file).is_file() for file in files)]
            formats = tuple(dict.fromkeys([*formats, *(kind for kind in kinds if kind != "report")]))
            report = report or "report" in kinds
            notes.append(f"picked before, now with {', '.join(changes)}")
        else:
            if changes:
                notes.append(f"picked again: {', '.join(changes)}")
            advance(part.z, "finding channels")
            peaks = pick(
                part.dataset, progress=lambda done, total: advance(part.z, "scoring", done, total), **self.arguments
            )
        advance(part.z, "writing")
        written = write_result(
            peaks,
            folder,
            formats=formats,
            report=report,
            features=self.features,
            request=self._request(place.record),
        )
        seconds = time.perf_counter() - started
        # The file is closed when the outcome is handed over; the record opens it again if something needs it.
        peaks = dataclasses.replace(peaks, section=None if peaks.run is None else peaks.run.input)
        skipped = peaks.unwritable(self.formats)
        return PickedPlane(peaks, part.z, folder, tuple(written), seconds, skipped, part.title)

    def _with_more_files(self, place: Place, changes: list[str]) -> PeakList | None:
        """The earlier result, if it is the one wanted and lacks nothing but some of the files."""
        if not changes or not set(changes) <= set(self.files):
            return None
        try:
            return with_moved_input(open_run(place.folder), place.folder, place.record)
        except FileError:
            return None
