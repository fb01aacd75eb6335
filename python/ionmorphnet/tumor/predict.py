"""Prediction: class probabilities of every measured pixel of a section, computed batch by batch."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.open_options import OpenOptions, checked_open_options, refuse_open_options
from ionmorphnet.io.sizes import pixels_text
from ionmorphnet.models.model import softmax
from ionmorphnet.tumor.channel_checks import covers, describe_unreached, silent, unreached
from ionmorphnet.tumor.cubes import Cube, CubeStore, describe_uncovered
from ionmorphnet.tumor.inference import start_network
from ionmorphnet.tumor.model import TumorModel, load_tumor_model
from ionmorphnet.tumor.patches import Pixels, Scaling, in_batches
from ionmorphnet.tumor.posteriors import change_posteriors, checked_posteriors
from ionmorphnet.tumor.regions import UNLABELLED
from ionmorphnet.tumor.standardization import standardize_section

logger = logging.getLogger("ionmorphnet")

Float64 = npt.NDArray[np.float64]

MISSING = ("error", "mean")
_BATCH = 512
# More silent channels than this point to another calibration or preparation, not to biology.
_MOST_SILENT = 0.5


@dataclass(frozen=True, eq=False)
class Prediction:
    """Class probabilities of a section.

    Attributes:
        path: The section's file.
        classes: Class names.
        probabilities: float32 (classes, H, W), NaN = not measured.
        by_spectrum: float32 (n_spectra, classes), in the order of the file's spectra: that of the spectrum's pixel,
            whether or not the pixel shows this spectrum; NaN for copies that were left out.
        coordinates: int32 (n_spectra, 3): x, y, z as in the dataset.
        tic: float32 (H, W), sum of all intensities, NaN = not measured.
        missing: m/z of the model's channels outside the file's m/z range; they were set to their training mean.
        silent: m/z of the model's channels within the file's m/z range that have no signal in any pixel.
        model: The model.
        pixel_size_um: Width and height of a pixel in micrometres; None if unknown.
        opened: How the file was opened: options of :func:`ionmorphnet.open`.
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
    pixel_size_um: tuple[float, float] | None = None
    opened: OpenOptions = field(default_factory=OpenOptions, repr=False)

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """Measured pixels, bool (H, W)."""
        found: npt.NDArray[np.bool_] = ~np.isnan(self.probabilities[0])
        return found

    @property
    def labels(self) -> npt.NDArray[np.int16]:
        """Most probable class of each pixel, int16 (H, W); -1 = not measured."""
        best = np.nan_to_num(self.probabilities).argmax(axis=0)
        return np.where(self.measured, best, UNLABELLED).astype(np.int16)

    def __repr__(self) -> str:
        """Name, size and share of each class."""
        labels = self.labels
        shares = [f"{name} {np.mean(labels[self.measured] == k):.0%}" for k, name in enumerate(self.classes)]
        return f"Prediction({self.path!r}, {pixels_text(labels.shape)}: {', '.join(shares)})"


def predict(
    model: TumorModel | PathLike,
    section: Dataset | PathLike,
    *,
    missing: str = "error",
    adapt: str = "none",
    smooth: str = "none",
    device: DeviceName | Device = "auto",
    threads: int = 0,
    memory_limit: int | str = "4GB",
    progress: Callable[[int, int], None] | None = None,
    **opened: Unpack[OpenOptions],
) -> Prediction:
    """Predicts the class probabilities of every measured pixel.

    Args:
        model: Model folder, or a loaded model.
        section: imzML file or open dataset with one z plane.
        missing: How to treat channels of the model outside the file's m/z range. ``error`` refuses the file. ``mean``
            sets them to their training mean, which carries no information, and lists them in the prediction. A norm
            (TIC, RMS, median) cannot be computed over m/z that the file lacks, so ``mean`` requires a model with
            normalisation ``none``, unless the file covers at least 99% of the model's ``span``.
        adapt: ``none`` or ``prior``: adaptation of the probabilities to this section, see
            :func:`~ionmorphnet.tumor.posteriors.change_posteriors`.
        smooth: ``none``, ``gaussian`` or ``crf``: smoothing of the probabilities over neighbours, after that.
        device: ``auto`` or ``cpu`` (OpenVINO), ``cuda[:N]`` (torch).
        threads: CPU threads; 0: all cores.
        memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``.
        progress: Called as progress(done, total) in pixels.
        **opened: How a path is opened: options of :func:`ionmorphnet.open`.

    Returns:
        The prediction.

    Raises:
        FileError: The model or the section cannot be used.
        ArgumentError: An argument is out of range; channels are missing and ``missing`` is ``error`` or the norm cannot
            be computed; the file reaches no channel; or more than half of the channels have no signal, which points to
            another m/z range, calibration or preparation than in training.
        UnavailableError: The device is not available.
    """
    checked_open_options(opened, function="predict")
    if missing not in MISSING:
        raise ArgumentError(f"missing must be one of {', '.join(MISSING)}, not '{missing}'")
    checked_posteriors(adapt, smooth)
    threads = thread_count(threads)
    change = functools.partial(change_posteriors, adapt=adapt, smooth=smooth)
    ready = model if isinstance(model, TumorModel) else load_tumor_model(model)
    if isinstance(section, Dataset):
        refuse_open_options(opened, "the dataset is open already; pass these to ionmorphnet.open")
        return _predict(ready, section, missing, change, device, threads, memory_limit, progress)
    with open_dataset(section, **opened) as ds:
        return _predict(ready, ds, missing, change, device, threads, memory_limit, progress)


def _predict(
    model: TumorModel,
    ds: Dataset,
    missing: str,
    change: Callable[[Float64, npt.NDArray[np.bool_]], Float64],
    device: DeviceName | Device,
    threads: int,
    memory_limit: int | str,
    progress: Callable[[int, int], None] | None,
) -> Prediction:
    ds.require_one_plane("predict each ds.plane(z) separately")
    lacking = _lacking(model, ds, missing)
    forward = start_network(model, device, threads)
    store = CubeStore(memory_limit)
    try:
        values = store.fill(ds, model.axis, model.normalize, model.span)
        measured = ds.mask
        mute = ~lacking & silent(values)
        if mute.sum() > _MOST_SILENT * (~lacking).sum():
            raise ArgumentError(
                f"{ds.path}: {mute.sum()} of the model's {len(mute)} channels have no signal; check that m/z "
                "calibration, windows and preparation match those of the training sections"
            )
        if mute.any():
            logger.warning("%s: %d of the model's %d channels have no signal", ds.path, mute.sum(), len(mute))
        standardize_section(values, measured, model.standardize)
        scaling = Scaling(
            model.scaling.channels, model.scaling.centre, np.where(lacking, np.float32(0), model.scaling.scale)
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
    flat[:, pixels] = change(flat[:, pixels].T.astype(np.float64), measured).T
    coordinates = ds.coordinates
    at = (coordinates[:, 1].astype(np.int64) - 1) * measured.shape[1] + coordinates[:, 0] - 1
    return Prediction(
        ds.path,
        model.classes,
        flat.reshape(-1, *measured.shape),
        flat[:, at].T.copy(),
        coordinates,
        ds.tic_image().astype(np.float32),
        tuple(model.axis.mz[lacking].tolist()),
        tuple(model.axis.mz[mute].tolist()),
        model,
        ds.pixel_size_um,
        {**ds.open_options, "ibd_path": ds.ibd_path},
    )


def _lacking(model: TumorModel, ds: Dataset, missing: str) -> npt.NDArray[np.bool_]:
    """The model's channels that a file does not reach, bool (C,).

    Raises:
        ArgumentError: The file cannot be predicted without them.
    """
    span = ds.mz_range
    lacking = unreached(model.axis, span)
    comparable = model.normalize == "none" or covers(span, model.span)
    if not lacking.any():
        if not comparable:
            logger.warning("%s: %s", ds.path, describe_uncovered(span, model.span, model.normalize))
        return lacking
    fault = f"{ds.path}: {describe_unreached(model.axis, lacking, span)} of the model"
    if lacking.all():
        raise ArgumentError(f"{fault}; train on sections that share an m/z range with this file")
    if not comparable:
        # Note: the norm over the m/z that the file has would be smaller, and all its channels brighter than anything
        # in training. Nothing in the file tells by how much.
        raise ArgumentError(
            f"{fault}; missing 'mean' does not help, because the {model.normalize.upper()} needs m/z "
            f"{model.span[0]:.4f} to {model.span[1]:.4f}: train on channels and sections cut to this file's range, or "
            "without normalisation"
        )
    if missing == "error":
        raise ArgumentError(f"{fault}; missing 'mean' sets them to their training mean")
    logger.warning("%s; they are set to their training mean", fault)
    return lacking
