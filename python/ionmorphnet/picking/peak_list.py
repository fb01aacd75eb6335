"""PeakList: the ranked channels of a section and everything that can be made of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.base.files import atomic_path, refuse_replacing
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.scoring.statistics import image_statistics

if TYPE_CHECKING:
    import anndata

    from ionmorphnet.io.dataset import Dataset

PathLike = str | os.PathLike[str]
_IMAGE_BYTES_AT_A_TIME = 256 << 20
_REPORT_IMAGE_BYTES = 1 << 30


@dataclass(frozen=True)
class PeakList:
    """Result of :func:`ionmorphnet.pick`.

    Attributes:
        all_scores: Every candidate, ranked; columns rank, mz, mz_lo, mz_hi, score, label, p_structured ... p_negative,
            structure (expected grade, 0 to 3; where the model estimates it), frequency, scorer. A classical scorer
            leaves label and p_* empty.
        n_picked: How many of them, from the top, are picks.
        scorer: Which scorer made the scores; scales differ between scorers.
        score_description: What the score is, in one line.
        run: Inputs, parameters, model, versions, device, precision, timings.
        dataset: The section, for images and exports.
    """

    all_scores: pd.DataFrame = field(repr=False)
    n_picked: int
    scorer: str
    score_description: str
    run: dict[str, Any] = field(repr=False)
    dataset: Dataset = field(repr=False)

    def __len__(self) -> int:
        """Number of picks."""
        return self.n_picked

    def __repr__(self) -> str:
        """Counts, scorer and the best channel."""
        best = f", best m/z {self.mz[0]:.4f}" if self.n_picked else ""
        return f"PeakList({self.n_picked} of {len(self.all_scores)} channels, scorer={self.scorer!r}{best})"

    def _repr_html_(self) -> str:
        head = self.to_frame().head(20)
        return f"<p>{self.n_picked} of {len(self.all_scores)} channels ({self.scorer})</p>{head.to_html(index=False)}"

    @property
    def mz(self) -> npt.NDArray[np.float64]:
        """m/z of the picks, best first."""
        return self.all_scores["mz"].to_numpy(np.float64)[: self.n_picked]

    def to_frame(self, *, features: bool = False) -> pd.DataFrame:
        """The picks as a new frame, best first; columns as in ``all_scores``.

        Args:
            features: Append the classical statistics of the picked images, columns
                ``ionmorphnet.models.labels.STATISTICS`` (see :func:`ionmorphnet.image_statistics`). The images are
                read from the section the first time.

        Raises:
            ArgumentError: The statistics are wanted, and the section is closed.
            FileError: The section cannot be read.
        """
        frame = self.all_scores.head(self.n_picked).copy()
        if features:
            frame[list(STATISTICS)] = self._features.set_axis(frame.index)
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
        frame = self.to_frame(features=features)
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)

    def to_parquet(self, path: PathLike, *, features: bool = False) -> None:
        """Writes the picks as Parquet.

        Args:
            path: The Parquet file.
            features: Append the classical statistics, as in :meth:`to_frame`.

        Raises:
            UnavailableError: pyarrow is not installed.
        """
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UnavailableError("writing Parquet needs pyarrow: pip install 'ionmorphnet[parquet]'") from None
        frame = self.to_frame(features=features)
        with atomic_path(path) as temporary:
            frame.to_parquet(temporary, index=False, engine="pyarrow")

    def to_imzml(self, path: PathLike) -> None:
        """Writes the picked channels as a continuous centroid imzML (m/z ascending, float32), with its ibd.

        Pixels keep the positions that they have in the section's file. Those that imzML does not allow (below 1), or
        that count steps of the stage, are numbered from 1.

        Raises:
            ArgumentError: There are no picks to write.
            FileError: It cannot be written, or is the section's own file.
        """
        from ionmorphnet.io.imzml_writer import LARGEST_POSITION, ImzMLWriter

        if self.n_picked == 0:
            raise ArgumentError("no channel was picked: there is nothing to write")
        targets = (Path(path), Path(path).with_suffix(".ibd"))
        refuse_replacing(targets, (self.dataset.path, self.dataset.ibd_path), "give another name")
        order = np.argsort(self.mz)
        picks = self.to_frame().iloc[order]
        ds = self.dataset
        positions = file_positions(ds)
        for axis, (lowest, step) in enumerate(zip(ds.coordinate_origin, ds.coordinate_step, strict=True)):
            stage = step > 1 and axis < 2
            if stage or lowest < 1 or positions[:, axis].max() > LARGEST_POSITION:
                positions[:, axis] = (positions[:, axis] - lowest) // step + 1
        with ImzMLWriter(path, mode="continuous", spectrum_type="centroid", pixel_size_um=ds.pixel_size_um) as writer:
            writer.add_shared(positions, picks["mz"].to_numpy(), self._pixel_matrix(picks))

    def to_anndata(self) -> anndata.AnnData:
        """The picked channels as AnnData: X = pixels x ions (float32), var = the pick table, obsm["spatial"] = x, y.

        obs holds the place in the images, from 0, and as imzml_x, imzml_y, imzml_z the position in the section's file.

        Raises:
            UnavailableError: anndata is not installed.
        """
        try:
            import anndata
        except ImportError:
            raise UnavailableError("to_anndata needs anndata: pip install 'ionmorphnet[anndata]'") from None
        picks = self.to_frame()
        obs = pixel_table(self.dataset.mask)
        obs[["imzml_x", "imzml_y", "imzml_z"]] = file_positions(self.dataset)
        var = picks.set_index(pd.Index([f"{mz:.6f}" for mz in picks["mz"]], dtype=object))
        # AnnData writes plain strings; pandas' missing labels become empty.
        var["label"] = var["label"].astype(object).where(var["label"].notna(), "")
        var["scorer"] = var["scorer"].astype(object)
        table = anndata.AnnData(X=self._pixel_matrix(picks), obs=obs, var=var)
        table.obsm["spatial"] = obs[["ion_image_pixel_x", "ion_image_pixel_y"]].to_numpy(np.float64)
        table.uns["ionmorphnet"] = {"scorer": self.scorer, "score": self.score_description}
        return table

    def report(self, path: PathLike) -> None:
        """Writes a self-contained HTML report: ranked images, mean spectrum, TIC, run facts.

        As many of the best picks are pictured as their images take at most 1 GiB of memory, 500 at most.

        Args:
            path: The HTML file.

        Raises:
            FileError: The file cannot be written.
        """
        from ionmorphnet.report import MAX_PICTURES, ReportData, write_report

        ds = self.dataset
        pictured = min(MAX_PICTURES, max(1, _REPORT_IMAGE_BYTES // (4 * ds.shape[0] * ds.shape[1])))
        plane = self.run["input"]["z"]
        title = os.path.basename(ds.path) + ("" if plane is None else f" z={plane}")
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
                facts=self.run,
                warnings=list(ds.warnings),
                score_description=self.score_description,
            ),
        )

    def _pixel_matrix(self, picks: pd.DataFrame) -> npt.NDArray[np.float32]:
        """(measured pixels in row-major order, picks), binned a few images at a time."""
        mask = self.dataset.mask
        matrix = np.empty((int(mask.sum()), len(picks)), np.float32)
        for first, images in self._images_in_parts(picks):
            matrix[:, first : first + len(images)] = images[:, mask].T
        return matrix

    @functools.cached_property
    def _features(self) -> pd.DataFrame:
        """The statistics of the picks, in their order."""
        parts = [image_statistics(images) for _, images in self._images_in_parts(self.to_frame())]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(STATISTICS), dtype=float)

    def _images_in_parts(self, picks: pd.DataFrame) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Images of a few picks at a time, each time with the position of the first."""
        height, width = self.dataset.shape
        lo, hi = picks["mz_lo"].to_numpy(), picks["mz_hi"].to_numpy()
        step = max(1, _IMAGE_BYTES_AT_A_TIME // (4 * height * width))
        for first in range(0, len(picks), step):
            yield first, self.dataset.window_images(lo[first : first + step], hi[first : first + step])


def file_positions(ds: Dataset) -> npt.NDArray[np.int64]:
    """x, y, z of the measured pixels of one plane as the imzML file gives them, row by row, int64 (n, 3)."""
    cells = np.argwhere(ds.mask)
    plane = ds.coordinates[0, 2] if len(cells) else 1
    grid = np.column_stack([cells[:, 1], cells[:, 0], np.full(len(cells), plane - 1)])
    positions: npt.NDArray[np.int64] = np.array(ds.coordinate_origin) + grid * np.array(ds.coordinate_step)
    return positions


def pixel_table(mask: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """One row a measured pixel, row by row, named ``y_x``: its place and the shape of the images.

    Args:
        mask: bool (H, W), measured pixels.

    Returns:
        Columns ion_image_pixel_y, ion_image_pixel_x (from 0), ion_image_shape_y, ion_image_shape_x.
    """
    measured = np.argwhere(mask)
    height, width = mask.shape
    return pd.DataFrame(
        {
            "ion_image_pixel_y": measured[:, 0],
            "ion_image_pixel_x": measured[:, 1],
            "ion_image_shape_y": height,
            "ion_image_shape_x": width,
        },
        index=[f"{y}_{x}" for y, x in measured],
    )
