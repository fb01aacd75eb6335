"""Changes to the class probabilities of a section that need no labels: adaptation to the section, and smoothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.thinned import gaussian_blur
from ionmorphnet.models.model import softmax

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_LEAST = 1e-6  # probabilities are kept this far from 0 and 1
_ITERATIONS = 200
_TOLERANCE = 1e-4
_SIGMA = 1.5
_COUPLING = 1.0
_MEAN_FIELD_STEPS = 10


def change_posteriors(probabilities: Float64, measured: Mask, *, adapt: str = "none", smooth: str = "none") -> Float64:
    """Adapts the class probabilities of a section, then smooths them.

    Args:
        probabilities: (n, classes), of the measured pixels in the order of ``np.flatnonzero(measured)``.
        measured: bool (H, W).
        adapt: ``prior``: probabilities for the class frequencies of this section, which are estimated by expectation
            maximisation (Saerens, M. et al. (2002), Neural Computation 14, 21-41); rare classes are predicted less
            often.
            ``none``.
        smooth: ``gaussian``: means of the logits weighted by distance (standard deviation 1.5 pixels). ``crf``: mean
            field of a Potts model that couples each pixel to its four neighbours. ``none``.

    Returns:
        New probabilities (n, classes).

    Raises:
        ArgumentError: A name is unknown.
    """
    checked_posteriors(adapt, smooth)
    return _SMOOTHING[smooth](_ADAPTATION[adapt](probabilities), measured)


def checked_posteriors(adapt: str, smooth: str) -> None:
    """Checks the names.

    Raises:
        ArgumentError: A name is unknown.
    """
    for what, given, known in (("adapt", adapt, ADAPTATIONS), ("smooth", smooth, SMOOTHINGS)):
        if given not in known:
            raise ArgumentError(f"{what} must be one of {', '.join(known)}, not '{given}'")


def _prior(given: Float64) -> Float64:
    """The training draws all classes equally often, so its class frequencies are equal."""
    weight = np.ones(given.shape[1])
    found = given
    for _ in range(_ITERATIONS):
        found = given * weight
        found = found / np.maximum(found.sum(axis=1, keepdims=True), 1e-300)
        before, weight = weight, found.mean(axis=0) * given.shape[1]
        if np.abs(weight - before).max() < _TOLERANCE:
            break
    return found


def _gaussian(given: Float64, measured: Mask) -> Float64:
    planes = _planes(_log(given), measured)
    weight = gaussian_blur(measured.astype(np.float64), _SIGMA)
    smoothed = np.stack([gaussian_blur(plane, _SIGMA) for plane in planes])[:, measured] / weight[measured]
    return softmax(smoothed.T)


def _crf(given: Float64, measured: Mask) -> Float64:
    unary, found = _log(given), given
    for _ in range(_MEAN_FIELD_STEPS):
        planes = np.pad(_planes(found, measured), ((0, 0), (1, 1), (1, 1)))
        around = planes[:, :-2, 1:-1] + planes[:, 2:, 1:-1] + planes[:, 1:-1, :-2] + planes[:, 1:-1, 2:]
        found = softmax(unary + _COUPLING * around[:, measured].T)
    return found


def _planes(values: Float64, measured: Mask) -> Float64:
    """Values (n, k) of the measured pixels as images (k, H, W), 0 elsewhere."""
    planes = np.zeros((values.shape[1], *measured.shape))
    planes[:, measured] = values.T
    return planes


def _log(given: Float64) -> Float64:
    return np.log(np.clip(given, _LEAST, 1.0))


_ADAPTATION: Mapping[str, Callable[[Float64], Float64]] = {"none": lambda given: given, "prior": _prior}
_SMOOTHING: Mapping[str, Callable[[Float64, Mask], Float64]] = {
    "none": lambda given, _: given,
    "gaussian": _gaussian,
    "crf": _crf,
}
ADAPTATIONS = tuple(_ADAPTATION)
SMOOTHINGS = tuple(_SMOOTHING)
