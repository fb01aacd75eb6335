"""Model folders of patch classifiers: everything that a prediction needs, read without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, FileError, UnavailableError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.tumor.cubes import NORMALISATIONS
from ionmorphnet.tumor.patches import Scaling

FORMAT = 1
KIND = "tumor-patches"

Float32 = npt.NDArray[np.float32]
# Patches (n, k, size, size) and masks (n, size, size) -> logits (n, classes).
Forward = Callable[[Float32, npt.NDArray[np.uint8]], Float32]


@dataclass(frozen=True, eq=False)
class TumorModel:
    """A model folder that has been read and checked.

    Attributes:
        folder: Where it was loaded from.
        classes: Class names in the order of the logits.
        axis: m/z channels and their windows.
        size: Side of a patch in pixels.
        normalisation: What the intensities are divided by.
        span: Smallest and largest m/z over which that is taken: what all training sections span.
        scaling: Standardisation of the channels.
        config: The whole ``config.json``.
    """

    folder: Path
    classes: tuple[str, ...]
    axis: CandidateAxis
    size: int
    normalisation: str
    span: tuple[float, float]
    scaling: Scaling = field(repr=False)
    config: dict[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        """Folder, classes and size."""
        return f"TumorModel({self.folder}: {', '.join(self.classes)}; {len(self.axis)} channels, {self.size} px)"


def load_tumor_model(folder: PathLike) -> TumorModel:
    """Reads and checks a model folder.

    Raises:
        FileError: It is none, or of another version.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileError(f"{folder}: holds no config.json, so it is no model folder")
    config = read_json(folder / "config.json")
    where = folder / "config.json"
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise FileError(f"{where}: is no model of patches (kind {KIND!r}); models of ion images are for `pick`")
    if config.get("format") != FORMAT:
        raise FileError(f"{where}: format {config.get('format')}, this version reads {FORMAT}")
    if not (folder / "model.onnx").is_file():
        raise FileError(f"{folder}: model.onnx is missing")
    try:
        channels = config["channels"]
        n = len(channels["mz"])
        mz, lo, hi = (np.asarray(channels[name], np.float64) for name in ("mz", "mz_lo", "mz_hi"))
        axis = CandidateAxis(mz, lo, hi, np.full(n, np.nan), str(channels["method"]))
        centre, scale = (np.asarray(channels[name], np.float32) for name in ("centre", "scale"))
        classes = tuple(str(name) for name in config["classes"])
        size, normalisation = int(config["size"]), str(config["normalisation"])
        low, high = (float(mz) for mz in config["span"])
    except (KeyError, TypeError, ValueError, ArgumentError) as error:
        raise FileError(f"{where}: not understood ({type(error).__name__}: {error})") from None
    if centre.shape != (n,) or scale.shape != (n,) or not np.isfinite(centre).all() or not np.isfinite(scale).all():
        raise FileError(f"{where}: centre and scale must be one finite number a channel")
    if len(classes) < 2 or size < 1 or size % 2 == 0 or normalisation not in NORMALISATIONS or not n:
        raise FileError(f"{where}: classes, size, normalisation or channels are out of range")
    if not 0 <= low <= high < np.inf:
        raise FileError(f"{where}: span must be the smallest and largest m/z of the norm")
    return TumorModel(
        folder, classes, axis, size, normalisation, (low, high), Scaling(np.arange(n), centre, scale), config
    )


def start_on_cpu(model: TumorModel, threads: int = 0) -> Forward:
    """Starts the network in OpenVINO; see :func:`ionmorphnet.tumor.running.start_network`."""
    path = model.folder / "model.onnx"
    try:
        import openvino
    except ImportError:
        raise UnavailableError("this build has no OpenVINO; give device cuda with torch installed") from None
    hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        hints["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", hints)
    except RuntimeError as error:
        raise FileError(f"{path}: cannot be loaded: {str(error).splitlines()[0]}") from None

    try:
        shapes = [
            [side.get_length() if side.is_static else -1 for side in port.partial_shape] for port in compiled.inputs
        ]
        named = dict(zip((port.any_name for port in compiled.inputs), shapes, strict=True))
        found = named["patches"][1:], [side.get_length() for side in list(compiled.output(0).partial_shape)[1:]]
    except (KeyError, RuntimeError) as error:
        raise FileError(f"{path}: is no network of patches ({error})") from None
    wanted = [len(model.axis), model.size, model.size], [len(model.classes)]
    if found != wanted:
        raise FileError(
            f"{path}: takes patches of (channels, y, x) {found[0]} and gives classes {found[1]}, config.json says "
            f"{wanted[0]} and {wanted[1]}"
        )

    def run(patches: Float32, mask: npt.NDArray[np.uint8]) -> Float32:
        return np.array(compiled({"patches": patches, "mask": mask.astype(np.float32)})[0])

    return run
