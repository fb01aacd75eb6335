"""Pixel-wise classifiers of scikit-learn (extra ``[tumor]``), on the same channels and pixels as the network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import UnavailableError

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """A classifier of single spectra.

    Attributes:
        title: For people.
        make: Gives an untrained estimator; takes the seed and the number of threads.
        most: Most training pixels it gets; more are thinned evenly from each class of each section.
        side: Side of the patch whose mean spectrum it sees; 1: the pixel's own.
    """

    title: str
    make: Callable[[int, int], Any]
    most: int = 40_000
    side: int = 1


def _lda(_seed: int, _threads: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def _logistic(seed: int, _threads: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, class_weight="balanced", max_iter=500, random_state=seed)


def _svm(seed: int, _threads: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=seed)


def _forest(seed: int, threads: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        200, min_samples_leaf=5, class_weight="balanced_subsample", n_jobs=threads, random_state=seed
    )


def _boosting(seed: int, _threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.1, l2_regularization=1.0, class_weight="balanced", random_state=seed
    )


BASELINES: Mapping[str, Baseline] = {
    "lda": Baseline("linear discriminant analysis", _lda),
    "logistic": Baseline("logistic regression", _logistic),
    "svm": Baseline("linear support vector machine", _svm, most=20_000),
    "forest": Baseline("random forest", _forest, most=10_000),
    "boosting": Baseline("gradient boosting", _boosting, most=20_000),
    # Not pixel-wise: how much a mean over the neighbours gives without any network.
    "lda-mean3": Baseline("LDA of the mean over 3 x 3 pixels", _lda, side=3),
    "lda-mean5": Baseline("LDA of the mean over 5 x 5 pixels", _lda, side=5),
}


def require_sklearn() -> None:
    """Says early that the baselines cannot be made.

    Raises:
        UnavailableError: scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UnavailableError("the baselines need scikit-learn: pip install 'ionmorphnet[tumor]'") from None


class FittedBaseline:
    """A trained baseline."""

    def __init__(
        self, name: str, values: npt.NDArray[np.float32], label: npt.NDArray[np.int64], *, seed: int, threads: int
    ) -> None:
        """Train.

        Args:
            name: Name in ``BASELINES``.
            values: float32 (n, k), standardised spectra.
            label: int64 (n,), every class at least once.
            seed: Seed of what is random.
            threads: CPU threads, where the method takes them.
        """
        self.estimator = BASELINES[name].make(seed, threads)
        classes = int(label.max()) + 1
        if name.startswith("lda"):  # the only one without class weights
            self.estimator.set_params(priors=np.full(classes, 1.0 / classes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: the last iterate is used
            self.estimator.fit(values, label)

    def probabilities(self, values: npt.NDArray[np.float32]) -> Float64:
        """Class probabilities, float64 (n, classes); of a support vector machine the softmax of its decision values."""
        if hasattr(self.estimator, "predict_proba"):
            found: Float64 = np.asarray(self.estimator.predict_proba(values), np.float64)
            return found
        decision = np.asarray(self.estimator.decision_function(values), np.float64)
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        decision = np.exp(decision - decision.max(axis=1, keepdims=True))
        shares: Float64 = decision / decision.sum(axis=1, keepdims=True)
        return shares
