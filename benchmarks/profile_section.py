"""A profile section of published size (85,000 bins x 4,500 pixels): time by stage, all bins and the reduced axis."""

from __future__ import annotations

import ionmorphnet as imn
from benchmarks.common import Context, Row

SHAPE = (75, 60)
BINS = 85_000


def run(context: Context) -> list[Row]:
    path = context.simulated(
        "profile", shape=SHAPE, n_channels=400, mode="continuous", spectrum_type="profile", n_bins=BINS, seed=3
    )
    found = []
    for kind, scorers in (("peaks", ("moran", "openvino")), ("bins", ("moran",))):
        for scorer in scorers:
            peaks = imn.pick(path, axis=kind, scorer=scorer, top=100)
            n = len(peaks.all_scores)
            times = peaks.run.timings
            case = f"{SHAPE[0]} x {SHAPE[1]} pixels, axis {kind}: {n} channels, {scorer}"
            for stage in ("open", "axis", "score", "total"):
                note = f"{n / times[stage]:.0f} images/s" if stage == "score" else ""
                found.append(Row(case, stage, times[stage], None, note))
            found.append(Row(case, "of which binning (overlapped)", peaks.run.scoring_loop["bin_s"], None))
    return found
