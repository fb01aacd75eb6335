"""Classifiers of pixels and their neighbourhoods from scikit-learn (extra ``[tumor]``), compared with the networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.evaluate.metrics import auc
from ionmorphnet.models.model import softmax
from ionmorphnet.tumor.patches import FEATURES

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Chosen on cohorts that the tables of docs/reference/tumor-results.md do not use; nothing in it is random.
DEFAULT_METHOD = "pls-texture"
_INNER_FOLDS = 3
_KERNEL_CENTRES = 300
_MOST_VALUES = 40_000_000


class Estimator(Protocol):
    """The part of a scikit-learn classifier that is used here."""

    def fit(self, values: Float64, label: Int64) -> object:
        """Trains on features (n, d) and labels (n,)."""
        ...


@dataclass(frozen=True)
class Classifier:
    """A kind of classifier.

    Attributes:
        title: Name for display.
        make: Makes an untrained estimator from a seed, the number of classes and the hyper-parameters of ``grid``.
        grid: Hyper-parameters, of which inner folds choose; the first is used where there is nothing to choose by.
        most: Largest number of training pixels; more are thinned evenly from each class of each section.
        search: The same for the choice of hyper-parameters.
        calibrated: Whether the estimator's decisions are logits; otherwise inner folds calibrate them.
        kind: ``linear`` if decisions are linear in the features, ``kernel``, or ``trees``.
    """

    title: str
    make: Callable[..., Estimator]
    grid: tuple[Mapping[str, Any], ...] = ({},)
    most: int = 40_000
    search: int = 4_000
    calibrated: bool = False
    kind: str = "linear"


@dataclass(frozen=True, eq=False)
class Exported:
    """A fitted classifier as arrays: logits = kernel((features - mean) * scale) @ weight.T + bias.

    Attributes:
        mean: float64 (d,).
        scale: float64 (d,).
        weight: float64 (classes, d), or (classes, m) with a kernel.
        bias: float64 (classes,).
        centres: float64 (m, d), centres of the kernel; None: the features themselves are weighted.
        gamma: The kernel is exp(-gamma * squared distance to a centre).
    """

    mean: Float64
    scale: Float64
    weight: Float64
    bias: Float64
    centres: Float64 | None = None
    gamma: float = 0.0


class _PlsDiscriminant:
    """PLS-DA: discriminant analysis of the scores of a partial least squares regression on the classes."""

    def __init__(self, components: int, classes: int) -> None:
        self.components, self.classes = components, classes

    def fit(self, values: Float64, label: Int64) -> object:
        from sklearn.cross_decomposition import PLSRegression

        n = min(self.components, values.shape[1], len(values) - 1)
        self.regression = PLSRegression(n, scale=False).fit(values, np.eye(self.classes)[label])
        self.scores: Any = _lda(0, self.classes, shrinkage=None).fit(self.regression.transform(values), label)
        return self

    def decision_function(self, values: Float64) -> Float64:
        found: Float64 = self.scores.decision_function(self.regression.transform(values))
        return found


def _lda(_seed: int, classes: int, shrinkage: str | float | None) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    # LDA has no class weights; equal priors do the same.
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=np.full(classes, 1.0 / classes))


def _logistic(seed: int, _classes: int, C: float) -> Any:  # noqa: N803
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, class_weight="balanced", max_iter=300, random_state=seed)


def _pls(_seed: int, classes: int, components: int) -> Any:
    return _PlsDiscriminant(components, classes)


def _svm(seed: int, _classes: int, C: float) -> Any:  # noqa: N803
    from sklearn.svm import LinearSVC

    return LinearSVC(C=C, class_weight="balanced", dual=False, random_state=seed)


def _rbf(seed: int, classes: int, C: float, gamma: float) -> Any:  # noqa: N803
    from sklearn.kernel_approximation import Nystroem
    from sklearn.pipeline import make_pipeline

    class PerFeature(Nystroem):  # type: ignore[misc]
        """The width of the kernel follows the number of features, whose squared distances add up."""

        def fit(self, values: Float64, label: Int64 | None = None) -> Any:
            self.gamma = gamma / values.shape[1]
            self.n_components = min(_KERNEL_CENTRES, len(values))
            return super().fit(values, label)

    return make_pipeline(PerFeature(random_state=seed), _svm(seed, classes, C))


def _boosting(seed: int, _classes: int, max_leaf_nodes: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.2,
        max_leaf_nodes=max_leaf_nodes,
        l2_regularization=1.0,
        class_weight="balanced",
        random_state=seed,
    )


CLASSIFIERS: Mapping[str, Classifier] = {
    "lda": Classifier(
        "linear discriminant analysis", _lda, tuple({"shrinkage": s} for s in ("auto", 0.03, 0.3)), calibrated=True
    ),
    "logistic": Classifier(
        "logistic regression", _logistic, tuple({"C": c} for c in (1e-2, 1e-3, 1e-1)), calibrated=True
    ),
    "pls": Classifier("PLS-DA", _pls, tuple({"components": n} for n in (8, 2, 4, 16)), calibrated=True),
    "svm": Classifier("linear support vector machine", _svm, tuple({"C": c} for c in (1e-3, 1e-4, 1e-2)), most=20_000),
    "rbf": Classifier(
        "support vector machine with a Gaussian kernel (Nyström approximation)",
        _rbf,
        tuple({"C": c, "gamma": g} for c in (0.1, 1.0) for g in (0.1, 0.5)),
        most=20_000,
        search=2_000,
        kind="kernel",
    ),
    "boosting": Classifier(
        "gradient boosting",
        _boosting,
        ({"max_leaf_nodes": 15}, {"max_leaf_nodes": 4}),
        most=20_000,
        search=2_000,
        calibrated=True,
        kind="trees",
    ),
}
BASELINES = tuple(f"{name}{feature}" for name in CLASSIFIERS for feature in FEATURES)


def parse_method(method: str) -> tuple[str, str]:
    """Divides the name of a method into its classifier and the suffix of its features.

    Raises:
        ArgumentError: The features are unknown.
    """
    name, dash, feature = method.partition("-")
    if dash + feature not in FEATURES:
        raise ArgumentError(f"'{method}' is not a method; features are {', '.join(filter(None, FEATURES))}")
    return name, dash + feature


def most_pixels(method: str, n_channels: int) -> int:
    """Largest number of training pixels of a method, so that its features take at most 320 MB."""
    name, kind = parse_method(method)
    features = FEATURES[kind].count(n_channels)
    return max(1, min(CLASSIFIERS[name].most, _MOST_VALUES // features))


def require_sklearn() -> None:
    """Checks early that the baselines are available.

    Raises:
        UnavailableError: scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UnavailableError("pixel-wise classifiers need scikit-learn: pip install 'ionmorphnet[tumor]'") from None


class FittedBaseline:
    """A trained classifier of features.

    Attributes:
        chosen: The hyper-parameters.
        inner_auc: Mean AUC of the inner folds with these; NaN without inner folds.
    """

    def __init__(
        self, method: str, values: npt.NDArray[np.float32], label: Int64, groups: Int64, *, seed: int, threads: int
    ) -> None:
        """Chooses the hyper-parameters by inner folds of whole patients, then trains on everything.

        Args:
            method: Name in ``BASELINES``.
            values: float32 (n, d), features.
            label: int64 (n,), every class at least once.
            groups: int64 (n,), the patient of each pixel, or whatever inner folds must not split.
            seed: Seed of everything random.
            threads: CPU threads, from 1.
        """
        from threadpoolctl import threadpool_limits

        self.kind = CLASSIFIERS[parse_method(method)[0]]
        self.seed, self.classes = seed, int(label.max()) + 1
        wide = values.astype(np.float64)
        self.mean, deviation = wide.mean(axis=0), wide.std(axis=0)
        self.scale = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
        wide = (wide - self.mean) * self.scale
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore")  # without convergence the last iterate is used
            few = _evenly(label, groups, self.kind.search, seed)
            folds = list(_inner_folds(label[few], groups[few]))
            self.chosen, self.inner_auc, decisions = self._search(wide[few], label[few], folds)
            self.calibrator = None
            if not self.kind.calibrated:
                judged, found = decisions
                self.calibrator = _logistic(seed, self.classes, C=1.0).fit(_columns(found), label[few][judged])
            self.estimator: Any = self._trained(self.chosen, wide, label)

    def logits(self, values: npt.NDArray[np.floating]) -> Float64:
        """Logits (n, classes) of features (n, d)."""
        return self._logits_of_standardised((values.astype(np.float64) - self.mean) * self.scale)

    def probabilities(self, values: npt.NDArray[np.floating]) -> Float64:
        """Class probabilities (n, classes) of features (n, d)."""
        return softmax(self.logits(values))

    def exported(self) -> Exported:
        """The classifier as arrays.

        Raises:
            ArgumentError: The classifier consists of trees.
        """
        if self.kind.kind == "trees":
            raise ArgumentError(f"{self.kind.title} can be evaluated, but not saved as a model; choose another method")
        if self.kind.kind == "linear":
            return Exported(self.mean, self.scale, *_affine(self._logits_of_standardised, len(self.mean)))
        kernel, machine = self.estimator[0], self.estimator[1]

        def from_kernel(similarity: Float64) -> Float64:
            return self._calibrated(machine.decision_function(similarity @ kernel.normalization_.T))

        weight, bias = _affine(from_kernel, len(kernel.components_))
        return Exported(self.mean, self.scale, weight, bias, kernel.components_, float(kernel.gamma))

    def linear(self) -> tuple[Float64, Float64]:
        """Weight (classes, d) and bias (classes,) of a classifier that is linear in the features."""
        weight, bias = _affine(self._logits_of_standardised, len(self.mean))
        weight = weight * self.scale
        return weight, bias - weight @ self.mean

    def _logits_of_standardised(self, values: Float64) -> Float64:
        return self._calibrated(_decisions(self.estimator, values))

    def _calibrated(self, decisions: Float64) -> Float64:
        if self.calibrator is not None:
            decisions = self.calibrator.decision_function(_columns(decisions))
        if decisions.ndim == 2:
            return decisions
        return np.stack([np.zeros_like(decisions), decisions], axis=1)

    def _trained(self, parameters: Mapping[str, Any], values: Float64, label: Int64) -> Estimator:
        estimator = self.kind.make(self.seed, self.classes, **parameters)
        estimator.fit(values, label)
        return estimator

    def _search(
        self, values: Float64, label: Int64, folds: Sequence[tuple[Int64, Int64]]
    ) -> tuple[Mapping[str, Any], float, tuple[Int64, Float64]]:
        """The best hyper-parameters, their AUC, and the decisions for the pixels that were left out."""
        best: tuple[Mapping[str, Any], float, tuple[Int64, Float64]] | None = None
        for parameters in self.kind.grid:
            areas, parts = [], []
            for train, test in folds:
                found = _decisions(self._trained(parameters, values[train], label[train]), values[test])
                each = _columns(found) if found.ndim == 2 else np.stack([-found, found], axis=1)
                areas.append(np.nanmean([auc(label[test] == k, each[:, k]) for k in np.unique(label[test])]))
                parts.append(found)
            area = float(np.nanmean(areas)) if areas and not np.isnan(areas).all() else float("nan")
            if best is None or area > best[1]:
                judged = np.concatenate([test for _, test in folds] or [np.zeros(0, np.int64)])
                best = parameters, area, (judged, np.concatenate(parts or [np.zeros(0)]))
            if not folds:
                break
        assert best is not None
        if not folds and not self.kind.calibrated:
            # Nothing can be left out, so the decisions for the training pixels have to do.
            found = _decisions(self._trained(best[0], values, label), values)
            best = best[0], best[1], (np.arange(len(label)), found)
        return best


def _decisions(estimator: Any, values: Float64) -> Float64:
    """Decisions (n,) or (n, classes)."""
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(values), np.float64)
    return np.log(np.maximum(np.asarray(estimator.predict_proba(values), np.float64), 1e-12))


def _affine(function: Callable[[Float64], Float64], n: int) -> tuple[Float64, Float64]:
    """Weight (classes, n) and bias (classes,) of an affine function."""
    bias = function(np.zeros((1, n)))[0]
    return (function(np.eye(n)) - bias).T, bias


def _columns(decisions: Float64) -> Float64:
    return decisions if decisions.ndim == 2 else decisions[:, None]


def _inner_folds(label: Int64, groups: Int64) -> Iterator[tuple[Int64, Int64]]:
    """Folds of whole groups; those whose training part lacks a class are left out."""
    names = np.unique(groups)
    n = min(_INNER_FOLDS, len(names))
    for i in range(n if n > 1 else 0):
        out = np.isin(groups, names[i::n])
        if len(np.unique(label[~out])) == len(np.unique(label)):
            yield np.flatnonzero(~out), np.flatnonzero(out)


def _evenly(label: Int64, groups: Int64, most: int, seed: int) -> Int64:
    """Ascending positions of about ``most`` pixels, drawn evenly from each class of each group."""
    cells = np.unique(np.stack([label, groups]), axis=1, return_inverse=True)[1].ravel()
    share = max(1, most // (int(cells.max()) + 1))
    order = np.random.default_rng([seed, 78]).permutation(len(label))
    return np.sort(np.concatenate([order[cells[order] == cell][:share] for cell in range(int(cells.max()) + 1)]))
