"""Benchmarks of a GPU: copies, kernels, scorers and whole picks; `python -m benchmarks device`.

Kernels are compared with the bytes that they must move. Workload: 50,000 pixels, 5,000 images, 20,000 bins (continuous)
or 3,000 peaks per pixel (processed). IMN_DEVICE_SCALE reduces the number of pixels. If something is missing or would
take too long, a line says so. IMN_DEVICE=emulated runs the kernels' bodies on the host: this checks the benchmark but
measures nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row
from benchmarks.device_data import Workload, reference_files
from benchmarks.device_scorers import scorer_rows, seconds_of_a_batch
from ionmorphnet import _core
from ionmorphnet.models.labels import STATISTICS

# The whole benchmark stays under 8 minutes.
BUDGET_S = float(os.environ.get("IMN_DEVICE_BUDGET_S", "450"))
MASKED = "p99-stretch-224-mask"


def run(context: Context) -> list[Row]:
    device = os.environ.get("IMN_DEVICE", "cuda")
    if device != "emulated":
        try:
            device = str(_core.choose_device(device))
        except imn.UnavailableError as error:
            return [Row("device", "skipped", 0.0, None, str(error))]
    work = Workload(scale=float(os.environ.get("IMN_DEVICE_SCALE", "1")))
    end = time.monotonic() + BUDGET_S
    found: list[Row] = []
    for part in (_copies, _kernels, _picks, _scorers):
        for row in _guarded(part, context, device, work, end, found):
            found.append(row)
            print(f"  {row.case}: {row.tool}: {row.note}", flush=True)
    return found


def _calls(device: str) -> ModuleType:
    """The native module that runs calls on the device."""
    if device != "emulated":
        return _core
    from ionmorphnet import _core_testing

    return _core_testing


def _guarded(part, *arguments) -> Iterator[Row]:
    """If a part fails, only its lines are missing."""
    *_, end, _ = arguments
    name = part.__name__.strip("_")
    if time.monotonic() > end:
        yield Row(name, "skipped", 0.0, None, f"out of time ({BUDGET_S:.0f} s)")
        return
    try:
        yield from part(*arguments)
    except (imn.IonMorphNetError, ImportError, MemoryError, OSError, RuntimeError) as error:
        yield Row(name, "failed", 0.0, None, " ".join(str(error).split())[:200])


def _rate(case: str, tool: str, seconds: float, moved: float, copy: float | None) -> Row:
    """A row in GB/s, with its share of the copy bandwidth."""
    gigabytes = moved / 1e9
    rate = gigabytes / seconds if seconds > 0 else 0.0
    share = "" if not copy else f", {rate / copy:.2f} of copy bandwidth"
    values = {"bytes": moved, "GB/s": rate} | ({"share": rate / copy} if copy else {})
    return Row(case, tool, seconds, None, f"{rate:.3g} GB/s of {gigabytes:.3g} GB{share}", values)


def _copy_bandwidth(found: list[Row]) -> float | None:
    return next((row.values["GB/s"] for row in found if row.tool == "copy on the device"), None)


def _copies(context: Context, device: str, work: Workload, end: float, found: list[Row]) -> Iterator[Row]:
    size = int(work.scaled(2 << 30))
    times = _calls(device).probe_copy(size, device=device, repeat=10)
    yield _rate("copies", "copy on the device", times["copy_s"], 2.0 * size, None)
    size = int(work.scaled(256 << 20))
    times = _calls(device).probe_copy(size, device=device, repeat=10)
    yield _rate("copies", "upload from pinned memory", times["upload_s"], float(size), None)


def _kernels(context: Context, device: str, work: Workload, end: float, found: list[Row]) -> Iterator[Row]:
    copy = _copy_bandwidth(found)
    repeat = 1 if device == "emulated" else 20
    files = reference_files(context.work, work)
    for mode, (path, axis) in files.items():
        with imn.open(path) as ds:
            probe = _calls(device).probe_bin(
                ds._native, axis.mz_lo, axis.mz_hi, device=device, repeat=repeat, keep_images=False
            )
            few = slice(0, 3)
            _check_images(ds, axis.mz_lo[few], axis.mz_hi[few], device)
        moved = work.file_bytes(mode) + 4.0 * work.pixels * len(axis)
        yield _rate(f"binning, {mode}", work.describe(mode), probe["seconds"], moved, copy)
    images = work.images(1000)
    n = len(images)
    base: dict[str, float] = {}
    for type_name, size in (("f32", 4), ("bf16", 2)):
        probe = _calls(device).probe_prepare(images, device=device, preprocess_id=MASKED, type=type_name, repeat=repeat)
        base[type_name] = probe["seconds"]
        moved = n * (4.0 * work.pixels + size * 2 * 224 * 224)
        yield _rate("preprocess (quantile, clip, resize)", f"{n} images to {type_name}", probe["seconds"], moved, copy)
    # Those of the square root have kernels of their own, which run only if one of them is wanted.
    for case, names in (("statistics (first four)", STATISTICS[:4]), ("statistics (all)", STATISTICS)):
        probe = _calls(device).probe_prepare(
            images, device=device, preprocess_id=MASKED, type="bf16", statistics=list(names), repeat=repeat
        )
        seconds = max(probe["seconds"] - base["bf16"], 0.0)
        yield _rate(case, f"{n} images, difference", seconds, n * 4.0 * work.pixels, copy)


def _check_images(ds: imn.Dataset, lo: np.ndarray, hi: np.ndarray, device: str) -> None:
    """Checks that the device's images equal the CPU's."""
    wanted = _core.bin_images(ds._native, lo, hi, unmeasured=0.0)
    given = _calls(device).probe_bin(ds._native, lo, hi, device=device)["images"]
    assert np.array_equal(wanted, given), "the device bins other images than the CPU"


def _scorers(context: Context, device: str, work: Workload, end: float, found: list[Row]) -> Iterator[Row]:
    if device == "emulated":
        yield Row("scorers", "skipped", 0.0, None, "no GPU")
        return
    yield from scorer_rows(context.work, device, end)


def _picks(context: Context, device: str, work: Workload, end: float, found: list[Row]) -> Iterator[Row]:
    if device == "emulated":
        yield Row("picks", "skipped", 0.0, None, "no GPU")
        return
    scorer = imn.make_scorer(device=device)
    if scorer.device.kind != "cuda":
        yield Row("picks", "skipped", 0.0, None, "; ".join(f"{name}: {why}" for name, why in scorer.refused.items()))
        return
    rate = scorer.network.batch / seconds_of_a_batch(scorer.network, device)
    for mode, (path, axis) in reference_files(context.work, work).items():
        for _ in range(2):  # the first one warms the page cache and the scorer
            peaks = imn.pick(path, axis=axis, scorer=scorer, top=20)
        yield _pick_row(peaks, mode, path, rate)


def _pick_row(peaks: imn.PeakList, mode: str, path: Path, rate: float) -> Row:
    """One pick. "hidden" is the share of the reading that costs no time because it overlaps with scoring."""
    loop = peaks.run.scoring_loop
    n = len(peaks.all_scores)
    total, read = loop["total_s"], loop["read_s"]
    values = {"loop_s": total, "read_s": read, "images/s": n / total, "open_s": peaks.run.timings["open"]}
    scoring = n / rate
    values |= {"scoring_alone_s": scoring, "hidden": min(max((read + scoring - total) / read, 0.0), 1.0)}
    note = (
        f"{n / total:.0f} images/s, open {values['open_s']:.2f} s, read {read:.2f} s, scoring alone {scoring:.2f} s, "
    )
    note += f"{values['hidden']:.2f} of reading hidden"
    return Row(f"pick, {mode}, {path.stat().st_size / 1e6:.0f} MB XML", peaks.run.scorer, total, None, note, values)
