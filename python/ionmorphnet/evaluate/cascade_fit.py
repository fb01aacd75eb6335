"""Limits of a cascade from graded images, with the evidence that no structured image is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.json_output import write_json
from ionmorphnet.base.stacks import checked_stack
from ionmorphnet.labelled.corpus import Corpus
from ionmorphnet.models.cascade import Cascade
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.reference.cascade import LEAST_PIXELS
from ionmorphnet.scoring.images import score_images
from ionmorphnet.simulation.ion_image import draw_shape, simulate_ion_image

# Grade from which an image must reach the network.
STRUCTURED = 1.5
# Largest limits. Of images of independent pixels, one in 30,000 exceeds the first; the second is twice their blur.
MOST_MORAN_Z, MOST_BLUR = 4.0, 0.04
# The structured image that is nearest to noise must be at least this many times beyond the limits.
MARGIN = 1.5
SIMULATION_SEED = 51_004_017

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class GradedImages:
    """Graded images and their statistics.

    Attributes:
        images: float32 (H, W) each; NaN = not measured.
        source: (n,), name of the source of each image.
        grade: (n,), 0 to 3.
        moran_z: (n,), Moran's I in units of its standard deviation among independent pixels; infinite for images of
            too few pixels, which no cascade spares.
        blur: (n,), blur variance.
    """

    images: tuple[npt.NDArray[np.float32], ...]
    source: npt.NDArray[np.str_]
    grade: Float64
    moran_z: Float64
    blur: Float64

    @property
    def structured(self) -> npt.NDArray[np.bool_]:
        """Images that must reach the network."""
        return self.grade >= STRUCTURED

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Images without any variance, which a cascade leaves alone."""
        constant: npt.NDArray[np.bool_] = self.blur == 0.0
        return constant

    def reach(self, moran_z: float = MOST_MORAN_Z, blur: float = MOST_BLUR) -> Float64:
        """The larger of the two statistics divided by their limits, (n,); an image is spared up to 1."""
        reach = np.maximum(self.moran_z / moran_z, self.blur / blur)
        reach[self.constant] = np.inf
        return reach

    def __getitem__(self, chosen: npt.NDArray[np.bool_]) -> GradedImages:
        images = tuple(image for image, kept in zip(self.images, chosen, strict=True) if kept)
        return GradedImages(images, self.source[chosen], self.grade[chosen], self.moran_z[chosen], self.blur[chosen])

    def __add__(self, other: GradedImages) -> GradedImages:
        return GradedImages(
            self.images + other.images,
            np.concatenate([self.source, other.source]),
            np.concatenate([self.grade, other.grade]),
            np.concatenate([self.moran_z, other.moran_z]),
            np.concatenate([self.blur, other.blur]),
        )

    def __len__(self) -> int:
        return len(self.images)


def graded_images(images: Iterable[tuple[str, npt.NDArray[np.float32], float]]) -> GradedImages:
    """Computes the statistics of images, given as source, image (H, W) and grade; NaN grades are left out."""
    kept, source, grade, moran_z, blur = [], [], [], [], []
    for name, image, each in images:
        if np.isnan(each):
            continue
        stack, measured = checked_stack(image[None], None)
        values = _core.image_statistics(stack, measured, threads=1)[0]
        n_measured = np.isfinite(image).sum() if measured is None else int((measured != 0).sum())
        kept.append(image)
        source.append(name)
        grade.append(each)
        z = values[STATISTICS.index("moran")] * np.sqrt(2.0 * n_measured)
        moran_z.append(z if n_measured >= LEAST_PIXELS else np.inf)
        blur.append(values[STATISTICS.index("blur")])
    arrays = (np.asarray(each, np.float64) for each in (grade, moran_z, blur))
    return GradedImages(tuple(kept), np.asarray(source, dtype=np.str_), *arrays)


def of_corpus(corpus: Corpus) -> GradedImages:
    """The graded images of a corpus."""
    samples = ((item.source, corpus[k].image, item.structure) for k, item in enumerate(corpus.items))
    return graded_images((source, np.asarray(image, np.float32), grade) for source, image, grade in samples)


def of_simulation(n: int, *, seed: int = SIMULATION_SEED) -> GradedImages:
    """Simulated images with their true grade; image i depends only on the seed and i."""

    def images() -> Iterable[tuple[str, npt.NDArray[np.float32], float]]:
        for index in range(n):
            rng = np.random.default_rng([seed, index])
            simulated = simulate_ion_image(rng, shape=draw_shape(rng, (20, 260)))
            yield "simulated", simulated.image, float(simulated.structure)

    return graded_images(images())


def fit_limits(graded: GradedImages) -> tuple[float, float]:
    """The largest limits that leave the margin to every structured image.

    Returns:
        Limits of Moran's z and of the blur variance, in the fixed ratio of the largest limits.

    Raises:
        ArgumentError: There is no structured image.
    """
    if not graded.structured.any():
        raise ArgumentError(f"a cascade needs images of grade {STRUCTURED:g} or more to keep clear of")
    scale = min(1.0, float(graded.reach()[graded.structured].min()) / MARGIN)
    return MOST_MORAN_Z * scale, MOST_BLUR * scale


def lost_by_source(graded: GradedImages) -> dict[str, int]:
    """Structured images of each source that limits fitted without that source would spare the network."""
    lost = {}
    for name in np.unique(graded.source):
        inside = graded.source == name
        limits = fit_limits(graded[~inside])
        lost[str(name)] = int((graded.structured[inside] & (graded[inside].reach(*limits) <= 1.0)).sum())
    return lost


@dataclass(frozen=True)
class FittedCascade:
    """A cascade and the images it was fitted on.

    Attributes:
        cascade: Limits and ceiling.
        evidence: What config.json records about it.
    """

    cascade: Cascade
    evidence: dict[str, object]


def fit_cascade(model: Model, corpus: GradedImages, simulated: GradedImages, *, threads: int = 0) -> FittedCascade:
    """Fits the limits on a corpus of real images and on simulated ones, and the ceiling by the network's own scores.

    Args:
        model: The model whose network is spared.
        corpus: Real images of at least two sources.
        simulated: Simulated images.
        threads: CPU threads for the network; 0: all.

    Raises:
        ArgumentError: The limits lose a structured image of a source that they were not fitted on, the network would
            pick an image that they spare, or they spare no image at all.
    """
    together = corpus + simulated
    limits = fit_limits(together)
    lost = lost_by_source(corpus)
    if any(lost.values()):
        names = ", ".join(f"{name} ({count})" for name, count in lost.items() if count)
        raise ArgumentError(f"limits fitted without a source lose structured images of it: {names}")
    spared = together.reach(*limits) <= 1.0
    scores = _network_scores(model, together[spared].images, threads)
    if not len(scores):
        raise ArgumentError("the limits spare none of the images, so a cascade would save nothing")
    if scores.max() >= model.threshold:
        raise ArgumentError(
            f"the network scores an image that the limits spare {scores.max():.3f}, at or above its threshold "
            f"{model.threshold:g}"
        )
    ceiling = float(min(np.median(scores), model.threshold / 4.0))
    evidence: dict[str, object] = {
        "grade": STRUCTURED,
        "lost": int((together.structured & spared).sum()),
        "lost_leaving_one_source_out": sum(lost.values()),
        "sources": len(lost),
    }
    for name, images in (("real", corpus), ("simulated", simulated)):
        unstructured = ~images.structured
        evidence[name] = {
            "structured_images": int(images.structured.sum()),
            "nearest_structured_reach": float(images.reach(*limits)[images.structured].min(initial=np.inf)),
            "other_images": int(unstructured.sum()),
            "spared": int((images.reach(*limits)[unstructured] <= 1.0).sum()),
        }
    evidence["highest_network_score_of_spared"] = float(scores.max())
    return FittedCascade(Cascade(*(float(f"{value:.4g}") for value in (*limits, ceiling))), evidence)


def _network_scores(model: Model, images: Iterable[npt.NDArray[np.float32]], threads: int) -> Float64:
    """Scores of the model's network, which sees every image."""
    frames = [score_images(image, model=model, cascade=False, device="cpu", threads=threads) for image in images]
    return np.array([frame["score"].iloc[0] for frame in frames], dtype=np.float64)


def write_cascade(folder: Path, fitted: FittedCascade) -> Model:
    """Writes the cascade into the folder's config.json, in place of an earlier one; returns the model as it is now.

    Raises:
        FileError: The folder is not a model folder, or cannot be written.
    """
    load_model(folder)
    path = folder / "config.json"
    config = dict(read_json(path))
    config["cascade"] = {**fitted.cascade.to_dict(), "evidence": fitted.evidence}
    write_json(path, config)
    return load_model(folder)
