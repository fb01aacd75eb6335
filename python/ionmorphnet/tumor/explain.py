"""Which channels a model relies on: occlusion, or integrated gradients, over labelled pixels of a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.models.model import softmax
from ionmorphnet.tumor.cohort import Cohort
from ionmorphnet.tumor.cubes import Cube, open_cubes
from ionmorphnet.tumor.model import TumorModel
from ionmorphnet.tumor.patches import extract, labelled_pixels, thinned
from ionmorphnet.tumor.running import start_network

METHODS = ("auto", "occlusion", "gradients")
_MOST_OCCLUDED = 300
_PATH_STEPS = 32
_BATCH = 256

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]


def explain(
    model: TumorModel,
    cohort: Cohort,
    *,
    method: str = "auto",
    pixels: int = 512,
    seed: int = 0,
    device: str = "auto",
    memory_limit: int | str = "4GB",
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Rank the channels of a model by what it loses without them.

    Occlusion sets a channel of a patch to its training mean and takes the fall of the log probability of the patch's
    true class. Integrated gradients (Sundararajan, Taly and Yan, 2017, ICML, 3319-3328) share out among
    the channels by how much the logit of the true class, less the mean of all, differs from that of a patch of means.

    Args:
        model: The model.
        cohort: Sections with labels of the model's classes, in any order; those it was not trained on tell more.
        method: ``occlusion``, ``gradients`` (needs torch), or ``auto``: occlusion up to 300 channels.
        pixels: Labelled pixels to look at, evenly from each class of each section.
        seed: Seed of their choice.
        device: See :meth:`~ionmorphnet.tumor.model.TumorModel.forward`.
        memory_limit: Anonymous memory to plan with.
        progress: Called with (channels or batches done, in all).

    Returns:
        One row a channel, most important first: rank, mz, mz_lo, mz_hi, importance (mean over the classes), one column
        ``for_<class>`` each (over pixels of that class), method.

    Raises:
        ArgumentError: An unknown method, the cohort has a class that the model lacks, or a section does not reach all
            channels.
        FileError: A section cannot be read.
        UnavailableError: torch is not installed.
    """
    if method not in METHODS:
        raise ArgumentError(f"method must be one of {', '.join(METHODS)}, not '{method}'")
    if not set(cohort.classes) <= set(model.classes):
        raise ArgumentError(f"the cohort has classes {', '.join(cohort.classes)}, the model {', '.join(model.classes)}")
    cohort = replace(cohort, classes=model.classes)  # labels are positions, the model's order counts
    if method == "auto":
        method = "occlusion" if len(model.axis) <= _MOST_OCCLUDED else "gradients"
    with open_cubes(
        cohort, model.axis, normalisation=model.normalisation, span=model.span, memory_limit=memory_limit
    ) as cubes:
        patches, mask, label = _chosen(model, cubes, pixels, seed)
    if method == "occlusion":
        found = _occlusion(model, patches, mask, label, device, progress)
    else:
        found = _gradients(model, patches, mask, label, progress)
    columns = {
        f"for_{name}": found[label == k].mean(axis=0) if (label == k).any() else np.full(len(model.axis), np.nan)
        for k, name in enumerate(model.classes)
    }
    table = pd.DataFrame({"mz": model.axis.mz, "mz_lo": model.axis.mz_lo, "mz_hi": model.axis.mz_hi})
    table["importance"] = np.nanmean(np.stack(list(columns.values())), axis=0)
    table = table.assign(**columns).sort_values("importance", ascending=False, kind="stable").reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    table["method"] = method
    return table


def _chosen(
    model: TumorModel, cubes: Sequence[Cube], pixels: int, seed: int
) -> tuple[Float32, npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    chosen = thinned(labelled_pixels(cubes, range(len(cubes))), pixels, seed)
    patches, mask = extract(cubes, chosen, model.size, model.scaling)
    return patches, mask, chosen.label


def _occlusion(
    model: TumorModel,
    patches: Float32,
    mask: npt.NDArray[np.uint8],
    label: npt.NDArray[np.int64],
    device: str,
    progress: Callable[[int, int], None] | None,
) -> Float64:
    """Fall of the log probability of the true class, (n, channels)."""
    forward = start_network(model, device)

    def log_probability(given: Float32) -> Float64:
        parts = [
            softmax(forward(given[first : first + _BATCH], mask[first : first + _BATCH]))
            for first in range(0, len(given), _BATCH)
        ]
        whole = np.concatenate(parts)
        result: Float64 = np.log(np.maximum(whole[np.arange(len(label)), label], 1e-12))
        return result

    complete = log_probability(patches)
    fall = np.empty((len(patches), patches.shape[1]))
    for channel in range(patches.shape[1]):
        kept = patches[:, channel].copy()
        patches[:, channel] = 0.0
        fall[:, channel] = complete - log_probability(patches)
        patches[:, channel] = kept
        if progress is not None:
            progress(channel + 1, patches.shape[1])
    return fall


def _gradients(
    model: TumorModel,
    patches: Float32,
    mask: npt.NDArray[np.uint8],
    label: npt.NDArray[np.int64],
    progress: Callable[[int, int], None] | None,
) -> Float64:
    """Integrated gradients of the true class' logit less the mean of all, summed over space, (n, channels)."""
    try:
        import torch

        from ionmorphnet.tumor.exporting import load_network
    except ImportError:
        raise UnavailableError("integrated gradients need torch: pip install 'ionmorphnet[tumor]'") from None
    network = load_network(model)
    found = np.empty((len(patches), patches.shape[1]))
    for first in range(0, len(patches), _BATCH):
        part = slice(first, first + _BATCH)
        given, measured = torch.from_numpy(patches[part]), torch.from_numpy(mask[part]).float()
        truth = torch.from_numpy(label[part])[:, None]
        total = torch.zeros_like(given)
        for step in range(_PATH_STEPS):
            # The middle of each interval: of second order in the number of steps.
            at = (given * ((step + 0.5) / _PATH_STEPS)).requires_grad_(True)
            logits = network(at, measured)
            wanted = (logits.gather(1, truth)[:, 0] - logits.mean(dim=1)).sum()
            total += torch.autograd.grad(wanted, at)[0]
        found[part] = (total / _PATH_STEPS * given).sum(dim=(2, 3)).numpy()
        if progress is not None:
            progress(min(first + _BATCH, len(patches)), len(patches))
    return found
