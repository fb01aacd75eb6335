"""ImageScorer: the base of scores that are a function of the ion image, written in numpy."""

from __future__ import annotations

import abc
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.progress import Progress
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.reference.preprocess import measured_pixels, stretched
from ionmorphnet.scoring.columns import plain_columns
from ionmorphnet.scoring.scorer import DEFAULT_OPTIONS, Float32, ScoreOptions, Scorer, Scores

# Images that are scored at once are at most this large in all, and at most an eighth of the memory limit.
_PART_BYTES = 64 << 20


class ImageScorer(Scorer):
    """A scorer that needs one method, :meth:`score`; it runs on the CPU.

    Images come in parts of bounded size. Blank images (not measured, or constant once clipped) score 0 and are not
    passed on::

        class Contrast(imn.ImageScorer):
            name = "contrast"
            description = "standard deviation of the clipped image"

            def score(self, images):
                return np.nanstd(images, axis=(1, 2))

        imn.pick("section.imzML", scorer=Contrast(), top=100)

    Attributes:
        raw: Whether :meth:`score` gets the intensities as they are. By default it gets what the network and the
            classical statistics see: ``clip(intensity / max(q, 1e-6), 0, 1)`` with q the 0.99 quantile of the image's
            measured pixels, so that hot pixels do not dominate.
    """

    raw: bool = False

    @abc.abstractmethod
    def score(self, images: Float32) -> npt.NDArray[np.floating]:
        """Scores some ion images; higher means more structure.

        Args:
            images: float32 (n, H, W), axes [image, y, x]; NaN = not measured. No image is blank. Values lie between 0
                and 1 unless ``raw`` is set; raw intensities may be negative or infinite.

        Returns:
            (n,) finite scores.
        """

    def score_windows(self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions = DEFAULT_OPTIONS) -> Scores:
        """See :meth:`Scorer.score_windows`."""
        height, width = dataset.shape
        step = max(1, min(_PART_BYTES, options.memory_limit // 8) // (4 * height * width))

        def parts() -> Iterator[Float32]:
            for first in range(0, len(axis), step):
                part = slice(first, first + step)
                yield dataset.window_images(axis.mz_lo[part], axis.mz_hi[part], threads=options.threads)

        return self._collect(parts(), len(axis), options.progress)

    def score_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None = None, options: ScoreOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """See :meth:`Scorer.score_stack`."""
        step = max(1, _PART_BYTES // max(1, images[:1].nbytes))

        def parts() -> Iterator[Float32]:
            for first in range(0, len(images), step):
                part = images[first : first + step]
                yield part if mask is None else np.where(mask != 0, part, np.float32(np.nan))

        return self._collect(parts(), len(images), options.progress)

    def _collect(self, parts: Iterator[Float32], n: int, progress: Progress | None) -> Scores:
        scores, blank = np.zeros(n), np.ones(n, dtype=np.bool_)
        done = 0
        for images in parts:
            clipped = _clipped(images)
            low, high = (find(clipped, axis=(1, 2), initial=value) for find, value in ((np.nanmin, 2), (np.nanmax, -1)))
            shown = high > low
            where = done + np.flatnonzero(shown)
            blank[where] = False
            if len(where):
                values = np.asarray(self.score((images if self.raw else clipped)[shown]))
                if values.shape != where.shape:
                    raise ArgumentError(
                        f"scorer '{self.name}': score() must return shape {where.shape}, not {values.shape}"
                    )
                scores[where] = values
            done += len(images)
            if progress is not None:
                progress(done, n)
        return Scores(plain_columns(self.name, scores), blank)


def _clipped(images: Float32) -> Float32:
    """What the classical statistics see: each image divided by its 0.99 quantile and clipped; NaN = not measured."""
    clipped = np.full(images.shape, np.nan, np.float32)
    for image, out in zip(images, clipped, strict=True):
        measured = measured_pixels(image)
        if measured.any():
            out[measured] = stretched(image, measured, image[measured])[measured]
    return clipped
