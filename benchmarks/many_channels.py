"""Picks from a section with very many bins, nearly all of them noise, with and without the cascade, side by side.

At ``--scale 1``: 85,000 bins of 4,500 pixels, a file of 1.5 GB. 3 % of the bins show structure.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

import ionmorphnet as imn
from benchmarks.common import Context, Row
from ionmorphnet import _core
from ionmorphnet.models.cascade import Cascade

HEIGHT, WIDTH, BINS = 60, 75, 85_000
STRUCTURED_SHARE = 0.03
# For models that carry no cascade of their own.
LIMITS = Cascade(moran_z=4.0, blur=0.04, ceiling=0.02)
STAGES = ("open", "axis", "score", "total")
LOOP = ("bin_s", "wait_for_images_s", "preprocess_s", "statistics_s", "cascade_s", "score_s")


def run(context: Context) -> list[Row]:
    n = max(100, round(BINS * context.scale))
    path = context.work / f"many_{n}.imzML"
    if not path.is_file():
        write_section(path, n)
    runs = {}
    for folder in context.models or (imn.DEFAULT_MODEL,):
        model = imn.load_model(_with_cascade(folder, context.work))
        for precision in ["f32", "bf16"] if _core.cpu_has_bf16() else ["f32"]:
            scorer = imn.make_scorer(model=model, precision=precision, device="cpu")
            runs |= {(model.name, precision, cascade): scorer for cascade in (True, False)}
    found: dict[tuple[str, str, bool], list[dict[str, float]]] = {key: [] for key in runs}
    for _ in range(max(1, context.repeat // 2)):
        for key, scorer in runs.items():
            found[key].append(_pick(path, scorer, key[2]))
    rows = []
    for (name, precision, cascade), results in found.items():
        case = f"{n} bins, {HEIGHT} x {WIDTH}"
        tool = f"{name}, {precision}, {'cascade' if cascade else 'every image'}"
        middle = {key: statistics.median(each[key] for each in results) for key in results[0]}
        stages = ", ".join(f"{stage} {middle[stage]:.2f}" for stage in (*STAGES, *LOOP) if stage in middle)
        note = f"{n / middle['score']:.0f} images/s scored, {middle['spared'] / n:.0%} spared; s: {stages}"
        against = statistics.median(each["total"] for each in found[name, precision, True])
        rows.append(Row(case, tool, middle["total"], middle["total"] / against, note, middle))
    return rows


def _pick(path: Path, scorer: imn.Scorer, cascade: bool) -> dict[str, float]:
    processor = time.process_time()
    peaks = imn.pick(path, axis="bins", scorer=scorer, cascade=cascade)
    assert peaks.run is not None
    found = {name: float(peaks.run.timings[name]) for name in STAGES}
    found |= {name: float(peaks.run.scoring_loop[name]) for name in LOOP if name in peaks.run.scoring_loop}
    return found | {"spared": float(peaks.run.counts.spared), "cpu_s": time.process_time() - processor}


def _with_cascade(folder: str, work: Path) -> Path:
    """The model folder, or a copy with a cascade if it has none."""
    model = imn.load_model(folder)
    if model.cascade is not None:
        return model.folder
    copy = work / f"{model.name}-cascade"
    shutil.copytree(model.folder, copy, dirs_exist_ok=True)
    (copy / "config.json").write_text(json.dumps({**model.config, "cascade": LIMITS.to_dict()}))
    return copy


def write_section(path: Path, n: int, seed: int = 17) -> None:
    """Writes a continuous section of ``n`` bins; noise of each bin is full or sparse, as in measured sections."""
    rng = np.random.default_rng(seed)
    mz = np.linspace(200.0, 1200.0, n)
    structured = rng.random(n) < STRUCTURED_SHARE
    shapes = np.stack([_shape(rng) for _ in range(40)]).reshape(40, -1)
    shown = rng.integers(0, len(shapes), int(structured.sum()))
    density = np.where(rng.random(n) < 0.5, 1.0, rng.uniform(0.02, 0.6, n))
    with imn.ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for pixel in range(HEIGHT * WIDTH):
            values = rng.exponential(size=n).astype(np.float32)
            values[rng.random(n) > density] = 0.0
            values[structured] *= 0.2 + 3.0 * shapes[shown, pixel]
            writer.add(pixel % WIDTH + 1, pixel // WIDTH + 1, mz, values)


def _shape(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A smooth random shape, 0 to 1."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    cy, cx, ry, rx = rng.uniform(0.2, 1.0), rng.uniform(0.2, 1.0), *rng.uniform(0.1, 0.5, 2)
    blob: npt.NDArray[np.float32] = np.exp(-(((y - cy) / ry) ** 2) - ((x - cx) / rx) ** 2).astype(np.float32)
    return blob
