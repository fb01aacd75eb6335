"""Importance of channels for a model, by permutation or integrated gradients over labelled pixels of a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.models.model import softmax
from ionmorphnet.tumor.cohort import Cohort
from ionmorphnet.tumor.cubes import Cube, open_cubes
from ionmorphnet.tumor.inference import start_network
from ionmorphnet.tumor.model import TumorModel
from ionmorphnet.tumor.patches import extract, labelled_pixels, thinned

METHODS = ("auto", "permutation", "gradients")
_MOST_PERMUTED = 300
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
    device: DeviceName | Device = "auto",
    memory_limit: int | str = "4GB",
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Ranks the channels of a model by how much its predictions depend on them.

    Permutation (Breiman, 2001, Machine Learning 45, 5-32) gives a patch the channel of another patch, drawn from all
    classes, and measures the drop in the log probability of the patch's true class. The channel keeps its mean, spread
    and texture that way; a channel set to its mean would be smoother than any tissue. Integrated gradients
    (Sundararajan, Taly and Yan, 2017, ICML, 3319-3328) attribute to the channels the difference between a patch and a
    patch of training means in the logit of the true class minus the mean logit.

    Args:
        model: The model.
        cohort: Sections with labels of the model's classes, in any order. Sections the model was not trained on are
            more informative.
        method: ``permutation``, ``gradients`` (needs torch), or ``auto``: permutation for up to 300 channels.
        pixels: Number of labelled pixels, drawn evenly from each class of each section.
        seed: Seed of that draw and of the permutation.
        device: Device for permutation, see :func:`~ionmorphnet.tumor.inference.start_network`. Integrated gradients run
            on the CPU.
        memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``.
        progress: Called as progress(done, total), in channels for permutation and pixels for gradients.

    Returns:
        One row per channel, most important first: rank, mz, mz_lo, mz_hi, importance (mean over the classes), one
        column ``for_<class>`` per class (mean over pixels of that class), method.

    Raises:
        ArgumentError: The method is unknown, the cohort has a class that the model lacks, or a section does not reach
            all channels.
        FileError: A section cannot be read.
        UnavailableError: torch is not installed, or the device is not available.
    """
    if method not in METHODS:
        raise ArgumentError(f"method must be one of {', '.join(METHODS)}, not '{method}'")
    if not set(cohort.classes) <= set(model.classes):
        raise ArgumentError(
            f"the cohort has classes {', '.join(cohort.classes)}, but the model only {', '.join(model.classes)}"
        )
    cohort = replace(cohort, classes=model.classes)  # labels are positions in the model's order
    if method == "auto":
        method = "permutation" if len(model.axis) <= _MOST_PERMUTED else "gradients"
    with open_cubes(
        cohort,
        model.axis,
        normalize=model.normalize,
        standardize=model.standardize,
        span=model.span,
        memory_limit=memory_limit,
    ) as cubes:
        patches, mask, label = _chosen(model, cubes, pixels, seed)
    if method == "permutation":
        found = _permutation(model, patches, mask, label, seed, device, progress)
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


def _permutation(
    model: TumorModel,
    patches: Float32,
    mask: npt.NDArray[np.uint8],
    label: npt.NDArray[np.int64],
    seed: int,
    device: DeviceName | Device,
    progress: Callable[[int, int], None] | None,
) -> Float64:
    """Drop in the log probability of the true class, (n, channels)."""
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
    rng = np.random.default_rng([seed, 79])
    for channel in range(patches.shape[1]):
        kept = patches[:, channel].copy()
        # What the other patch did not measure is 0, the mean.
        patches[:, channel] = kept[rng.permutation(len(patches))] * mask
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
    """Integrated gradients of the true class' logit minus the mean logit, summed over space, (n, channels)."""
    try:
        import torch

        from ionmorphnet.tumor.torch_inference import load_network
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
            # The midpoint of each interval makes the error second order in the number of steps.
            at = (given * ((step + 0.5) / _PATH_STEPS)).requires_grad_(True)
            logits = network(at, measured)
            wanted = (logits.gather(1, truth)[:, 0] - logits.mean(dim=1)).sum()
            total += torch.autograd.grad(wanted, at)[0]
        found[part] = (total / _PATH_STEPS * given).sum(dim=(2, 3)).numpy()
        if progress is not None:
            progress(min(first + _BATCH, len(patches)), len(patches))
    return found
