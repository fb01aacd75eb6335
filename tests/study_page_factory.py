"""Contents of the page of a small study."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from ionmorphnet.report.study_data import DriftLine, StudyChannels, StudyReportData, StudySectionRow
from ionmorphnet.report.tiles import Crop, make_tile

SHAPES = ((20, 30), (25, 18), (12, 12))


def channel_table(n: int) -> pd.DataFrame:
    mz = np.linspace(300, 900, n)
    share = np.linspace(1.0, 0.2, n)
    return pd.DataFrame(
        {
            "channel": np.arange(1, n + 1), "mz": mz, "mz_lo": mz - 0.01, "mz_hi": mz + 0.01,
            "n_present": np.rint(3 * share).astype(int), "share_present": share,
            "n_picked": 1, "share_picked": 1 / 3, "score": np.linspace(0.9, 0.1, n), "score_present": 0.9,
            "spread_ppm": 0.5, "label": ["structured", ""] * (n // 2) + ["negative"] * (n % 2), "votes": 0.75,
        }
    )  # fmt: skip


def make(n_channels: int = 5, **changes: Any) -> StudyReportData:
    """Three sections with results and one that failed."""
    rng = np.random.default_rng(0)
    rows, images = [], []
    for k, shape in enumerate(SHAPES):
        measured = rng.random(shape) > 0.1
        stack = np.where(measured, rng.gamma(2.0, 3.0 * (k + 1), (n_channels, *shape)), np.nan)
        scores = rng.random(50)
        rows.append(
            StudySectionRow(
                name=f"p{k}/data",
                path=f"/data/p{k}/data.imzML",
                status="done",
                columns={"patient": f"p{k}"},
                link=f"sections/p{k}/data/report.html",
                has_report=True,
                picks=int((scores > 0.8).sum()),
                scores=scores,
                picked=scores > 0.8,
                seconds=40.0,
                warnings=("odd steps",) if k == 1 else (),
                drift=DriftLine(mz=(300.0, 900.0), ppm=(k - 1.0, k - 2.0), matched=40, residual_ppm=0.5),
                tic=make_tile(np.nansum(stack, axis=0), Crop.of(measured), 96),
            )
        )
        images.append([make_tile(image, Crop.of(measured), 64, (10.0, 20.0)) for image in stack])
    rows.insert(1, StudySectionRow(name="p9/data", path="/x", status="failed", reason="p9: truncated file"))
    coverage = np.tile(np.array([2, 1, 0, 1, 2], np.uint8)[: n_channels + 1], (4, 1))[:, :n_channels]
    coverage = np.resize(coverage, (4, n_channels)).copy()
    coverage[1] = 0
    channels = StudyChannels(
        table=channel_table(n_channels),
        coverage=coverage,
        covered=np.array([True, False, True, True]),
        pictured=list(range(n_channels)),
        images=[[images[0][c], None, images[1][c], images[2][c]] for c in range(n_channels)],
        intensities="as measured, not normalised",
    )
    data = StudyReportData(
        title="kidney",
        folder="/data/kidney",
        date="2026-01-02T03:04:05+00:00",
        sections=rows,
        channels=channels,
        facts={"picks": {"scorer": "openvino", "top": None}},
    )
    return dataclasses.replace(data, **changes)
