"""Scores and predicted classes of every image of a corpus, from models or from files of predictions."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.paths import PathLike
from ionmorphnet.evaluate.methods import Kind, Methods, Progress, make_methods, score_stack
from ionmorphnet.labelled.corpus import SOURCE_GROUPS, Corpus
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS, STATISTICS

# Columns of a frame of predictions; ``threshold`` is the default cut of the model that scored the image.
PREDICTION_COLUMNS = ("score", *PROBABILITY_COLUMNS, "structure", "threshold")
_REQUIRED = ("score", *PROBABILITY_COLUMNS)
# Number of pixels scored in one call.
_PART_PIXELS = 16_000_000


@dataclass(frozen=True, eq=False, repr=False)
class CorpusScores:
    """A corpus with the scores of every method.

    Attributes:
        corpus: The images; rows of the frames have their order.
        scores: (n, methods), higher = more structure; NaN = the method did not score the image.
        kinds: Kind of each method: ``model``, ``classical`` or ``baseline``.
        predictions: Frame with :data:`PREDICTION_COLUMNS` of each model.
    """

    corpus: Corpus
    scores: pd.DataFrame
    kinds: Mapping[str, Kind]
    predictions: Mapping[str, pd.DataFrame]

    def __repr__(self) -> str:
        """Size and methods."""
        return f"CorpusScores({len(self.corpus)} images, {', '.join(self.scores.columns)})"

    def with_model(self, name: str, predictions: pd.DataFrame) -> CorpusScores:
        """Add the predictions of another model, as the first method.

        Raises:
            ArgumentError: The name is taken.
        """
        if name in self.kinds:
            raise ArgumentError(f"there are scores of '{name}' already; give the predictions another name")
        scores = self.scores.copy()
        scores.insert(0, name, predictions["score"].to_numpy())
        kinds: dict[str, Kind] = {name: "model"}
        return CorpusScores(self.corpus, scores, kinds | dict(self.kinds), {name: predictions} | dict(self.predictions))


def score_corpus(corpus: Corpus, methods: Methods, *, progress: Progress | None = None) -> CorpusScores:
    """Score every image with every method, models with the sample map of the image's section.

    Args:
        corpus: The images.
        methods: The methods, see :func:`~ionmorphnet.evaluate.make_methods`.
        progress: Called as progress(done, total) in images.

    Raises:
        IonMorphNetError: A network's output is not finite.
    """
    kinds = methods.kinds
    scores = pd.DataFrame(np.nan, index=range(len(corpus)), columns=list(kinds), dtype=np.float64)
    predictions = {
        name: pd.DataFrame(np.nan, index=range(len(corpus)), columns=list(PREDICTION_COLUMNS), dtype=np.float64)
        for name, scorer in methods.scorers.items()
        if scorer.model is not None
    }
    done = 0
    for where in _equal_frames(corpus):
        samples = [corpus[k] for k in where]
        stack = np.stack([sample.image for sample in samples])
        block, frames = score_stack(stack, methods, sample=samples[0].sample)
        scores.loc[where] = block.to_numpy()
        for name, frame in frames.items():
            model = methods.scorers[name].model
            assert model is not None
            rows = frame.reindex(columns=list(PREDICTION_COLUMNS)).assign(threshold=model.threshold)
            predictions[name].loc[where] = rows.to_numpy(dtype=np.float64)
        done += len(where)
        if progress is not None:
            progress(done, len(corpus))
    return CorpusScores(corpus, scores, kinds, predictions)


def leave_one_out(
    corpus: Corpus,
    parts: Mapping[str, PathLike],
    *,
    groups: Mapping[str, Sequence[str]] = SOURCE_GROUPS,
    threads: int = 0,
) -> pd.DataFrame:
    """Collect predictions of models that did not see the images.

    Args:
        corpus: The images.
        parts: A model folder, or a file of predictions, by held-out source or fold (see
            :func:`~ionmorphnet.labelled.corpus.source_folds`).
        groups: Sources of the folds of several sources.
        threads: CPU threads; 0: all cores.

    Returns:
        Frame (n) with :data:`PREDICTION_COLUMNS`; NaN for images of sources without a part.

    Raises:
        ArgumentError: A name is unknown, or two parts score the same source.
        FileError: A model or file cannot be used, or lacks images of its source.
    """
    frame = pd.DataFrame(np.nan, index=range(len(corpus)), columns=list(PREDICTION_COLUMNS), dtype=np.float64)
    seen: set[str] = set()
    for name, path in parts.items():
        sources = set(groups.get(name, (name,))) & set(corpus.sources)
        if name not in groups and not sources:
            raise ArgumentError(f"unknown source or fold '{name}'; known: {', '.join([*corpus.sources, *groups])}")
        if twice := sources & seen:
            raise ArgumentError(f"source {', '.join(sorted(twice))} is held out by two models")
        seen |= sources
        if not sources:
            continue
        where = [k for k, item in enumerate(corpus.items) if item.source in sources]
        part = corpus.where(lambda item, sources=sources: item.source in sources)  # type: ignore[misc]
        if Path(path).is_dir():
            scored = score_corpus(part, make_methods([Path(path)], baselines=False, precision="f32", threads=threads))
            (rows,) = scored.predictions.values()
        else:
            rows = read_predictions(path, part)
        frame.loc[where] = rows.to_numpy(dtype=np.float64)
    return frame


def read_parts(path: PathLike) -> dict[str, Path]:
    """Read which model or file of predictions judges which held-out source.

    Args:
        path: JSON ``{"<source or fold>": "<path>"}``, where paths are relative to the JSON; or a folder whose model
            folders and files of predictions (``.csv``, ``.npz``) are named after the held-out sources or folds.

    Returns:
        Paths by source or fold.

    Raises:
        FileError: The path is missing or malformed, or contains no part.
    """
    path = Path(path)
    if path.is_dir():
        models = {each.parent.name: each.parent for each in sorted(path.glob("*/config.json"))}
        files = {each.stem: each for each in sorted(path.iterdir()) if each.suffix in (".csv", ".npz")}
        found = models | files
    else:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
        except json.JSONDecodeError as error:
            raise FileError(f"{path}: line {error.lineno}: invalid JSON ({error.msg})") from None
        if not isinstance(content, dict) or not all(isinstance(each, str) for each in content.values()):
            raise FileError(f'{path}: must be {{"<source or fold>": "<model folder or predictions>"}}')
        found = {name: path.parent / each for name, each in content.items()}
    if not found:
        raise FileError(f"{path}: contains no model folder and no predictions")
    return found


def read_predictions(path: PathLike, corpus: Corpus) -> pd.DataFrame:
    """Read predictions of the images of a corpus.

    Args:
        path: CSV, or npz with one array per column: ``source``, ``key``, ``score``, ``p_structured`` ...
            ``p_negative``, and optionally ``structure`` and ``threshold``. Further images and columns are ignored.
        corpus: The images.

    Returns:
        Frame (n) with :data:`PREDICTION_COLUMNS`, in the order of the corpus.

    Raises:
        FileError: The file is missing or malformed, lacks an image, or has a value that is not finite.
    """
    path = Path(path)
    frame = _table(path)
    missing = [name for name in ("source", "key", *_REQUIRED) if name not in frame.columns]
    if missing:
        raise FileError(f"{path}: column '{missing[0]}' is missing")
    frame = frame.set_index([frame["source"].astype(str), frame["key"].astype(str)])
    if frame.index.has_duplicates:
        raise FileError(f"{path}: {' '.join(frame.index[frame.index.duplicated()][0])} is listed twice")
    wanted = pd.MultiIndex.from_tuples([(item.source, item.key) for item in corpus.items])
    absent = [name for name in wanted if name not in frame.index]
    if absent:
        raise FileError(f"{path}: lacks {len(absent)} images, such as {' '.join(absent[0])}")
    try:
        rows = frame.loc[wanted].reindex(columns=list(PREDICTION_COLUMNS)).astype(np.float64)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None
    if not np.isfinite(rows[list(_REQUIRED)].to_numpy()).all():
        raise FileError(f"{path}: scores and probabilities must be finite")
    return rows.reset_index(drop=True)


def write_predictions(path: PathLike, scores: CorpusScores, model: str) -> None:
    """Write the predictions of a model, with labels, grades and statistics, as a CSV for :func:`read_predictions`.

    Images that the model did not score are left out.

    Args:
        path: Path of the CSV.
        scores: The corpus and its scores.
        model: Name of the model.

    Raises:
        ArgumentError: There is no such model.
    """
    if model not in scores.predictions:
        raise ArgumentError(f"no predictions of '{model}'; there are those of {', '.join(scores.predictions)}")
    corpus = scores.corpus
    labels, grades = corpus.labels, corpus.grades
    facts: dict[str, npt.ArrayLike | Sequence[str]] = {
        "source": [item.source for item in corpus.items],
        "key": [item.key for item in corpus.items],
        "specimen": [item.specimen for item in corpus.items],
        "label_a": [CLASSES[k] for k in labels[0]],
        "label_b": [CLASSES[k] for k in labels[-1]],
        "grade_a": grades[0],
        "grade_b": grades[1],
        "grade": corpus.structure,
    }
    statistics = [name for name in STATISTICS if name in scores.scores.columns]
    frame = pd.concat([pd.DataFrame(facts), scores.predictions[model], scores.scores[statistics]], axis=1)
    with atomic_path(Path(path)) as temporary:
        frame[frame["score"].notna()].to_csv(temporary, index=False, quoting=csv.QUOTE_MINIMAL)


def _table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.casefold() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return pd.DataFrame({name: arrays[name] for name in arrays.files})
        return pd.read_csv(path, dtype={"source": str, "key": str})
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not a table of predictions: {error}") from None


def _equal_frames(corpus: Corpus) -> list[list[int]]:
    """Positions of images of equal size and sample map, in parts of limited memory."""
    groups: dict[tuple[tuple[int, int], bytes | None], list[int]] = {}
    for k in range(len(corpus)):
        sample = corpus[k]
        shown = None if sample.sample is None else sample.sample.tobytes()
        groups.setdefault(((sample.image.shape[0], sample.image.shape[1]), shown), []).append(k)
    parts = []
    for (shape, _), where in groups.items():
        step = max(1, _PART_PIXELS // (shape[0] * shape[1]))
        parts += [where[first : first + step] for first in range(0, len(where), step)]
    return parts
