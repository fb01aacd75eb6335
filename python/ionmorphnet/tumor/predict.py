"""Prediction: class probabilities of every measured pixel of a section, streamed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.dataset import Dataset, open_dataset
from ionmorphnet.errors import ArgumentError
from ionmorphnet.images import tic_image
from ionmorphnet.models import softmax
from ionmorphnet.paths import PathLike
from ionmorphnet.tumor.cubes import Cube, CubeStore
from ionmorphnet.tumor.model import TumorModel, load_tumor_model
from ionmorphnet.tumor.patches import Pixels, Scaling, in_batches
from ionmorphnet.tumor.regions import UNLABELLED

logger = logging.getLogger("ionmorphnet")

MISSING = ("error", "mean")
_BATCH = 512
# More silent channels than this are no biology: calibration or preparation is another one.
_MOST_SILENT = 0.5


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about a section.

    Attributes:
        path: The section.
        classes: Class names.
        probabilities: float32 (classes, H, W), NaN = not measured.
        by_spectrum: float32 (n_spectra, classes), in the order of the file's spectra.
        coordinates: int32 (n_spectra, 3): x, y, z as in the dataset.
        tic: float32 (H, W), sum of all intensities, NaN = not measured.
        missing: m/z of the model's channels that the file does not reach, taken as the training mean.
        silent: m/z of those that it reaches but has no signal at.
        model: Folder and config of the model.
    """

    path: str
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    by_spectrum: npt.NDArray[np.float32]
    coordinates: npt.NDArray[np.int32]
    tic: npt.NDArray[np.float32] = field(repr=False)
    missing: tuple[float, ...]
    silent: tuple[float, ...]
    model: TumorModel = field(repr=False)

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """bool (H, W)."""
        found: npt.NDArray[np.bool_] = ~np.isnan(self.probabilities[0])
        return found

    @property
    def labels(self) -> npt.NDArray[np.int16]:
        """Most probable class, int16 (H, W); -1 = not measured."""
        best = np.nan_to_num(self.probabilities).argmax(axis=0)
        return np.where(self.measured, best, UNLABELLED).astype(np.int16)

    def __repr__(self) -> str:
        """Name, size and shares."""
        labels = self.labels
        shares = [f"{name} {np.mean(labels[self.measured] == k):.0%}" for k, name in enumerate(self.classes)]
        return f"Prediction({self.path!r}, {labels.shape[0]} x {labels.shape[1]} pixels: {', '.join(shares)})"


def predict(
    model: TumorModel | PathLike,
    section: Dataset | PathLike,
    *,
    missing: str = "error",
    device: str = "auto",
    threads: int = 0,
    memory_limit: int | str = "4GB",
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Class probabilities of every measured pixel.

    Args:
        model: Model folder, or a loaded one.
        section: imzML file or open dataset, one z plane.
        missing: What to do where the file does not reach some of the model's channels: ``error``, or ``mean``: they
            count as the mean of the training sections, which says nothing; the prediction lists them.
        device: ``auto`` or ``cpu`` (OpenVINO), ``cuda[:N]`` (torch).
        threads: CPU threads; 0: all.
        memory_limit: Anonymous memory to plan with.
        progress: Called with (pixels done, pixels).

    Raises:
        FileError: The model or the section cannot be used.
        ArgumentError: Missing channels with ``missing="error"``, no channel reached, or more than half of them without
            any signal: another m/z range, calibration or preparation than the model was trained on.
        UnavailableError: The device is not there.
    """
    if missing not in MISSING:
        raise ArgumentError(f"missing must be one of {', '.join(MISSING)}, not '{missing}'")
    ready = model if isinstance(model, TumorModel) else load_tumor_model(model)
    if isinstance(section, Dataset):
        return _predict(ready, section, missing, device, threads, memory_limit, progress)
    with open_dataset(section) as ds:
        return _predict(ready, ds, missing, device, threads, memory_limit, progress)


def _predict(
    model: TumorModel,
    ds: Dataset,
    missing: str,
    device: str,
    threads: int,
    memory_limit: int | str,
    progress: Callable[[int, int], None] | None,
) -> Prediction:
    if len(ds.z_planes) > 1:
        raise ArgumentError(f"{ds.path}: holds {len(ds.z_planes)} z planes; predict each ds.plane(z) on its own")
    unreached = _unreached(model, ds, missing)
    forward = model.forward(device, threads)
    store = CubeStore(memory_limit)
    try:
        values = store.fill(ds, model.axis, model.normalisation)
        measured = ds.mask
        silent = ~unreached & _silent(values)
        if silent.sum() > _MOST_SILENT * (~unreached).sum():
            raise ArgumentError(
                f"{ds.path}: {silent.sum()} of the model's {len(silent)} channels have no signal at all; "
                "the m/z calibration, windows or preparation differ from those of the training sections"
            )
        if silent.any():
            logger.warning("%s: %d of the model's %d channels have no signal", ds.path, silent.sum(), len(silent))
        scaling = Scaling(
            model.scaling.channels, model.scaling.centre, np.where(unreached, np.float32(0), model.scaling.scale)
        )
        cube = Cube(ds.path, "", ds.path, values, measured, np.full(measured.shape, UNLABELLED, np.int16))
        pixels = np.flatnonzero(measured.ravel())
        wanted = Pixels(np.zeros_like(pixels), pixels, np.zeros_like(pixels))
        flat = np.full((len(model.classes), measured.size), np.nan, np.float32)
        for part, patches, mask in in_batches([cube], wanted, model.size, scaling, _BATCH, threads=threads):
            flat[:, pixels[part]] = softmax(forward(patches, mask)).T
            if progress is not None:
                progress(part.stop, len(pixels))
    finally:
        store.close()
    coordinates = ds.coordinates
    at = (coordinates[:, 1].astype(np.int64) - 1) * measured.shape[1] + coordinates[:, 0] - 1
    return Prediction(
        ds.path,
        model.classes,
        flat.reshape(-1, *measured.shape),
        flat[:, at].T.copy(),
        coordinates,
        tic_image(ds).astype(np.float32),
        tuple(model.axis.mz[unreached].tolist()),
        tuple(model.axis.mz[silent].tolist()),
        model,
    )


def _unreached(model: TumorModel, ds: Dataset, missing: str) -> npt.NDArray[np.bool_]:
    lowest, highest = ds.mz_range
    axis = model.axis
    unreached: npt.NDArray[np.bool_] = (axis.mz_hi < lowest) | (axis.mz_lo > highest)
    if not unreached.any():
        return unreached
    listed = ", ".join(f"{mz:.4f}" for mz in axis.mz[unreached][:5]) + (", ..." if unreached.sum() > 5 else "")
    told = (
        f"{ds.path}: spans m/z {lowest:.4f} to {highest:.4f} and does not reach {unreached.sum()} of the model's "
        f"{len(axis)} channels ({listed})"
    )
    if unreached.all() or missing == "error":
        advice = "" if unreached.all() else "; with missing 'mean' they count as the training mean"
        raise ArgumentError(told + advice)
    logger.warning("%s; they count as the training mean", told)
    return unreached


def _silent(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Channels without signal, bool (C,), a row of pixels at a time."""
    signal = np.zeros(values.shape[2], bool)
    for row in values:
        signal |= (row > 0).any(axis=0)
        if signal.all():
            break
    return ~signal
