"""PeakList: the ranked channels of a section and everything that can be made of them."""

from __future__ import annotations

import dataclasses
import functools
import html
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.channel_lists import NO_FORMULAS, formula_column, metaspace_table, write_metaspace, write_scils
from ionmorphnet.io.dataset import CHANGED, Dataset
from ionmorphnet.io.h5ad import write_h5ad
from ionmorphnet.io.sample_maps import SampleMap, sample_map
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.picking import exports, outputs
from ionmorphnet.picking.earlier import refuse_other_result
from ionmorphnet.picking.peak import Peak, peak_of
from ionmorphnet.picking.run_record import InputRecord, RunRecord
from ionmorphnet.picking.tables import read_table, write_csv
from ionmorphnet.picking.workbook import write_picks_workbook
from ionmorphnet.scoring.statistics import image_statistics

if TYPE_CHECKING:
    import anndata

_log = logging.getLogger("ionmorphnet")

_REPORT_IMAGE_BYTES = 1 << 30
_SHOWN_ROWS = 20
_AXIS = ("mz", "mz_lo", "mz_hi", "frequency")


@dataclass(frozen=True, eq=False, repr=False)
class PeakList:
    """Result of :func:`ionmorphnet.pick`: the ranked candidates of a section and which of them are picks.

    ``len(peaks)`` counts the picks and iterating yields them as :class:`Peak`, best first. ``peaks[0]`` is the best
    one; ``peaks[:10]`` and ``peaks[peaks.to_frame()["label"] == "structured"]`` are peak lists of their own.

    Attributes:
        all_scores: Every candidate, ranked; columns rank, mz, mz_lo, mz_hi, score, label, p_structured ... p_negative,
            structure (expected grade, 0 to 3; if the model estimates it), frequency, scorer. A scorer without classes
            leaves label and p_* empty.
        chosen: int (n,), rows of ``all_scores`` that are picks, ascending.
        scorer: Name of the scorer; scales differ between scorers.
        score_description: What the score is, in one line.
        run: How the list was made; None for a list that was read from a CSV.
        section: The section, or its record, from which :attr:`dataset` opens it; None: unknown.
        sample: The sample map that the scorer got; None: it got none. The report then makes one.
    """

    all_scores: pd.DataFrame
    chosen: npt.NDArray[np.int64]
    scorer: str
    score_description: str
    run: RunRecord | None = None
    section: Dataset | InputRecord | None = None
    sample: SampleMap | None = field(default=None, repr=False)

    @classmethod
    def from_csv(cls, path: PathLike, *, dataset: Dataset | None = None) -> Self:
        """Reads ``peaks.csv`` or ``scores.csv`` as :meth:`to_csv` and ``ionmorphnet pick`` write them.

        Every row is a pick; :func:`ionmorphnet.open_run` reads a whole result folder with its record.

        Args:
            path: The CSV file.
            dataset: The section, for images and exports; None: without it these raise an error.

        Raises:
            FileError: Not readable, or not a peak list.
        """
        frame = read_table(Path(path))
        names = frame["scorer"].dropna().unique()
        if len(names) > 1:
            raise FileError(f"{path}: holds scores of several scorers ({', '.join(map(str, names))})")
        scorer = str(names[0]) if len(names) else "unknown"
        return cls(frame, np.arange(len(frame)), scorer, f"score of '{scorer}'", None, dataset)

    @property
    def dataset(self) -> Dataset:
        """The section. A list that was read from a result folder opens it on first use.

        Raises:
            ArgumentError: The list does not know its section.
            FileError: The section cannot be opened, or another file has taken its place.
        """
        return self._opened

    @functools.cached_property
    def _opened(self) -> Dataset:
        if self.section is None:
            raise ArgumentError("this peak list has no section; pass dataset= when you read it")
        return self.section.reopen() if isinstance(self.section, InputRecord) else self.section

    def __len__(self) -> int:
        """Number of picks."""
        return len(self.chosen)

    def __repr__(self) -> str:
        """Counts, scorer and the best channel."""
        best = f", best m/z {self.mz[0]:.4f}" if len(self) else ""
        return f"PeakList({len(self)} of {len(self.all_scores)} channels, scorer={self.scorer!r}{best})"

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        shown = [name for name in ("rank", "mz", "score", "label", "structure", "frequency") if name in frame]
        digits = {"mz": "{:.4f}", "score": "{:.3f}", "structure": "{:.2f}", "frequency": "{:.3f}"}
        formats = {name: text.format for name, text in digits.items() if name in shown}
        table = frame[shown].head(_SHOWN_ROWS).to_html(index=False, border=0, formatters=formats, na_rep="")
        more = f"<p>... {len(frame) - _SHOWN_ROWS} more</p>" if len(frame) > _SHOWN_ROWS else ""
        about = html.escape(f"{self.scorer}: {self.score_description}")
        return f"<p>{len(self)} of {len(self.all_scores)} channels picked ({about})</p>{table}{more}"

    def __iter__(self) -> Iterator[Peak]:
        """The picks, best first."""
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> Peak: ...
    @overload
    def __getitem__(self, key: slice | npt.ArrayLike) -> PeakList: ...
    def __getitem__(self, key: int | slice | npt.ArrayLike) -> Peak | PeakList:
        """One pick, or some of them as a peak list.

        Args:
            key: Position among the picks (0 = best, negative ones count from the end); a slice; a boolean array or
                Series with one entry per pick; or an array of positions. The result keeps the order of rank.

        Raises:
            IndexError: Out of range, or a boolean array of another length.
            TypeError: Nothing of these.
        """
        if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
            if not -len(self) <= key < len(self):
                raise IndexError(f"pick {key} of a list of {len(self)}")
            return peak_of(self.all_scores.iloc[int(self.chosen[key])])
        if isinstance(key, slice):
            return self._with(self.chosen[key])
        where = np.asarray(key)
        if where.size == 0 and where.dtype.kind == "f":  # an empty list
            where = where.astype(np.int64)
        if where.ndim != 1 or where.dtype.kind not in "biu":
            raise TypeError(f"a peak list is indexed by positions, a slice or a boolean array, not {key!r}")
        if where.dtype.kind == "b" and len(where) != len(self):
            raise IndexError(f"a boolean index needs one entry per pick, {len(self)}, not {len(where)}")
        return self._with(self.chosen[where])

    def _with(self, chosen: npt.NDArray[np.int64]) -> PeakList:
        return dataclasses.replace(self, chosen=np.unique(chosen))

    @property
    def mz(self) -> npt.NDArray[np.float64]:
        """m/z of the picks, best first, float64 (n,)."""
        mz: npt.NDArray[np.float64] = self.all_scores["mz"].to_numpy(np.float64)[self.chosen]
        return mz

    def to_frame(self, *, features: bool = False) -> pd.DataFrame:
        """The picks as a new frame, best first; columns as in ``all_scores``.

        Args:
            features: Append the classical statistics of the picked images, columns
                ``ionmorphnet.models.labels.STATISTICS`` (see :func:`ionmorphnet.image_statistics`). The images are
                read from the section the first time.

        Raises:
            ArgumentError: The statistics are wanted, and the section is unknown or closed.
            FileError: The section cannot be read.
        """
        frame = self.all_scores.iloc[self.chosen].reset_index(drop=True)
        if features:
            frame[list(STATISTICS)] = self._features
        return frame

    def ion_images(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.float32]:
        """Ion images of picks ``first`` to ``last`` (exclusive), windows as scored.

        Args:
            first: Position of the first pick, 0 = best.
            last: Position behind the last one; None: to the end. All of them are in memory at once.

        Returns:
            float32 (n, H, W), NaN = not measured.
        """
        picks = self.to_frame().iloc[first:last]
        return self.dataset.window_images(picks["mz_lo"].to_numpy(), picks["mz_hi"].to_numpy())

    def to_csv(self, path: PathLike, *, features: bool = False) -> None:
        """Writes the picks as CSV (UTF-8, full precision).

        Args:
            path: The CSV file.
            features: Append the classical statistics, as in :meth:`to_frame`.

        Raises:
            FileError: The file cannot be written.
        """
        write_csv(self.to_frame(features=features), path)

    def to_parquet(self, path: PathLike, *, features: bool = False) -> None:
        """Writes the picks as Parquet.

        What is known of the section is in the ``attrs`` of the frame that :func:`pandas.read_parquet` returns.

        Args:
            path: The Parquet file.
            features: Append the classical statistics, as in :meth:`to_frame`.

        Raises:
            UnavailableError: pyarrow is not installed.
            FileError: The file cannot be written.
        """
        exports.write_parquet(path, self.to_frame(features=features), self.run)

    def to_xlsx(self, path: PathLike, *, features: bool = False) -> None:
        """Writes the picks as an Excel workbook, with a sheet that explains the columns and lists the warnings.

        Args:
            path: The xlsx file.
            features: Append the classical statistics, as in :meth:`to_frame`.

        Raises:
            UnavailableError: openpyxl is not installed.
            FileError: The file cannot be written.
        """
        warnings = () if self.run is None else (*self.run.input.warnings, *self.run.warnings)
        write_picks_workbook(path, self.to_frame(features=features), self.run, self.score_description, warnings)

    def to_scils(self, path: PathLike) -> None:
        """Writes the picks as a feature list that SCiLS Lab imports (CSV, m/z ascending, with the window's width).

        Raises:
            FileError: The file cannot be written.
        """
        write_scils(path, self.to_frame().sort_values("mz", kind="stable"), ["Channels picked by ionmorphnet"])

    def to_metaspace(self, path: PathLike) -> None:
        """Writes the compounds of the picks as a database that METASPACE takes (TSV with id, name and formula).

        Raises:
            ArgumentError: The picks have no formulas: they were not picked with an m/z list that has them.
            FileError: The file cannot be written.
        """
        if reason := self.unwritable(("metaspace",)):
            raise ArgumentError(reason["metaspace"])
        table, refused = metaspace_table(self.to_frame().sort_values("mz", kind="stable"))
        if refused:
            _log.warning("%s: left out formulas that METASPACE does not take: %s", path, ", ".join(refused[:5]))
        write_metaspace(path, table)

    def to_imzml(self, path: PathLike) -> None:
        """Writes the picked channels as a continuous centroid imzML (m/z ascending, float32), with its ibd.

        Pixels keep the positions that they have in the section's file. Positions that imzML does not allow (below 1),
        or that count steps of the stage, are numbered from 1.

        Raises:
            ArgumentError: There are no picks to write.
            FileError: It cannot be written, or is the section's own file.
        """
        if not len(self):
            raise ArgumentError("no channel was picked: there is nothing to write")
        exports.write_imzml(path, self.dataset, self.to_frame())

    def to_anndata(self) -> anndata.AnnData:
        """The picked channels as AnnData: X = pixels x ions (float32), var = the pick table, obsm["spatial"] = x, y.

        obs holds the section (sample), the place in the images, from 0, and as imzml_x, imzml_y, imzml_z the position
        in the section's file. ``spatial`` and obs x_um, y_um are in micrometres if the file tells its pixel size;
        obsm["spatial_pixels"] counts pixels. uns["ionmorphnet"] tells source, scale, polarity, instrument, scorer and
        warnings. Names of pixels contain the section, so that tables can be joined with ``anndata.concat``.

        Raises:
            UnavailableError: anndata is not installed.
        """
        table = exports.anndata_table(self.dataset, self.to_frame())
        table.uns["ionmorphnet"] |= {"scorer": self.scorer, "score": self.score_description}
        if warnings := self._warnings:
            table.uns["ionmorphnet"]["warnings"] = warnings
        return table

    def report(self, path: PathLike) -> None:
        """Writes a self-contained HTML report: ranked images, mean spectrum, TIC, facts of the run.

        It shows the images of the best picks, as many as fit into 1 GiB of memory, 500 at most.

        Args:
            path: The HTML file.

        Raises:
            FileError: The file cannot be written.
        """
        from ionmorphnet.report import MAX_PICTURES, ReportData, write_report

        ds = self.dataset
        pictured = min(MAX_PICTURES, max(1, _REPORT_IMAGE_BYTES // (4 * ds.shape[0] * ds.shape[1])))
        title = os.path.basename(ds.path) + ("" if ds.plane_z is None else f" z={ds.plane_z}")
        title += "" if ds.region_number is None else f" region {ds.region_number}"
        mean_mz, mean_intensity = ds.mean_spectrum()
        write_report(
            path,
            ReportData(
                title=title,
                frame=self.to_frame(),
                images=self.ion_images(0, pictured),
                all_scores=self.all_scores,
                mean_mz=mean_mz,
                mean_intensity=mean_intensity,
                tic=ds.tic_image(),
                pixel_size_um=ds.pixel_size_um,
                facts={} if self.run is None else self.run.to_dict(),
                warnings=self._warnings,
                score_description=self.score_description,
                regions=ds.regions,
                sample=self._shown_sample,
            ),
        )

    @property
    def _warnings(self) -> list[str]:
        """What is odd about the file and what limits the meaning of the scores, each once."""
        of_run = self.run.warnings if self.run is not None else ()
        return list(dict.fromkeys([*self.dataset.warnings, *of_run]))

    @functools.cached_property
    def _shown_sample(self) -> SampleMap | None:
        """The sample map for the report; None for a run whose map was given and is gone, or switched off."""
        if self.sample is not None:
            return self.sample
        if self.run is not None and self.run.sample is not None and self.run.sample.kind in ("given", "off"):
            return None
        candidates = self.all_scores.sort_values("mz", kind="stable")
        mz, lo, hi, frequency = (candidates[name].to_numpy(np.float64) for name in _AXIS)
        return sample_map(self.dataset, CandidateAxis(mz, lo, hi, frequency))

    def unwritable(self, formats: Iterable[str]) -> dict[str, str]:
        """Which of some formats cannot hold this list, and why."""
        found = {}
        if not len(self) and "imzml" in formats:
            found["imzml"] = "no channel was picked, and an imzML file without channels cannot be read"
        if "metaspace" in formats and not len(metaspace_table(self.to_frame())[0]):
            listed = formula_column(self.all_scores) is not None
            found["metaspace"] = "no pick has a formula that METASPACE takes" if listed else NO_FORMULAS
        return found

    def save(
        self,
        folder: PathLike,
        *,
        formats: str | Iterable[str] = ("csv",),
        report: bool = False,
        features: bool = False,
        overwrite: bool = False,
    ) -> list[Path]:
        """Writes a result folder, which :func:`ionmorphnet.open_run` reads: tables, record and other formats.

        The result is assembled in a folder of its own and then takes the place of an earlier one at once, run.json
        last, so that it marks a complete folder. Files of an earlier run that this one does not write are removed. A
        folder that holds the input, or the result of another input, is refused. run.json lists the ``files``, and
        under ``skipped`` the formats that cannot hold the list.

        Args:
            folder: The folder; made if it is missing.
            formats: Names of ``csv``, ``parquet``, ``xlsx``, ``imzml``, ``h5ad``, ``scils``, ``metaspace``; csv is
                always written.
            report: Write report.html.
            features: Append the classical statistics of the picks to peaks.csv, peaks.parquet and peaks.xlsx.
            overwrite: Replace the result of another input too.

        Returns:
            The files that were written.

        Raises:
            ArgumentError: An unknown format, or the list has no record (it was read from a CSV).
            FileError: A file cannot be written, or the folder holds the input or the result of another one.
            UnavailableError: A format needs a package that is not installed.
        """
        folder, wanted = Path(folder), outputs.parse_formats(formats)
        outputs.require_packages(wanted)
        if self.run is None:
            raise ArgumentError("a list that was read from a CSV has no record to save; use to_csv")
        if self.section is not None:
            outputs.refuse_input_folder((self.section.path, self.section.ibd_path), folder)
        with outputs.PreparedFolder(folder):
            if not overwrite:
                refuse_other_result(folder, self.run.input)
            return write_result(self, folder, formats=wanted, report=report, features=features)

    def _current_record(self, run: RunRecord) -> RunRecord:
        """The record with the number of picks of this list, and whether the file has changed since it was opened.

        Asked last: the formats read the images of the picks again.
        """
        warnings = run.warnings
        ds = self.__dict__.get("_opened", self.section)
        if isinstance(ds, Dataset) and ds.was_changed and CHANGED not in warnings:
            warnings = (*warnings, CHANGED)
        counts = dataclasses.replace(run.counts, picked=len(self))
        return dataclasses.replace(run, counts=counts, warnings=warnings)

    def _write_optional(self, name: str, target: Path, *, features: bool) -> None:
        if name in ("parquet", "xlsx"):
            getattr(self, f"to_{name}")(target, features=features)
        elif name == "h5ad":
            write_h5ad(self.to_anndata(), target)
        else:
            write = {
                "imzml": self.to_imzml,
                "scils": self.to_scils,
                "metaspace": self.to_metaspace,
                "report": self.report,
            }
            write[name](target)

    @functools.cached_property
    def _features(self) -> pd.DataFrame:
        """The statistics of the picks, in their order."""
        picks = self.to_frame()
        parts = [image_statistics(images) for _, images in exports.images_in_parts(self.dataset, picks)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(STATISTICS), dtype=float)


def write_result(
    peaks: PeakList,
    folder: Path,
    *,
    formats: tuple[str, ...],
    report: bool,
    features: bool,
    request: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Writes the files of :meth:`PeakList.save` into a folder that is prepared: locked, and free for this list.

    Args:
        peaks: The list.
        folder: The folder.
        formats: Names of the formats.
        report: Whether to write the report.
        features: Whether the tables of picks get the classical statistics.
        request: What the list was made from and how, for the record.
    """
    assert peaks.run is not None
    skipped = peaks.unwritable(formats)
    extra = [*(name for name in formats if name not in skipped), *(["report"] if report else [])]
    chosen = [name for name in outputs.OPTIONAL_FILES if name in extra]
    optional = [file for name in chosen for file in outputs.OPTIONAL_FILES[name]]
    files = [*outputs.TABLES, *optional]
    with outputs.replaced_result(folder) as stage:
        peaks.to_csv(stage / "peaks.csv", features=features)
        write_csv(peaks.all_scores, stage / "scores.csv")
        for name in chosen:
            peaks._write_optional(name, stage / outputs.OPTIONAL_FILES[name][0], features=features)
        run = dataclasses.replace(peaks._current_record(peaks.run), request=request)
        warnings = dict.fromkeys((*run.input.warnings, *run.warnings))
        if warnings:
            text = "".join(f"{warning}\n" for warning in warnings)
            (stage / outputs.WARNINGS).write_text(text, encoding="utf-8")
            files.append(outputs.WARNINGS)
        files.append(outputs.RECORD)
        record = {**run.to_dict(), "files": files, "skipped": skipped}
        with atomic_path(stage / outputs.RECORD) as temporary:
            temporary.write_text(json.dumps(plain(record), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [folder / file for file in files]
