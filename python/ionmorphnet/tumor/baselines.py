"""Pixel-wise classifiers from scikit-learn (extra ``[tumor]``), on the same channels and pixels as the network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import UnavailableError

Float64 = npt.NDArray[np.float64]


class Estimator(Protocol):
    """The part of a scikit-learn classifier that is used here."""

    def fit(self, values: npt.NDArray[np.float32], label: npt.NDArray[np.int64]) -> object:
        """Trains on spectra (n, k) and labels (n,)."""
        ...

    def set_params(self, **values: object) -> Self:
        """Sets parameters."""
        ...


@dataclass(frozen=True)
class Baseline:
    """A classifier of single spectra.

    Attributes:
        title: Name for display.
        make: Makes an untrained estimator from a seed and a number of threads.
        most: Largest number of training pixels; more are thinned evenly from each class of each section.
        side: Side of the patch whose mean spectrum is classified; 1: the pixel's own spectrum.
    """

    title: str
    make: Callable[[int, int], Estimator]
    most: int = 40_000
    side: int = 1


def _lda(_seed: int, _threads: int) -> Estimator:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    estimator: Estimator = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return estimator


def _logistic(seed: int, _threads: int) -> Estimator:
    from sklearn.linear_model import LogisticRegression

    estimator: Estimator = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500, random_state=seed)
    return estimator


def _svm(seed: int, _threads: int) -> Estimator:
    from sklearn.svm import LinearSVC

    estimator: Estimator = LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=seed)
    return estimator


def _forest(seed: int, threads: int) -> Estimator:
    from sklearn.ensemble import RandomForestClassifier

    estimator: Estimator = RandomForestClassifier(
        200, min_samples_leaf=5, class_weight="balanced_subsample", n_jobs=threads, random_state=seed
    )
    return estimator


def _boosting(seed: int, _threads: int) -> Estimator:
    from sklearn.ensemble import HistGradientBoostingClassifier

    estimator: Estimator = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.1, l2_regularization=1.0, class_weight="balanced", random_state=seed
    )
    return estimator


BASELINES: Mapping[str, Baseline] = {
    "lda": Baseline("linear discriminant analysis", _lda),
    "logistic": Baseline("logistic regression", _logistic),
    "svm": Baseline("linear support vector machine", _svm, most=20_000),
    "forest": Baseline("random forest", _forest, most=10_000),
    "boosting": Baseline("gradient boosting", _boosting, most=20_000),
    # Not pixel-wise: they show how much averaging over neighbours achieves without a network.
    "lda-mean3": Baseline("LDA of the mean over 3 x 3 pixels", _lda, side=3),
    "lda-mean5": Baseline("LDA of the mean over 5 x 5 pixels", _lda, side=5),
}


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
    """A trained baseline."""

    def __init__(
        self, name: str, values: npt.NDArray[np.float32], label: npt.NDArray[np.int64], *, seed: int, threads: int
    ) -> None:
        """Trains the classifier.

        Args:
            name: Name in ``BASELINES``.
            values: float32 (n, k), standardised spectra.
            label: int64 (n,), every class at least once.
            seed: Seed of everything random.
            threads: CPU threads, from 1, for methods that support them.
        """
        self.estimator = BASELINES[name].make(seed, threads)
        classes = int(label.max()) + 1
        if name.startswith("lda"):  # LDA has no class weights; equal priors do the same
            self.estimator.set_params(priors=np.full(classes, 1.0 / classes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without convergence the last iterate is used
            self.estimator.fit(values, label)

    def probabilities(self, values: npt.NDArray[np.float32]) -> Float64:
        """Class probabilities, float64 (n, classes); for a support vector machine the softmax of its decisions."""
        if hasattr(self.estimator, "predict_proba"):
            found: Float64 = np.asarray(self.estimator.predict_proba(values), np.float64)
            return found
        assert hasattr(self.estimator, "decision_function")
        decision = np.asarray(self.estimator.decision_function(values), np.float64)
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        decision = np.exp(decision - decision.max(axis=1, keepdims=True))
        shares: Float64 = decision / decision.sum(axis=1, keepdims=True)
        return shares
