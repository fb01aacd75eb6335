"""Scores of images by the methods to compare: models, classical statistics and total intensity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.evaluation_set import EvaluationSet
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.choose import make_scorer
from ionmorphnet.scoring.images import score_images
from ionmorphnet.scoring.scorer import Precision, Scorer, ScorerCallable, ScorerName

Kind = Literal["model", "classical", "baseline"]
Progress = Callable[[int, int], None]

INTENSITY = "intensity"
REFERENCE = "reference"
RANDOM = "random"


@dataclass(frozen=True, eq=False, repr=False)
class ScoredSet:
    """One dataset with the scores of every method.

    Attributes:
        name: Name of the dataset.
        scores: (n, methods), one column per method; higher = more structure. NaN ranks last.
        kinds: Kind of each method: ``model``, ``classical`` (a statistic that needs no model) or ``baseline``.
        labels: (labellings, n) indices into ``CLASSES``, -1 = no label.
        structure: (n,) grade from 0 to 3; NaN = not graded.
        keys: Name of each image.
        predictions: Result of :func:`ionmorphnet.score_images` for each model with classes.
    """

    name: str
    scores: pd.DataFrame
    kinds: Mapping[str, Kind]
    labels: npt.NDArray[np.int64]
    structure: npt.NDArray[np.float64]
    keys: tuple[str, ...]
    predictions: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ArgumentError: The lengths differ, or a method has no kind.
        """
        n = len(self.scores)
        if len(self.structure) != n or self.labels.shape[1:] != (n,) or len(self.keys) != n:
            raise ArgumentError(
                f"{self.name}: the numbers of labels, grades and keys must equal the {n} rows of scores"
            )
        unknown = [column for column in self.scores.columns if column not in self.kinds]
        if unknown:
            raise ArgumentError(f"{self.name}: kinds lacks {', '.join(unknown)}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.scores)

    def __repr__(self) -> str:
        """Name, size and methods."""
        return f"ScoredSet({self.name!r}, {len(self)} images, {', '.join(self.scores.columns)})"

    def methods(self, kind: Kind) -> list[str]:
        """Names of the methods of a kind."""
        return [str(name) for name in self.scores.columns if self.kinds[str(name)] == kind]


@dataclass(frozen=True)
class Methods:
    """Methods to compare.

    Attributes:
        scorers: Started scorers by name.
        baselines: Whether the classical statistics and total intensity are included.
        threads: CPU threads; 0: all cores.
    """

    scorers: Mapping[str, Scorer]
    baselines: bool = True
    threads: int = 0

    @property
    def kinds(self) -> dict[str, Kind]:
        """Kind of each method, in the order of the tables."""
        kinds: dict[str, Kind] = {
            name: "classical" if scorer.model is None else "model" for name, scorer in self.scorers.items()
        }
        if self.baselines:
            kinds |= dict.fromkeys(STATISTICS, "classical")
            kinds[INTENSITY] = "baseline"
        return kinds


def make_methods(
    models: Sequence[str | Path | Model | None] = (None,),
    scorers: Mapping[str, Scorer | ScorerCallable] | Sequence[ScorerName] = (),
    *,
    baselines: bool = True,
    precision: Precision = "auto",
    device: DeviceName | Device = "auto",
    threads: int = 0,
) -> Methods:
    """Starts the methods to compare.

    Args:
        models: Bundled names, model folders or loaded models; None in the list is the default model.
        scorers: Names (``"openvino"``, ``"moran"``, ...), or Scorers and callables by display name. A callable replaces
            the network of the default model: it accepts preprocessed images (n, channels, size, size) float32 and their
            statistics (n, k) float32, and returns logits (n, 7) float32, the six ``CLASSES`` and structure. To replace
            the network of another model, use ``make_scorer(model=..., scorer=my_callable)``.
        baselines: Whether to include the classical statistics and total intensity.
        precision: Precision of the models: ``"auto"``, ``"f32"`` or ``"bf16"``.
        device: Device of the models: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. Callables and statistics run
            on the CPU.
        threads: CPU threads; 0: all cores.

    Returns:
        The started methods.

    Raises:
        ArgumentError: A name is unknown, a callable has the wrong parameters, or there is nothing to compare.
        FileError: A model cannot be used.
        UnavailableError: A scorer is not available.
    """
    threads = thread_count(threads)
    named: dict[str, Scorer] = {}

    def add(name: str, scorer: Scorer) -> None:
        # The baselines already include the statistics.
        if baselines and scorer.model is None and scorer.name in STATISTICS:
            return
        unique = (
            name if name not in named else next(f"{name} ({i})" for i in range(2, 999) if f"{name} ({i})" not in named)
        )
        named[unique] = scorer

    for model in models:
        ready = make_scorer(model=model, precision=precision, device=device, threads=threads)
        assert ready.model is not None
        add(ready.model.name, ready)
    if isinstance(scorers, Mapping):
        for name, given in scorers.items():
            try:
                add(name, make_scorer(scorer=given))
            except ArgumentError as error:
                raise ArgumentError(f"scorer '{name}': {error}") from None
    else:
        for text in scorers:
            ready = make_scorer(scorer=text, device=device, threads=threads)
            add(text if ready.model is None else f"{ready.model.name} ({text})", ready)
    if not named and not baselines:
        raise ArgumentError("nothing to evaluate; give a model or a scorer, or include the baselines")
    return Methods(named, baselines, threads)


def score_set(images: EvaluationSet, methods: Methods, *, progress: Progress | None = None) -> ScoredSet:
    """Scores every image with every method.

    Args:
        images: The images.
        methods: The methods, see :func:`make_methods`.
        sample: float32 (H, W), the sample map of the images' section, for models that read it; None: unknown.
        progress: Called as progress(done, total) in images times scorers.

    Returns:
        The scores with labels and grades, without the images.

    Raises:
        ArgumentError: An image is not (H, W).
        IonMorphNetError: A network's output is not finite.
    """
    n, kinds = len(images), methods.kinds
    scores = pd.DataFrame(np.nan, index=range(n), columns=list(kinds), dtype=np.float64)
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in methods.scorers}
    done, total = 0, n * max(len(methods.scorers), 1)
    for where, stack in images.stacks():
        base = done

        def advance(part: int, _: int, base: int = base) -> None:
            if progress is not None:
                progress(base + part, total)

        block, predicted = score_stack(stack, methods, progress=advance)
        scores.loc[where, list(kinds)] = block.to_numpy()
        for name, frame in predicted.items():
            frames[name].append(frame.set_index(where))
        done += len(where) * max(len(methods.scorers), 1)
    predictions = {name: pd.concat(parts).sort_index() for name, parts in frames.items() if parts}
    return ScoredSet(images.name, scores, kinds, images.labels, images.structure, images.keys, predictions)


def score_stack(
    stack: npt.NDArray[np.float32],
    methods: Methods,
    *,
    sample: npt.NDArray[np.float32] | None = None,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Scores images of equal size with every method.

    Args:
        stack: (n, H, W) float32, NaN = not measured.
        methods: The methods, see :func:`make_methods`.
        sample: float32 (H, W), the sample map of the images' section, for models that read it; None: unknown.
        progress: Called as progress(done, total) in images times scorers.

    Returns:
        Scores (n, methods), and the result of :func:`ionmorphnet.score_images` for each model.

    Raises:
        ArgumentError: ``stack`` is not a stack of images.
        IonMorphNetError: A network's output is not finite.
    """
    columns: dict[str, npt.NDArray[np.float64]] = {}
    frames: dict[str, pd.DataFrame] = {}
    for i, (name, scorer) in enumerate(methods.scorers.items()):

        def advance(part: int, n: int, i: int = i) -> None:
            if progress is not None:
                progress(i * n + part, n * len(methods.scorers))

        frame = score_images(stack, sample=sample, scorer=scorer, threads=methods.threads, progress=advance)
        columns[name] = frame["score"].to_numpy(dtype=np.float64)
        if scorer.model is not None:
            frames[name] = frame
    if methods.baselines:
        statistics = _core.image_statistics(stack, threads=methods.threads).astype(np.float64)
        columns |= {name: statistics[:, i] for i, name in enumerate(STATISTICS)}
        columns[INTENSITY] = np.nansum(stack, axis=(1, 2), dtype=np.float64)
    return pd.DataFrame(columns, columns=list(methods.kinds)), frames
