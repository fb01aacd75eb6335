"""Model folders of patch classifiers: everything that prediction needs, readable without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.normalization import NORMALIZATIONS
from ionmorphnet.tumor.patches import Scaling
from ionmorphnet.tumor.standardization import STANDARDIZATIONS

FORMAT = 1
KIND = "tumor-patches"

Float32 = npt.NDArray[np.float32]
# Patches (n, k, size, size) and masks (n, size, size) -> logits (n, classes).
Forward = Callable[[Float32, npt.NDArray[np.uint8]], Float32]


@dataclass(frozen=True, eq=False)
class TumorModel:
    """A model folder that has been read and checked.

    Attributes:
        folder: Folder the model was loaded from.
        classes: Class names in the order of the logits.
        axis: m/z channels and their windows.
        size: Side of a patch in pixels.
        normalize: Norm by which the intensities are divided.
        standardize: How each channel of a section is standardised, over all measured pixels of that section.
        span: m/z range (low, high) of the norm: the range that all training sections cover.
        scaling: Standardisation of the channels by the training pixels, which follows that of the section.
        config: Contents of ``config.json``.
    """

    folder: Path
    classes: tuple[str, ...]
    axis: CandidateAxis
    size: int
    normalize: str
    standardize: str
    span: tuple[float, float]
    scaling: Scaling = field(repr=False)
    config: dict[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        """Folder, classes and size."""
        return f"TumorModel({self.folder}: {', '.join(self.classes)}; {len(self.axis)} channels, {self.size} px)"


def load_tumor_model(folder: PathLike) -> TumorModel:
    """Reads and checks a model folder.

    Raises:
        FileError: The folder is not a tumor model, or its format is of another version.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileError(f"{folder}: not a model folder; config.json is missing")
    config = read_json(folder / "config.json")
    where = folder / "config.json"
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise FileError(f"{where}: not a tumor model (kind {KIND!r}); use `ionmorphnet pick` for ion-image models")
    if config.get("format") != FORMAT:
        raise FileError(f"{where}: format {config.get('format')} is not supported; this version reads {FORMAT}")
    if not (folder / "model.onnx").is_file():
        raise FileError(f"{folder}: model.onnx is missing")
    try:
        channels = config["channels"]
        n = len(channels["mz"])
        mz, lo, hi = (np.asarray(channels[name], np.float64) for name in ("mz", "mz_lo", "mz_hi"))
        axis = CandidateAxis(mz, lo, hi, np.full(n, np.nan), str(channels["method"]))
        centre, scale = (np.asarray(channels[name], np.float32) for name in ("centre", "scale"))
        classes = tuple(str(name) for name in config["classes"])
        size, normalize = int(config["size"]), str(config["normalize"])
        standardize = str(config["standardize"])
        low, high = (float(mz) for mz in config["span"])
    except (KeyError, TypeError, ValueError, ArgumentError) as error:
        raise FileError(f"{where}: invalid ({type(error).__name__}: {error})") from None
    if centre.shape != (n,) or scale.shape != (n,) or not np.isfinite(centre).all() or not np.isfinite(scale).all():
        raise FileError(f"{where}: centre and scale must hold one finite number per channel")
    if len(classes) < 2 or size < 1 or size % 2 == 0 or normalize not in NORMALIZATIONS or not n:
        raise FileError(f"{where}: classes, size, normalize or channels are out of range")
    if standardize not in STANDARDIZATIONS:
        raise FileError(f"{where}: standardize '{standardize}' is unknown")
    if not 0 <= low <= high < np.inf:
        raise FileError(f"{where}: span must be the m/z range (low, high) of the norm")
    scaling = Scaling(np.arange(n), centre, scale)
    return TumorModel(folder, classes, axis, size, normalize, standardize, (low, high), scaling, config)
