"""``ionmorphnet pick``."""

from __future__ import annotations

import contextlib
import json
import math
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.base.units import format_bytes, parse_bytes
from ionmorphnet.cli._shared import progress_bar, show_warnings, spinner
from ionmorphnet.io.dataset import SpectrumType
from ionmorphnet.io.mz_list import read_mz_list
from ionmorphnet.picking.outputs import (
    output_names,
    parse_formats,
    prepared_folder,
    refuse_input_folder,
    skipped_formats,
    write_run,
)
from ionmorphnet.scoring.scorer import make_scorer


@dataclass(frozen=True)
class _Job:
    """What is the same for every input."""

    out: Path
    formats: tuple[str, ...]
    report: bool
    features: bool
    quiet: bool
    spectrum_type: SpectrumType | None
    arguments: dict[str, Any]
    claimed: dict[Path, Path] = field(default_factory=dict)
    """Folders that this call has results for, and of which input."""

    def claim(self, path: Path, names: list[str]) -> None:
        """Reserves OUT/name for an input.

        Raises:
            ArgumentError: Another input has it already.
        """
        for name in names:
            other = self.claimed.get(self.out / name)
            if other is not None:
                raise ArgumentError(
                    f"{path}: would write to {self.out / name}, where the result of {other} is: pick them in "
                    "separate calls"
                )
        self.claimed.update({self.out / name: path for name in names})


@dataclass(frozen=True)
class _Result:
    """One section, or one plane of it, that was picked and written."""

    peaks: imn.PeakList
    title: str
    z: int | None
    folder: Path
    written: list[Path]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": click.format_filename(self.peaks.dataset.path),
            "z": self.z,
            "folder": click.format_filename(self.folder),
            "written": [click.format_filename(path) for path in self.written],
            "candidates": len(self.peaks.all_scores),
            "picked": len(self.peaks),
            "scorer": self.peaks.run["scorer"],
            "precision": self.peaks.run["precision"],
            "seconds": round(self.seconds, 3),
            "warnings": [*self.peaks.run["input"]["warnings"], *self.peaks.run["warnings"]],
        }


class _Folder(click.Path):
    """An output folder: nothing is not the current one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name of the output folder is empty", param, ctx)
        return super().convert(value, param, ctx)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False), metavar="FILE...")
@click.option("-o", "--out", required=True, type=_Folder(path_type=Path, file_okay=False), help="Output folder.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Keep the N best channels.")
@click.option("--min-score", type=float, metavar="S", help="Keep channels that score at least S.")
@click.option(
    "--mz-list",
    type=click.Path(path_type=Path, readable=False),
    metavar="CSV",
    help="Score these m/z (needs --ppm or --tol).",
)
@click.option("--ppm", type=float, metavar="P", help="Half width of --mz-list windows, parts per million.")
@click.option("--tol", type=float, metavar="T", help="Half width of --mz-list windows, m/z units.")
@click.option(
    "--axis",
    type=click.Choice(["auto", "bins", "peaks"]),
    default="auto",
    show_default=True,
    help="How candidates are found: every bin of the file, or peaks of the data.",
)
@click.option(
    "--spectrum-type",
    type=click.Choice(["auto", "centroid", "profile"]),
    default="auto",
    show_default=True,
    help="What the spectra are, whatever the file declares.",
)
@click.option("--model", metavar="NAME_OR_FOLDER", help="Bundled model or model folder.")
@click.option(
    "--scorer",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, openvino, tensorrt, torch, moran, blur or chaos.",
)
@click.option(
    "--engine",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="TensorRT engine of the model, built ahead.  [default: from the cache, or built now]",
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="fp16: with TensorRT only.",
)
@click.option("--memory-limit", default="4GB", show_default=True, metavar="SIZE", help="Memory to plan with.")
@click.option(
    "--device-memory-limit", metavar="SIZE", help="The same for the GPU.  [default: four fifths of what is free]"
)
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all.")
@click.option(
    "--format",
    "formats",
    default="csv",
    show_default=True,
    metavar="LIST",
    help="Files to write: csv, parquet, imzml, h5ad, separated by commas.",
)
@click.option("--features", is_flag=True, help="Add the picks' classical statistics to peaks.csv and peaks.parquet.")
@click.option("--report", is_flag=True, help="Write report.html: images, mean spectrum, run facts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def pick(files: tuple[Path, ...], out: Path, **options: Any) -> int:
    """Rank the m/z channels of imzML FILEs that carry spatial structure.

    Writes OUT/<file stem>/peaks.csv (the picks), scores.csv (every candidate) and run.json.
    With neither --top nor --min-score the model's own threshold cuts. The planes of a file with several are picked
    one by one, each into OUT/<file stem>_z<plane>.
    """
    as_json = options.pop("as_json")
    job = _job(out, options, quiet=as_json)
    names = output_names(files)
    results, failures = [], []
    for path, name in zip(files, names, strict=True):
        picked = _pick_file(path, name, job)
        while True:
            try:
                result = next(picked, None)
            except BrokenPipeError:  # nobody reads our stderr: not the fault of this input
                raise
            except (IonMorphNetError, OSError, MemoryError) as error:
                failures.append({"file": click.format_filename(path), "error": _one_line(error, path)})
                click.echo(f"ionmorphnet: {failures[-1]['error']}", err=True)
                break
            if result is None:
                break
            results.append(result.to_dict())
            if not as_json:
                _print_summary(result)
    if as_json:
        click.echo(json.dumps({"results": results, "failures": failures}, indent=2, ensure_ascii=False))
    elif failures and len(files) > 1:
        click.echo(f"{len(failures)} of {len(files)} inputs failed", err=True)
    if not failures:
        return 0
    return 1 if len(failures) < len(files) else 2


def _job(out: Path, options: dict[str, Any], *, quiet: bool) -> _Job:
    """Checks here, once, what would otherwise fail every input in the same words."""
    formats = parse_formats(options.pop("formats"))
    report = options.pop("report")
    features = options.pop("features")
    spectrum_type = options.pop("spectrum_type")
    options["memory_limit"] = parse_bytes(options["memory_limit"])
    if options["device_memory_limit"] is not None:
        options["device_memory_limit"] = parse_bytes(options["device_memory_limit"])
    if options["min_score"] is not None and not math.isfinite(options["min_score"]):
        raise ArgumentError("--min-score must be a finite number")
    mz_list = options.pop("mz_list")
    if mz_list is not None:
        options["axis"] = _listed_mz(mz_list, options)
    elif options["ppm"] is not None or options["tol"] is not None:
        raise ArgumentError("--ppm and --tol belong to --mz-list; channels found in the data have their own windows")
    # Started once for all inputs: loading and compiling the network takes longer than scoring a small section.
    names = ("model", "scorer", "device", "precision", "engine")
    scorer = make_scorer(threads=options["threads"], **{name: options.pop(name) for name in names})
    if scorer.model is None and options["top"] is None and options["min_score"] is None:
        raise ArgumentError(f"scorer '{scorer.name}' has no default threshold: give --top or --min-score")
    arguments = {**options, "scorer": scorer}
    return _Job(
        out=out,
        formats=formats,
        report=report,
        features=features,
        quiet=quiet,
        spectrum_type=None if spectrum_type == "auto" else spectrum_type,
        arguments=arguments,
    )


def _listed_mz(path: Path, options: dict[str, Any]) -> np.ndarray:
    """The m/z of a list file, each once."""
    if options["axis"] != "auto":
        raise ArgumentError("--axis and --mz-list exclude each other")
    if (options["ppm"] is None) == (options["tol"] is None):
        raise ArgumentError("--mz-list needs one of --ppm and --tol")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        axis = imn.CandidateAxis.from_mz_list(read_mz_list(path), ppm=options["ppm"], tol=options["tol"])
    show_warnings([str(warning.message) for warning in caught], name=path.name)
    return axis.mz


def _pick_file(path: Path, name: str, job: _Job) -> Iterator[_Result]:
    """Picks a file, plane by plane."""
    with contextlib.ExitStack() as stack:
        with spinner(f"{path.name}: opening", quiet=job.quiet):
            ds = stack.enter_context(imn.open(path, spectrum_type=job.spectrum_type))
        planes = ds.z_planes
        if len(planes) <= 1:
            job.claim(path, [name])
            yield _pick_plane(ds, path.name, None, job.out / name, job)
        else:
            job.claim(path, [f"{name}_z{z}" for z in planes])
            for z in planes:
                yield _pick_plane(ds.plane(z), f"{path.name} z={z}", z, job.out / f"{name}_z{z}", job)
        show_warnings(ds.warnings, name=path.name)


def _pick_plane(ds: imn.Dataset, title: str, z: int | None, folder: Path, job: _Job) -> _Result:
    started = time.perf_counter()
    refuse_input_folder(ds, folder)
    with prepared_folder(folder):
        with progress_bar(title, "images", quiet=job.quiet, before="finding channels") as progress:
            peaks = imn.pick(ds, progress=progress, **job.arguments)
        with spinner(f"{title}: writing", quiet=job.quiet):
            written = write_run(peaks, folder, formats=job.formats, report=job.report, features=job.features)
    skipped = skipped_formats(peaks, job.formats)
    texts = [f"{kind} was not written: {cause}" for kind, cause in skipped.items()]
    show_warnings([*peaks.run["warnings"], *texts], name=title)
    return _Result(peaks, title, z, folder, written, time.perf_counter() - started)


def _print_summary(result: _Result) -> None:
    peaks = result.peaks
    rate = len(peaks.all_scores) / max(peaks.run["timings"]["score"], 1e-9)
    click.echo(
        f"{result.title}: {len(peaks)} of {len(peaks.all_scores)} channels picked in {result.seconds:.1f} s "
        f"({peaks.run['scorer']} {peaks.run['precision']}, {rate:.0f} images/s)"
    )
    frame = peaks.to_frame()
    if frame["label"].notna().any():
        counts = Counter(frame["label"])
        click.echo("  " + ", ".join(f"{counts[name]} {name}" for name in imn.CLASSES if counts[name]))
    for row in frame.head(5).itertuples():
        parts = [row.label] if isinstance(row.label, str) else []
        if "structure" in frame:
            parts.append(f"structure {row.structure:.1f} of 3")
        click.echo(f"  {row.rank:>3}  m/z {row.mz:<11.4f} {row.score:.3f}  {', '.join(parts)}")
    if len(frame) > 5:
        click.echo(f"  ... {len(frame) - 5} more")
    for path in result.written:
        click.echo(f"  {click.format_filename(path)} ({format_bytes(path.stat().st_size)})")


def _one_line(error: Exception, path: Path) -> str:
    if isinstance(error, MemoryError):
        return f"{path}: there is not enough memory; give a smaller --memory-limit or fewer channels"
    if isinstance(error, OSError) and not isinstance(error, FileError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
