"""Whole picks by stage, and their share of the throughput of bare OpenVINO."""

from __future__ import annotations

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved
from benchmarks.scoring import _BareOpenVino
from ionmorphnet import _core


def run(context: Context) -> list[Row]:
    found = []
    sections = dict(context.sections())
    sections["simulated 100 x 100, 2,000 channels (processed)"] = context.simulated(
        "end_to_end", shape=(100, 100), n_channels=2000, mode="processed", seed=7
    )
    for name, path in sections.items():
        for _ in range(2):  # the first one warms the page cache
            peaks = imn.pick(path, top=20)
        times = peaks.run.timings
        n = len(peaks.all_scores)
        for stage in ("load_model", "open", "axis", "score", "total"):
            note = f"{n / times[stage]:.0f} images/s" if stage in ("score", "total") else ""
            found.append(Row(f"{name}, {n} channels", stage, times[stage], None, note))
    path = sections["simulated 100 x 100, 2,000 channels (processed)"]
    found += _against_bare(path, context)
    return found


def _against_bare(path, context: Context) -> list[Row]:
    """Compares pick's loop (read, bin, preprocess, score) with the bare network on as many ready inputs."""
    found = []
    with imn.open(path) as ds:
        axis = imn.candidate_axis(ds)
        rng = np.random.default_rng(0)
        inputs = rng.random((len(axis), *imn.load_model().input_shape), np.float32)
        for precision in ["f32", "bf16"] if _core.cpu_has_bf16() else ["f32"]:
            scorer = imn.make_scorer(precision=precision)
            bare = _BareOpenVino(str(scorer.model.onnx_path), precision, scorer.network.info["batch"])
            seconds = interleaved(
                {
                    "pick": lambda s=scorer: imn.pick(ds, axis=axis, scorer=s, top=20),
                    "bare OpenVINO async": lambda b=bare: b.run(inputs),
                },
                max(2, context.repeat // 2),
            )
            done = {"pick": len(axis), "bare OpenVINO async": len(axis) // bare.batch * bare.batch}
            rate = {tool: done[tool] / value for tool, value in seconds.items()}
            case = f"{len(axis)} channels of 100 x 100, {precision}"
            share = rate["pick"] / rate["bare OpenVINO async"]
            found.append(Row(case, "pick", seconds["pick"], 1.0, f"{rate['pick']:.0f} images/s, {share:.2f} of bare"))
            tool = "bare OpenVINO async"
            found.append(Row(case, tool, seconds[tool], seconds[tool] / seconds["pick"], f"{rate[tool]:.0f} images/s"))
    return found
