"""The record of a pick: what was read, what ran, what came out. ``run.json`` holds it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.paths import PathLike, is_url
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.file_state import known_state
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.sample_maps import SampleMap
from ionmorphnet.io.sizes import pixels_text
from ionmorphnet.scoring.section_calibration import CalibrationRecord

# Version of the layout of run.json. It grows when a field changes its meaning or goes; new fields do not count.
SCHEMA = 1


@dataclass(frozen=True)
class InputRecord:
    """The section that was read.

    Attributes:
        path: The imzML file, absolute.
        ibd_path: Its ibd file, absolute.
        z: The plane that was picked; None for a file with one plane.
        uuid: UUID that the file declares.
        n_spectra: Number of spectra.
        height: Pixel rows.
        width: Pixel columns.
        mode: ``continuous`` or ``processed``.
        spectrum_type: ``profile`` or ``centroid``.
        pixel_size_um: Width and height of a pixel in micrometres; None if the file does not say.
        coordinate_origin: Smallest written x, y, z.
        coordinate_step: Written units per pixel along x, y, z.
        opened_with: Options of :func:`ionmorphnet.open`.
        warnings: What was odd about the file.
        normalize: How its ion images were normalised: ``none``, ``tic``, ``rms`` or ``median``.
        files: State of both files, see :func:`ionmorphnet.io.file_state.known_state`.
        region: The region of the slide that was picked; None if regions were picked together.
        ms_level: MS level of its spectra; None if not stated.
        polarity: Their polarity; None if not stated.
        instrument: Instrument and terms of its configuration, as declared.
        source_file: Names of the files that were converted, as declared.
        software: Programs that wrote the file, as declared.
    """

    path: str
    ibd_path: str
    z: int | None
    uuid: str | None
    n_spectra: int
    height: int
    width: int
    mode: str
    spectrum_type: str
    pixel_size_um: tuple[float, float] | None
    coordinate_origin: tuple[int, int, int]
    coordinate_step: tuple[int, int, int]
    opened_with: Mapping[str, Any]
    warnings: tuple[str, ...]
    normalize: Normalize = "none"
    files: Mapping[str, Any] = field(default_factory=dict)
    region: int | None = None
    ms_level: int | None = None
    polarity: str | None = None
    instrument: str | None = None
    source_file: str | None = None
    software: str | None = None

    @classmethod
    def of(cls, ds: Dataset) -> Self:
        """The record of an open section."""
        height, width = ds.shape
        return cls(
            path=os.path.abspath(ds.path),
            ibd_path=os.path.abspath(ds.ibd_path),
            z=ds.plane_z,
            uuid=ds.declared.get("uuid"),
            n_spectra=ds.n_spectra,
            height=height,
            width=width,
            mode=ds.mode,
            spectrum_type=ds.spectrum_type,
            pixel_size_um=ds.pixel_size_um,
            coordinate_origin=ds.coordinate_origin,
            coordinate_step=ds.coordinate_step,
            opened_with=ds.open_options,
            warnings=tuple(ds.warnings),
            normalize=ds.normalize,
            files=known_state(ds.path, ds.ibd_path),
            region=ds.region_number,
            ms_level=ds.ms_level,
            polarity=ds.polarity,
            instrument=ds.declared.get("instrument"),
            source_file=ds.declared.get("source_file"),
            software=ds.declared.get("software"),
        )

    def reopen(self, path: PathLike | None = None) -> Dataset:
        """Opens the section again, as it was opened for the pick.

        Args:
            path: Where it is now, with its ibd file beside it; None: where it was.

        Raises:
            FileError: It cannot be opened, or another file has taken its place.
        """
        if path is None and is_url(self.path):
            raise FileError(f"{self.path}: is behind a URL; copy both files here, open the copy and pass it as dataset")
        ibd_path = self.ibd_path if path is None else None
        ds = open_dataset(self.path if path is None else path, ibd_path=ibd_path, **self.opened_with)
        if self.z is not None and len(ds.z_planes) > 1 and self.z in ds.z_planes:
            ds = ds.plane(self.z)
        if self.region is not None:
            ds = ds.region(self.region)
        self.require_same(ds)
        return ds if self.normalize == "none" else ds.normalized(self.normalize)

    def require_same(self, ds: Dataset) -> None:
        """Checks that a section is the recorded one.

        Raises:
            FileError: UUID, number of spectra or grid differ.
        """
        found = (ds.declared.get("uuid"), ds.n_spectra, *ds.shape)
        other_plane = None not in (self.z, ds.plane_z) and self.z != ds.plane_z
        other_region = self.region != ds.region_number
        if other_plane or other_region or found != (self.uuid, self.n_spectra, self.height, self.width):
            raise FileError(
                f"{ds.path}: is not the section that was picked ({self.n_spectra} spectra on "
                f"{pixels_text((self.height, self.width))}, UUID {self.uuid}); open the right one and pass it as "
                "dataset"
            )


@dataclass(frozen=True)
class ModelRecord:
    """The model that scored; fields as in ``config.json``."""

    name: str
    architecture: str
    preprocessing: str
    outputs: tuple[str, ...]
    statistics: tuple[str, ...]
    sha256: str
    """Hash of ``model.onnx``."""


@dataclass(frozen=True)
class AxisRecord:
    """The candidate channels; fields as in :class:`ionmorphnet.CandidateAxis`."""

    method: str
    n_channels: int
    notes: tuple[str, ...] = ()
    evidence: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleRecord:
    """The sample map of the section; the other fields as in :class:`ionmorphnet.SampleMap`."""

    kind: str
    used: bool
    """Whether the scorer read the map."""
    share: float | None
    off_sample: float | None
    separation: float | None
    noise: float | None
    n_images: int
    n_coherent: int

    @classmethod
    def of(cls, found: SampleMap, *, used: bool) -> Self:
        """The record of a map."""
        return cls(
            kind=found.kind,
            used=used,
            share=_rounded(found.share),
            off_sample=_rounded(found.off_sample),
            separation=_rounded(found.separation),
            noise=_rounded(found.noise),
            n_images=found.n_images,
            n_coherent=found.n_coherent,
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True)
class Parameters:
    """Arguments of the pick that shape its result. Only one of ``threshold`` and ``min_score`` is set."""

    top: int | None
    min_score: float | None
    threshold: float | None
    """The model's own threshold, if it made the cut."""
    ppm: float | None
    tol: float | None
    memory_limit_bytes: int
    device_memory_limit_bytes: int | None
    threads: int
    exclude: tuple[str, ...] = ()
    """Classes that were not picked."""


@dataclass(frozen=True)
class Counts:
    """How many channels there were."""

    candidates: int
    blank: int
    """Candidates whose image shows nothing; they were not scored."""
    spared: int
    """Candidates that the cascade found to be noise; the network did not see them."""
    picked: int
    excluded: int = 0
    """Candidates that would have been picked but for their class."""


@dataclass(frozen=True)
class RunRecord:
    """Everything that a pick depended on, for reproducing it.

    Attributes:
        date: When it started, ISO 8601, UTC.
        input: The section.
        scorer: Name of the scorer.
        device: ``cpu`` or ``cuda:N``.
        precision: What the scorer computed in.
        refused: Engines that were tried before, and why they did not start.
        score: What the score is, in one line.
        model: The model; None for a scorer without one.
        calibration: The calibration to the section's labels; None: none.
        axis: The candidates.
        parameters: Arguments of the pick.
        counts: Channels found, blank, spared and picked.
        cascade: Limits of the cascade and the largest score of the channels it spared; None if none was at work.
        timings: Seconds of each stage: load_model, open, axis, score, total.
        scoring_loop: Timings and sizes within the scoring stage, as the scorer reports them.
        versions: Versions of the package and of what it ran on.
        host: Machine, system, number of CPUs.
        warnings: What limits the meaning of the scores; warnings about the file are in ``input``.
        sample: The sample map; None if there was none to make.
        request: What the result is made from and how, for recognising it; None if it was not written by
            :func:`ionmorphnet.pick_files`, or depends on something that has no name, such as a callable.
    """

    date: str
    input: InputRecord
    scorer: str
    device: str
    precision: str
    refused: Mapping[str, str]
    score: str
    model: ModelRecord | None
    calibration: CalibrationRecord | None
    axis: AxisRecord
    parameters: Parameters
    counts: Counts
    cascade: Mapping[str, float] | None
    timings: Mapping[str, float]
    scoring_loop: Mapping[str, float | int | bool]
    versions: Mapping[str, str]
    host: Mapping[str, str | int | None]
    warnings: tuple[str, ...] = field(default=())
    sample: SampleRecord | None = None
    request: Mapping[str, Any] | None = None

    def __getitem__(self, field: str) -> Any:
        """A field by its name in ``run.json``, as JSON holds it: lists and dictionaries.

        Raises:
            KeyError: There is no such field.
        """
        return _as_json(self.to_dict()[field])

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, for JSON."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The record from what :meth:`to_dict` returned, or from what ``run.json`` holds; unknown fields are ignored.

        Raises:
            KeyError: A field is missing.
            TypeError: A field has the wrong form.
            ValueError: Another schema.
        """
        if values.get("schema") != SCHEMA:
            raise ValueError(f"schema {values.get('schema')}, this version reads {SCHEMA}")
        calibration = values.get("calibration")  # absent from records of versions without calibration
        nested = {
            "request": values.get("request"),
            "calibration": None if calibration is None else _build(CalibrationRecord, calibration),
            "input": _build(InputRecord, {"files": {}, **values["input"]}),
            "model": None if values["model"] is None else _build(ModelRecord, values["model"]),
            "axis": _build(AxisRecord, values["axis"]),
            "parameters": _build(Parameters, values["parameters"]),
            "counts": _build(Counts, values["counts"]),
            "sample": None if values.get("sample") is None else _build(SampleRecord, values["sample"]),
        }
        return _build(cls, {**values, **nested})


def read_run_record(path: Path) -> RunRecord:
    """Reads ``run.json``.

    Raises:
        FileError: Not readable, or not the record of a pick.
    """
    values = read_json(path)
    try:
        return RunRecord.from_dict(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: not the record of a pick ({type(error).__name__}: {error})") from None


def _as_json(value: Any) -> Any:
    """The value with lists in place of tuples."""
    if isinstance(value, Mapping):
        return {key: _as_json(each) for key, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, (tuple, list)) else value


T = TypeVar("T")


def _build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from its fields; lists become tuples, and a field with a default may be missing."""
    given = {}
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        optional = each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
        if optional and each.name not in values:
            continue
        value = values[each.name]
        given[each.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)
