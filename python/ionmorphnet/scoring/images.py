"""score_images: morphology scores of ion images that are in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.progress import Progress, shown_progress
from ionmorphnet.base.stacks import checked_sample, checked_stack
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.kept import kept_scorer
from ionmorphnet.scoring.minimum import needs_pixels, too_few
from ionmorphnet.scoring.scorer import Precision, ScoreOptions, Scorer, ScorerCallable, ScorerName


def score_images(
    images: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    sample: npt.ArrayLike | None = None,
    model: str | Path | Model | None = None,
    scorer: ScorerName | ScorerCallable | Scorer = "auto",
    device: DeviceName | Device = "auto",
    precision: Precision = "auto",
    cascade: bool = True,
    threads: int = 0,
    progress: Progress | bool | None = None,
) -> pd.DataFrame:
    """Scores ion images by their spatial morphology.

    The compiled network is kept for the next call with the same arguments, see :func:`ionmorphnet.clear_scorers`.

    Args:
        images: (n, H, W), or one image (H, W); axes [image, y, x]; any real dtype. NaN (and what a numpy
            masked array hides) = not measured; infinite values count as the largest finite ones.
        mask: (H, W), non-zero = measured (NaN is not), for all images; None: every pixel that is not NaN is measured.
        sample: (H, W), probability from 0 to 1 that a pixel is sample, for all images (NaN = not measured); None:
            unknown. Only models with a sample channel use it: their preprocessing id ends in ``-sample``.
        model: Bundled name, model folder or loaded Model; None: the default model.
        scorer: ``"auto"``, ``"openvino"``, ``"tensorrt"``, ``"torch"``, a classical one such as ``"moran"``,
            a callable or a Scorer (see :func:`ionmorphnet.make_scorer`).
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"``, ``"f32"``, ``"bf16"``, ``"int8"`` (models with an 8-bit network) or, for TensorRT,
            ``"fp16"``.
        cascade: Whether to spare the network the images that the model's cascade finds to be noise (on the CPU, if
            the model has one).
        threads: CPU threads; 0: all.
        progress: Called as progress(done, total); True: a bar on the terminal or in the notebook.

    Returns:
        A frame with one row per image, in order: score, label, p_structured ... p_negative and, if the model
        estimates it, structure (expected grade, 0 to 3). A classical score leaves label and p_* empty. Blank images
        (no pixel measured, or constant once clipped) are ``unstructured`` with probability 1, score and structure 0.
        With a cascade, the column spared says which images the network did not see: they are ``unstructured`` with a
        score below every threshold of the model.

    Raises:
        ArgumentError: Wrong shapes or names, or a network is to score images of fewer than 36 measured pixels, or of
            scattered ones.
        FileError: The model cannot be used.
        UnavailableError: The scorer or device is not available.
    """
    stack, measured = checked_stack(images, mask)
    known = checked_sample(sample, stack.shape[1:])
    threads = thread_count(threads)
    with (
        kept_scorer(model=model, scorer=scorer, device=device, precision=precision, threads=threads) as ready,
        shown_progress(progress, "scoring", "images") as shown,
    ):
        if len(stack) and needs_pixels(ready):
            there = _measured(stack, measured)
            if there.any() and (fault := too_few(there)):  # images without any pixel are blank
                raise ArgumentError(f"images: {fault}")
        options = ScoreOptions(threads=threads, progress=shown, sample=known, cascade=cascade)
        return ready.score_stack(stack, measured, options).frame


def _measured(stack: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.bool_]:
    """Pixels that are measured in any of the images, bool (H, W); the first ones tell for almost every stack."""
    if mask is not None:
        return np.asarray(mask != 0, dtype=np.bool_)
    first = np.asarray(~np.isnan(stack[:8]).all(axis=0), dtype=np.bool_)
    return np.asarray(~np.isnan(stack).all(axis=0), dtype=np.bool_) if too_few(first) else first
