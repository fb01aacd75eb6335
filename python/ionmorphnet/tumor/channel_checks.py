"""Checks of channels against a file: which it reaches, which are silent or constant, and whether norms compare."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset

logger = logging.getLogger("ionmorphnet")

Span = tuple[float, float]
Bools = npt.NDArray[np.bool_]

# Files end at their last peak, not where the instrument stopped: this share of a span may lack values.
_UNCOVERED = 0.01


def unreached(axis: CandidateAxis, span: Span) -> Bools:
    """Channels that lie entirely outside an m/z range, bool (C,)."""
    found: Bools = (axis.mz_hi < span[0]) | (axis.mz_lo > span[1])
    return found


def describe_unreached(axis: CandidateAxis, missing: Bools, span: Span) -> str:
    """Describes for errors which channels a file with this m/z range does not reach."""
    listed = ", ".join(f"{mz:.4f}" for mz in axis.mz[missing][:5]) + (", ..." if missing.sum() > 5 else "")
    return (
        f"spans m/z {span[0]:.4f} to {span[1]:.4f} and does not reach {missing.sum()} of the {len(axis)} channels "
        f"({listed})"
    )


def shared_span(spans: Sequence[Span], names: Sequence[str]) -> Span:
    """The m/z range (low, high) that all sections span.

    Raises:
        ArgumentError: The sections have no m/z range in common.
    """
    low, high = np.array(spans).T
    first, last = int(low.argmax()), int(high.argmin())
    if low[first] > high[last]:
        raise ArgumentError(
            f"sections '{names[first]}' (m/z {low[first]:.4f} to {high[first]:.4f}) and '{names[last]}' "
            f"({low[last]:.4f} to {high[last]:.4f}) share no m/z range"
        )
    return float(low[first]), float(high[last])


def covers(span: Span, wanted: Span) -> bool:
    """Whether a file with m/z range ``span`` covers at least 99% of ``wanted``, so that its norm is comparable."""
    lacking = max(0.0, span[0] - wanted[0]) + max(0.0, wanted[1] - span[1])
    return lacking <= _UNCOVERED * (wanted[1] - wanted[0])


def silent(values: npt.NDArray[np.float32]) -> Bools:
    """Channels without signal in any pixel, bool (C,)."""
    signal = np.zeros(values.shape[2], bool)
    for row in values:
        signal |= (row > 0).any(axis=0)
        if signal.all():
            break
    return ~signal


def constant(values: npt.NDArray[np.float32], measured: Bools) -> Bools:
    """Channels with the same value in all measured pixels, bool (C,)."""
    varies = np.zeros(values.shape[2], bool)
    first = None
    for row, there in zip(values, measured, strict=True):
        if not there.any():
            continue
        first = row[there][0] if first is None else first
        varies |= (row[there] != first).any(axis=0)
        if varies.all():
            break
    return ~varies


def log_new_warnings(ds: Dataset, before: int) -> None:
    """Logs the warnings that reading spectra added to a dataset's first ``before`` warnings."""
    for line in ds.warnings[before:]:
        logger.warning("%s: %s", ds.path, line)
