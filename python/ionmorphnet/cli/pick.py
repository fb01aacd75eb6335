"""``ionmorphnet pick``."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet._units import format_bytes
from ionmorphnet.cli._shared import progress_bar, read_mz_list, show_warnings, stderr
from ionmorphnet.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.run_output import output_names, parse_formats, write_run
from ionmorphnet.scorers import make_scorer


@dataclass(frozen=True)
class _Job:
    """What is the same for every input."""

    out: Path
    formats: tuple[str, ...]
    report: bool
    quiet: bool
    arguments: dict[str, Any]


@click.command(short_help="Rank the channels of imzML sections.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Output folder.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Keep the N best channels.")
@click.option("--min-score", type=float, metavar="S", help="Keep channels that score at least S.")
@click.option(
    "--mz-list", type=click.Path(path_type=Path), metavar="CSV", help="Score these m/z (needs --ppm or --tol)."
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
@click.option("--model", metavar="NAME_OR_FOLDER", help="Bundled model or model folder.")
@click.option("--scorer", default="auto", show_default=True, metavar="NAME", help="auto, openvino or moran.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto or cpu.")
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True)
@click.option("--memory-limit", default="4GB", show_default=True, metavar="SIZE", help="Memory to plan with.")
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all.")
@click.option(
    "--format",
    "formats",
    default="csv",
    show_default=True,
    metavar="LIST",
    help="Files to write: csv, parquet, imzml, h5ad, separated by commas.",
)
@click.option("--report", is_flag=True, help="Write report.html: images, mean spectrum, run facts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def pick(files: tuple[Path, ...], out: Path, **options: Any) -> int:
    """Rank the m/z channels of imzML FILEs that carry spatial structure.

    Writes OUT/<file stem>/peaks.csv (the picks), scores.csv (every candidate) and run.json.
    With neither --top nor --min-score the model's own threshold cuts.
    """
    as_json = options.pop("as_json")
    job = _job(out, options, quiet=as_json)
    names = output_names(files)
    results, failures = [], []
    for path, name in zip(files, names, strict=True):
        try:
            results += _pick_file(path, name, job)
        except (IonMorphNetError, OSError) as error:
            failures.append({"file": str(path), "error": _one_line(error)})
            click.echo(f"ionmorphnet: {failures[-1]['error']}", err=True)
    if as_json:
        click.echo(json.dumps({"results": results, "failures": failures}, indent=2, ensure_ascii=False))
    elif failures and len(files) > 1:
        click.echo(f"{len(failures)} of {len(files)} inputs failed", err=True)
    if not failures:
        return 0
    return 1 if len(failures) < len(files) else 2


def _job(out: Path, options: dict[str, Any], *, quiet: bool) -> _Job:
    formats = parse_formats(options.pop("formats"))
    report = options.pop("report")
    mz_list = options.pop("mz_list")
    if mz_list is not None:
        if options["axis"] != "auto":
            raise ArgumentError("--axis and --mz-list exclude each other")
        options["axis"] = read_mz_list(mz_list)
    # Started once for all inputs: loading and compiling the network takes longer than scoring a small section.
    names = ("model", "scorer", "device", "precision")
    options["scorer"] = make_scorer(threads=options["threads"], **{name: options.pop(name) for name in names})
    return _Job(out=out, formats=formats, report=report, quiet=quiet, arguments=options)


def _pick_file(path: Path, name: str, job: _Job) -> list[dict[str, Any]]:
    with imn.open(path) as ds:
        planes = ds.z_planes
        if len(planes) <= 1:
            return [_pick_plane(ds, path.name, name, job)]
        return [_pick_plane(ds.plane(z), f"{path.name} z={z}", f"{name}_z{z}", job) for z in planes]


def _pick_plane(ds: imn.Dataset, title: str, name: str, job: _Job) -> dict[str, Any]:
    started = time.perf_counter()
    with progress_bar(title, "images", quiet=job.quiet) as progress:
        peaks = imn.pick(ds, progress=progress, **job.arguments)
    if not job.quiet and job.report and stderr.is_terminal:
        with stderr.status("writing the report"):
            written = write_run(peaks, job.out / name, formats=job.formats, report=job.report)
    else:
        written = write_run(peaks, job.out / name, formats=job.formats, report=job.report)
    show_warnings(list(ds.warnings), name=title)
    seconds = time.perf_counter() - started
    if not job.quiet:
        _print_summary(peaks, title, written, seconds)
    return {
        "file": str(ds.path),
        "folder": str(job.out / name),
        "written": [str(path) for path in written],
        "candidates": len(peaks.all_scores),
        "picked": len(peaks),
        "seconds": round(seconds, 3),
    }


def _print_summary(peaks: imn.PeakList, title: str, written: list[Path], seconds: float) -> None:
    rate = len(peaks.all_scores) / max(peaks.run["timings"]["score"], 1e-9)
    click.echo(
        f"{title}: {len(peaks)} of {len(peaks.all_scores)} channels picked in {seconds:.1f} s "
        f"({peaks.run['scorer']} {peaks.run['precision']}, {rate:.0f} images/s)"
    )
    frame = peaks.to_frame()
    if frame["label"].notna().any():
        counts = Counter(frame["label"])
        click.echo("  " + ", ".join(f"{counts[name]} {name}" for name in imn.CLASSES if counts[name]))
    for row in frame.head(5).itertuples():
        label = "" if not isinstance(row.label, str) else row.label
        click.echo(f"  {row.rank:>3}  m/z {row.mz:<11.4f} {row.score:.3f}  {label}")
    if len(frame) > 5:
        click.echo(f"  ... {len(frame) - 5} more")
    for path in written:
        click.echo(f"  {path} ({format_bytes(path.stat().st_size)})")


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, FileError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
