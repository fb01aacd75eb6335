"""Calibration of a model to one section: a small logistic map of its outputs, learnt from 10 to 30 labels.

What people call structured, localized or weakly structured depends on the section: how large the sample is, how bright
a part must be to stand for the whole. The map corrects the logits of the model by

    logit_c + W_c x + b_c,    x = (log-probabilities, logit of the structure),

where W and b are shrunk towards 0, which is the identity. The shrinkage is chosen by cross-validation, and the map is
only used if cross-validation finds it better than no map. The structure is corrected in the same way, on its logit, if
the labels have grades.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.json_output import write_json
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.normalization import checked_normalize
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.models.model import HIGHEST_GRADE, Model, sigmoid, softmax

Float64 = npt.NDArray[np.float64]

# Version of the layout of a calibration file.
SCHEMA = 1
FEWEST_LABELS = 8
# Weights of the squared coefficients in the loss, from strong to weak shrinkage; intercepts of classes have weight 1.
STRENGTHS = (10.0, 3.0, 1.0)
FOLDS = 5
REPEATS = 4
_NEWTON_STEPS = 15
# Probabilities and grades are kept away from 0 and 1 before logarithms: a network that is sure is not to be
# extrapolated, and grades of 0 and 3 are common.
_PROBABILITY_MARGIN = 0.005
_SMALLEST_FEATURE = 0.01
_STRUCTURE_MARGIN = 0.02
_FEATURES = len(CLASSES) + 1
_UNSEEN = "unstructured"


@dataclass(frozen=True)
class Trial:
    """What cross-validation found for one of the two maps.

    Attributes:
        labels: Number of labels.
        strength: The best of :data:`STRENGTHS`.
        before: Figure of the model as it is: class agreement, or mean squared error of the grade.
        after: The same with the map, on labels left out of its fit.
        gain: Mean gain of the figure that decides: log-likelihood per label, or the decrease of the squared error.
        accepted: Whether the map is used.
    """

    labels: int
    strength: float
    before: float
    after: float
    gain: float
    accepted: bool


@dataclass(frozen=True)
class CalibrationRecord:
    """The calibration that a pick used."""

    section: str
    """Name of the section whose labels were used."""
    uuid: str | None
    """UUID that its file declares."""
    labels: int
    """Number of labels."""
    classes: bool
    """Whether the class probabilities were mapped."""
    structure: bool
    """Whether the structure was mapped."""


@dataclass(frozen=True, eq=False)
class SectionCalibration:
    """A map of a model's outputs to the conventions of one section.

    Attributes:
        model: Name of the model.
        sha256: Hash of the model's network; the map is refused for another one.
        section: Name of the section whose labels were used.
        uuid: UUID that the section's file declares, or None.
        normalize: How the labelled images were normalised: ``none``, ``tic``, ``rms`` or ``median``.
        class_map: (features + 1, 6), coefficients of the class logits with the intercepts last; None = identity.
        structure_map: (features + 1,), coefficients of the structure logit; None = identity.
        class_trial: Cross-validation of the class map.
        structure_trial: Cross-validation of the structure map; None if too few labels have a grade.
    """

    model: str
    sha256: str
    section: str
    uuid: str | None
    normalize: Normalize
    class_map: Float64 | None
    structure_map: Float64 | None
    class_trial: Trial
    structure_trial: Trial | None

    @property
    def is_identity(self) -> bool:
        """Whether the calibration changes nothing."""
        return self.class_map is None and self.structure_map is None

    def lines(self) -> list[str]:
        """What was fitted, as text."""
        trial = self.class_trial
        found = f"agreement with {trial.labels} labels {trial.before:.2f} -> {trial.after:.2f} in cross-validation"
        lines = [f"classes: {found}; {'accepted' if trial.accepted else 'not accepted, classes stay as they are'}"]
        if self.structure_trial is not None:
            grade = self.structure_trial
            before, after = math.sqrt(grade.before), math.sqrt(grade.after)
            found = f"error of {grade.labels} grades {before:.2f} -> {after:.2f} in cross-validation"
            lines.append(
                f"structure: {found}; {'accepted' if grade.accepted else 'not accepted, the structure stays as it is'}"
            )
        return lines

    def require_model(self, model: Model | None, where: str = "calibration") -> None:
        """Checks that the calibration was made for a model.

        Raises:
            ArgumentError: It was made for another model, or the scorer has none.
        """
        if model is None:
            raise ArgumentError(f"{where}: a calibration needs the model it was made for ('{self.model}')")
        if model.sha256 != self.sha256:
            raise ArgumentError(
                f"{where}: made for another model ('{self.model}', {self.sha256[:8]}; this is '{model.name}', "
                f"{model.sha256[:8]}); run ionmorphnet calibrate with this model"
            )

    def apply(self, frame: pd.DataFrame, model: Model) -> pd.DataFrame:
        """Map scores and classes. Images that the network did not see (blank, spared by a cascade) stay as they are.

        Args:
            frame: Columns as :func:`ionmorphnet.score_images` returns them; others are kept.
            model: The model that made them.

        Returns:
            A new frame with new ``score``, ``label``, ``p_*`` and ``structure``.

        Raises:
            ArgumentError: The calibration was made for another model.
        """
        self.require_model(model)
        out = frame.copy()
        probabilities = frame[list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64, copy=True)
        structure = frame["structure"].to_numpy(dtype=np.float64, copy=True) if model.has_structure else None
        rows = np.flatnonzero(seen_by_network(frame))
        if self.is_identity or not len(rows):
            return out
        x = features(probabilities[rows], None if structure is None else structure[rows])
        if self.class_map is not None:
            probabilities[rows] = softmax(_logits(probabilities[rows]) + _affine(x, self.class_map))
        if self.structure_map is not None and structure is not None:
            structure[rows] = _grade(_structure_logit(structure[rows]) + _affine(x, self.structure_map))
        score = frame["score"].to_numpy(dtype=np.float64, copy=True)
        score[rows] = model.score(probabilities[rows], None if structure is None else structure[rows])
        labels = np.asarray(CLASSES, dtype=object)[probabilities.argmax(axis=1)]
        out["score"], out["label"] = score, pd.array(labels, dtype="string")
        out[list(PROBABILITY_COLUMNS)] = probabilities
        if structure is not None:
            out["structure"] = structure
        return out

    def record(self) -> CalibrationRecord:
        """What a run record says about the calibration."""
        return CalibrationRecord(
            self.section,
            self.uuid,
            self.class_trial.labels,
            self.class_map is not None,
            self.structure_map is not None,
        )

    def save(self, path: PathLike) -> None:
        """Write the calibration as JSON."""
        write_json(path, {"schema": SCHEMA, **dataclasses.asdict(self)})


def read_calibration(path: PathLike) -> SectionCalibration:
    """Read what :meth:`SectionCalibration.save` wrote.

    Raises:
        FileError: The file is missing, or is no calibration.
    """
    values = read_json(Path(path))
    try:
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']}, this version reads {SCHEMA}")
        trial = values["structure_trial"]
        return SectionCalibration(
            model=str(values["model"]),
            sha256=str(values["sha256"]),
            section=str(values["section"]),
            uuid=values["uuid"],
            normalize=checked_normalize(values["normalize"]),
            class_map=_map_of(values["class_map"], (len(CLASSES),)),
            structure_map=_map_of(values["structure_map"], ()),
            class_trial=Trial(**values["class_trial"]),
            structure_trial=None if trial is None else Trial(**trial),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: not a calibration of a section ({type(error).__name__}: {error})") from None


def seen_by_network(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which rows are outputs of a network, (n,): blank and spared images are unstructured with probability 1."""
    seen: npt.NDArray[np.bool_] = frame[f"p_{_UNSEEN}"].to_numpy(dtype=np.float64) < 1.0
    return seen


def calibration_of(given: SectionCalibration | PathLike | None) -> SectionCalibration | None:
    """A calibration from an argument that may be a path.

    Raises:
        FileError: The file is missing, or is no calibration.
    """
    return given if given is None or isinstance(given, SectionCalibration) else read_calibration(given)


def calibration_name(given: SectionCalibration | PathLike | None) -> str:
    """What errors call the argument."""
    return "calibration" if given is None or isinstance(given, SectionCalibration) else str(Path(given))


def fit_calibration(
    frame: pd.DataFrame,
    labels: npt.ArrayLike,
    grades: npt.ArrayLike,
    model: Model,
    *,
    section: str = "",
    uuid: str | None = None,
    normalize: Normalize = "none",
) -> SectionCalibration:
    """Fit a calibration to labelled images of a section.

    Args:
        frame: Outputs of the model for the labelled images, as :func:`ionmorphnet.score_images` returns them.
        labels: (n, 6), share of the observers that chose each class.
        grades: (n,), grade of structure, 0 to 3; NaN = not graded.
        model: The model.
        section: Name of the section, for the record.
        uuid: UUID of the section's file, for the record.
        normalize: How the images were normalised, for the record.

    Returns:
        The calibration; the identity where cross-validation gains nothing.

    Raises:
        ArgumentError: There are fewer than :data:`FEWEST_LABELS` labels, or shapes do not match.
    """
    y, g = np.asarray(labels, dtype=np.float64), np.asarray(grades, dtype=np.float64)
    if y.shape != (len(frame), len(CLASSES)) or g.shape != (len(frame),):
        raise ArgumentError(f"{len(frame)} images need labels ({len(frame)}, {len(CLASSES)}) and one grade each")
    if len(frame) < FEWEST_LABELS:
        raise ArgumentError(f"a calibration needs at least {FEWEST_LABELS} labelled images, got {len(frame)}")
    probabilities = frame[list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64)
    structure = frame["structure"].to_numpy(dtype=np.float64) if model.has_structure else None
    x = features(probabilities, structure)
    class_map, class_trial = _class_map(x, _logits(probabilities), y)
    structure_map = structure_trial = None
    graded = np.isfinite(g)
    if structure is not None and graded.sum() >= FEWEST_LABELS:
        offset = _structure_logit(structure[graded])
        structure_map, structure_trial = _structure_map(x[graded], offset, g[graded], y[graded].argmax(axis=1))
    return SectionCalibration(
        model.name, model.sha256, section, uuid, normalize, class_map, structure_map, class_trial, structure_trial
    )


def features(probabilities: Float64, structure: Float64 | None) -> Float64:
    """Inputs of the maps.

    Args:
        probabilities: (n, 6).
        structure: (n,), expected grade; None if the model has none, which counts as a grade of 1.5.

    Returns:
        (n, 7): centred log-probabilities and the logit of the structure, scaled to about -1 ... 1.
    """
    logs = np.log(np.maximum(probabilities, _SMALLEST_FEATURE))
    logs -= logs.mean(axis=1, keepdims=True)
    grade = np.full(len(logs), HIGHEST_GRADE / 2.0) if structure is None else structure
    return np.column_stack([logs / 3.0, _structure_logit(grade) / 2.0])


def _class_map(x: Float64, offset: Float64, y: Float64) -> tuple[Float64 | None, Trial]:
    first = y.argmax(axis=1)
    before = softmax(offset)
    likelihood, agreement = _judged(before, y)
    best: tuple[float, float, float] | None = None
    for strength in STRENGTHS:
        found = np.zeros(2)
        for held in _folds(first):
            fitted = _fit_classes(x[~held], offset[~held], y[~held], strength)
            likely, agreeing = _judged(softmax(offset[held] + _affine(x[held], fitted)), y[held])
            found += (likely * held.sum(), agreeing * held.sum())
        gain, after = found[0] / (REPEATS * len(y)) - likelihood, found[1] / (REPEATS * len(y))
        if best is None or gain > best[0]:
            best = (float(gain), strength, float(after))
    assert best is not None
    gain, strength, after = best
    accepted = gain > 0.0 and agreement - 1e-9 <= after and agreement < 1.0
    trial = Trial(len(y), strength, agreement, after, gain, accepted)
    return (_fit_classes(x, offset, y, strength) if accepted else None), trial


def _structure_map(
    x: Float64, offset: Float64, grades: Float64, strata: npt.NDArray[np.intp]
) -> tuple[Float64 | None, Trial]:
    """Fit the map of the structure: of all features if that ranks no worse, otherwise of the structure alone."""
    target = _structure_logit(grades) - offset
    before = float(((_grade(offset) - grades) ** 2).mean())
    ordered = _order(offset, grades)
    best: tuple[float, float, bool] | None = None
    for alone in (False, True):
        for strength in STRENGTHS:
            error, order = 0.0, 0.0
            folds = _folds(strata)
            for repeat in range(REPEATS):
                logit = np.empty(len(grades))
                for held in folds[repeat * FOLDS : (repeat + 1) * FOLDS]:
                    fitted = _fit_structure(x[~held], target[~held], strength, alone)
                    logit[held] = offset[held] + _affine(x[held], fitted)
                error += float(((_grade(logit) - grades) ** 2).mean()) / REPEATS
                order += _order(logit, grades) / REPEATS
            if (alone or order >= ordered) and (best is None or error < best[0]):
                best = (error, strength, alone)
    assert best is not None
    after, strength, alone = best
    fitted = _fit_structure(x, target, strength, alone)
    # Of the structure alone, the map must rise, or it would turn the ranking round.
    accepted = bool(after < before and (not alone or fitted[-2] > -2.0))
    trial = Trial(len(grades), strength, before, after, before - after, accepted)
    return (fitted if accepted else None), trial


def _order(logit: Float64, grades: Float64) -> float:
    """Share of the pairs of different grade in the right order; 1 if all grades are equal."""
    better = grades[:, None] > grades[None, :]
    if not better.any():
        return 1.0
    return float((0.5 + 0.5 * np.sign(logit[:, None] - logit[None, :]))[better].mean())


def _fit_structure(x: Float64, target: Float64, strength: float, alone: bool) -> Float64:
    """Ridge regression of the correction of the logit, (features + 1,); ``alone``: on the structure's own logit."""
    inputs = np.column_stack([x * (np.arange(x.shape[1]) == x.shape[1] - 1) if alone else x, np.ones(len(x))])
    penalty = np.full(inputs.shape[1], strength)
    penalty[-1] = 0.5 * strength
    found: Float64 = np.linalg.solve(inputs.T @ inputs + np.diag(penalty), inputs.T @ target)
    return found


def _judged(probabilities: Float64, y: Float64) -> tuple[float, float]:
    """Mean log-likelihood, and mean share of the observers that chose the most probable class."""
    likelihood = float((y * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean())
    return likelihood, float(y[np.arange(len(y)), probabilities.argmax(axis=1)].mean())


def _folds(strata: npt.NDArray[np.intp]) -> list[npt.NDArray[np.bool_]]:
    """Parts to leave out, bool (n,); each repeat deals the images of each class to the folds anew."""
    parts = []
    for repeat in range(REPEATS):
        rng = np.random.default_rng(repeat)
        order = np.lexsort((rng.random(len(strata)), strata))
        fold = np.empty(len(strata), dtype=np.intp)
        fold[order] = np.arange(len(strata)) % FOLDS
        parts += [fold == k for k in range(FOLDS)]
    return parts


def _fit_classes(x: Float64, offset: Float64, y: Float64, strength: float) -> Float64:
    """Penalised multinomial logistic regression by Newton's method, (features + 1, 6)."""
    inputs = np.column_stack([x, np.ones(len(x))])
    width, classes = inputs.shape[1], y.shape[1]
    penalty = np.full(width, strength)
    penalty[-1] = 1.0
    weights = np.zeros((width, classes))

    def loss(at: Float64) -> tuple[float, Float64]:
        probabilities = softmax(offset + inputs @ at)
        data = -float((y * np.log(np.maximum(probabilities, 1e-300))).sum())
        return data + 0.5 * float((penalty[:, None] * at**2).sum()), probabilities

    value, probabilities = loss(weights)
    for _ in range(_NEWTON_STEPS):
        gradient = inputs.T @ (probabilities - y) + penalty[:, None] * weights
        # d2 loss / d weights[i, a] d weights[j, b]
        spread = np.einsum("na,ab->nab", probabilities, np.eye(classes)) - np.einsum(
            "na,nb->nab", probabilities, probabilities
        )
        curvature = np.einsum("ni,nab,nj->iajb", inputs, spread, inputs, optimize=True)
        curvature = curvature.reshape(width * classes, -1) + np.diag(np.repeat(penalty, classes))
        step = np.linalg.solve(curvature, gradient.ravel()).reshape(width, classes)
        size = 1.0
        moved = loss(weights - step)
        while moved[0] > value and size > 1e-3:
            size /= 2.0
            moved = loss(weights - size * step)
        gained = value - moved[0]
        if gained <= 0.0:
            break
        weights, (value, probabilities) = weights - size * step, moved
        if gained < 1e-8:
            break
    return weights


def _affine(x: Float64, coefficients: Float64) -> Float64:
    result: Float64 = x @ coefficients[:-1] + coefficients[-1]
    return result


def _logits(probabilities: Float64) -> Float64:
    mixed = (1.0 - len(CLASSES) * _PROBABILITY_MARGIN) * probabilities + _PROBABILITY_MARGIN
    logits: Float64 = np.log(mixed)
    return logits


def _structure_logit(structure: Float64) -> Float64:
    """Logit of a grade that stays finite at 0 and 3 and keeps the order of all grades."""
    share = _STRUCTURE_MARGIN + (1.0 - 2.0 * _STRUCTURE_MARGIN) * structure / HIGHEST_GRADE
    logit: Float64 = np.log(share / (1.0 - share))
    return logit


def _grade(logit: Float64) -> Float64:
    """Inverse of :func:`_structure_logit`, 0 to 3."""
    share = (sigmoid(logit) - _STRUCTURE_MARGIN) / (1.0 - 2.0 * _STRUCTURE_MARGIN)
    grade: Float64 = HIGHEST_GRADE * np.clip(share, 0.0, 1.0)
    return grade


def _map_of(values: Any, last: tuple[int, ...]) -> Float64 | None:
    if values is None:
        return None
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (_FEATURES + 1, *last) or not np.isfinite(found).all():
        raise ValueError(f"a map of shape {found.shape}")
    return found
