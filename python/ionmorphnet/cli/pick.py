"""``ionmorphnet pick``."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli import _shared
from ionmorphnet.cli._open_options import normalize_option, open_options
from ionmorphnet.cli._shared import show_warnings
from ionmorphnet.io.open_options import OpenOptions


class Folder(click.Path):
    """An output folder: an empty name does not mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuses an empty name."""
        if value == "":
            self.fail("the name of the output folder is empty", param, ctx)
        return super().convert(value, param, ctx)


def _regions(ctx: click.Context, param: click.Parameter, value: str) -> str | int:
    """together, each, or the number of a region."""
    if value in ("together", "each"):
        return value
    if value.isdecimal() and int(value) >= 1:
        return int(value)
    raise click.BadParameter(f"'{value}' is neither together nor each nor the number of a region", ctx, param)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False), metavar="FILE...")
@click.option("-o", "--out", required=True, type=Folder(path_type=Path, file_okay=False), help="Output folder.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Keep the N best channels.")
@click.option("--min-score", type=float, metavar="S", help="Keep channels that score at least S.")
@click.option(
    "--exclude",
    multiple=True,
    type=click.Choice(imn.CLASSES),
    help="Do not pick channels of this class, such as negative (bright outside of the sample); repeatable.",
)
@click.option(
    "--mz-list",
    type=click.Path(path_type=Path, readable=False),
    metavar="CSV",
    help="Score the m/z of this list, in the windows that it states or with --ppm or --tol.",
)
@click.option("--ppm", type=float, metavar="P", help="Half width of --mz-list windows, parts per million.")
@click.option("--tol", type=float, metavar="T", help="Half width of --mz-list windows, m/z units.")
@click.option(
    "--axis",
    type=click.Choice(["auto", "bins", "peaks"]),
    default="auto",
    show_default=True,
    help="Candidates: every bin of the file, or peaks found in the data.",
)
@open_options()
@click.option("--model", metavar="NAME_OR_FOLDER", help="Bundled model or model folder.  [default: the bundled one]")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Map scores and classes with what ionmorphnet calibrate wrote.",
)
@click.option(
    "--scorer",
    default="auto",
    show_default=True,
    metavar="NAME",
    help=", ".join(imn.SCORER_NAMES) + ".",
)
@click.option(
    "--engine",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="TensorRT engine built earlier for this model.  [default: from the cache, or built now]",
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "int8", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision of the network; int8 needs a model with an 8-bit network, fp16 TensorRT.",
)
@normalize_option("Divide images by this norm of each pixel's spectrum before they are scored.")
@click.option(
    "--sample-map",
    "sample",
    default="auto",
    show_default=True,
    metavar="auto|none|FILE",
    help="Which pixels are sample: found if the model reads it, left out, or a .npy or .png file.",
)
@click.option("--memory-limit", default="4GB", show_default=True, metavar="SIZE", help="Host memory to plan with.")
@click.option(
    "--device-memory-limit", metavar="SIZE", help="GPU memory to plan with.  [default: four fifths of what is free]"
)
@click.option(
    "--cascade/--no-cascade",
    default=True,
    help="Spare the network the channels that cheap statistics show to be noise.",
)
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all.")
@click.option(
    "--format",
    "formats",
    default="csv",
    show_default=True,
    metavar="LIST",
    help="Files to write: csv, parquet, xlsx, imzml, h5ad, scils, metaspace, separated by commas.",
)
@click.option("--features", is_flag=True, help="Add the picks' classical statistics to peaks.csv and peaks.parquet.")
@click.option("--report", is_flag=True, help="Write report.html: images, mean spectrum, run facts.")
@click.option(
    "--regions",
    callback=_regions,
    default="together",
    show_default=True,
    metavar="together|each|N",
    help="Sections side by side on a slide: as one, each on its own, or only the one of this number (see info).",
)
@click.option("--name", metavar="NAME", help="Name of the result, for a single FILE: writes OUT/NAME.")
@click.option("--force", is_flag=True, help="Pick again what is done already.")
@click.option("--overwrite", is_flag=True, help="As --force; also replace results of other inputs in OUT.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def pick(files: tuple[Path, ...], out: Path, as_json: bool, opened: OpenOptions, **options: Any) -> int:
    """Rank the m/z channels of imzML FILEs that carry spatial structure.

    Writes OUT/<file stem>/peaks.csv (the picks), scores.csv (every candidate) and run.json.
    A FILE that is a folder is searched for imzML files; OUT gets the same subfolders. Files of one name get as many
    parent folders in front as tell them apart: OUT/patient01/MSI/data.
    Without --top and --min-score, the model's own threshold decides how many channels are picked. The z planes of a
    file are picked one by one, each into OUT/<file stem>_z<plane>; so are both polarities (--polarity chooses one) and,
    with --regions each, the sections of a slide, each into OUT/<file stem>_region<number>.
    What is done already, with the same data, settings and model, is not picked again. The result of another input is
    never replaced unless --overwrite asks for it.
    Exits with 1 if an input failed or no channel was picked from any, and with 2 if all failed.

    \b
    Examples:
      ionmorphnet pick section.imzML -o results --report
      ionmorphnet pick study -o results --format csv,imzml --top 100
      ionmorphnet pick section.imzML -o results --mz-list lipids.csv --ppm 5
    """
    options = pick_arguments(options)
    results: list[dict[str, Any]] = []
    failures = []
    n_inputs = 0
    with imn.PickBar(_shared.stderr) as bar:
        for outcome in imn.pick_files(files, out, progress=None if as_json else bar, **opened, **options):
            bar.hide()
            n_inputs = outcome.n_files
            if not (as_json and outcome.picked):  # the document holds the warnings of what was picked
                show_warnings(outcome.warnings, name=outcome.name)
            for note in outcome.notes:
                click.echo(f"note: {outcome.name}: {note}", err=True)
            for plane in outcome.picked:
                results.append(_result(plane, outcome))
                skipped = [f"{kind} was not written: {cause}" for kind, cause in plane.skipped.items()]
                show_warnings(skipped, name=_title(plane, outcome))
                if not as_json:
                    _print_summary(plane, outcome)
            if not outcome.ok:
                failures.append({"file": click.format_filename(outcome.path), "error": outcome.message})
                if not as_json:
                    click.echo(f"ionmorphnet: {outcome.message}", err=True)
    if as_json:
        click.echo(json.dumps({"results": results, "failures": failures}, indent=2, ensure_ascii=False))
    elif n_inputs > 1:
        done = sum(result["already_done"] for result in results)
        if done:
            click.echo(f"{done} of {len(results)} results were there already; --force picks them again")
        if failures:
            click.echo(f"{len(failures)} of {n_inputs} inputs failed", err=True)
    if failures:
        return 1 if len(failures) < n_inputs else 2
    if any(result["picked"] for result in results):
        return 0
    if not as_json:
        click.echo("ionmorphnet: no channel was picked from any input", err=True)
    return 1


def pick_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of :func:`ionmorphnet.pick_files` from the options of the command line.

    Raises:
        ArgumentError: Options contradict each other.
        FileError: A list or map cannot be read.
    """
    options = dict(options)
    if options["sample"] not in ("auto", "none"):
        from ionmorphnet.io.sample_maps import read_sample_map  # not for --help

        options["sample"] = read_sample_map(Path(options["sample"]))
    mz_list = options.pop("mz_list")
    if mz_list is not None:  # the windows are the axis' own from here on
        options["axis"] = _listed_axis(mz_list, options["axis"], options.pop("ppm"), options.pop("tol"))
    return options


def _listed_axis(mz_list: Path, axis: str, ppm: float | None, tol: float | None) -> imn.CandidateAxis:
    """The m/z of a list file, each once."""
    if axis != "auto":
        raise ArgumentError("--axis and --mz-list exclude each other")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        listed = imn.CandidateAxis.from_csv(mz_list, ppm=ppm, tol=tol)
    show_warnings([str(warning.message) for warning in caught], name=mz_list.name)
    return listed


def _result(plane: imn.PickedPlane, outcome: imn.PickOutcome) -> dict[str, Any]:
    run = plane.peaks.run
    assert run is not None
    return {
        "file": click.format_filename(outcome.path),
        "z": plane.z,
        "region": run.input.region,
        "polarity": run.input.polarity,
        "already_done": plane.already_done,
        "folder": click.format_filename(plane.folder),
        "written": [click.format_filename(path) for path in plane.written],
        "candidates": len(plane.peaks.all_scores),
        "spared": run.counts.spared,
        "picked": len(plane.peaks),
        "scorer": run.scorer,
        "precision": run.precision,
        "seconds": round(plane.seconds, 3),
        "warnings": [*run.input.warnings, *run.warnings],
    }


def _title(plane: imn.PickedPlane, outcome: imn.PickOutcome) -> str:
    number = f"[{outcome.number}/{outcome.n_files}] " if outcome.n_files > 1 else ""
    return f"{number}{outcome.name} {plane.title}".rstrip()


def _print_summary(plane: imn.PickedPlane, outcome: imn.PickOutcome) -> None:
    peaks, run = plane.peaks, plane.peaks.run
    assert run is not None
    if plane.already_done:
        click.echo(
            f"{_title(plane, outcome)}: already done, {len(peaks)} of {len(peaks.all_scores)} channels picked: "
            f"{click.format_filename(plane.folder)}"
        )
        return
    rate = len(peaks.all_scores) / max(run.timings["score"], 1e-9)
    spared = f", {run.counts.spared} spared by the cascade" if run.counts.spared else ""
    click.echo(
        f"{_title(plane, outcome)}: {len(peaks)} of {len(peaks.all_scores)} channels picked in {plane.seconds:.1f} s "
        f"({run.scorer} {run.precision}, {rate:.0f} images/s while scoring{spared})"
    )
    n_warnings = len({*run.input.warnings, *run.warnings})
    if n_warnings:
        file = click.format_filename(plane.folder / "warnings.txt")
        click.echo(f"  {n_warnings} warning{'s' if n_warnings > 1 else ''}: see {file}")
    labels = Counter(peaks.to_frame()["label"].dropna())
    if labels:
        click.echo("  " + ", ".join(f"{labels[name]} {name}" for name in imn.CLASSES if labels[name]))
    if run.counts.excluded:
        classes = " and ".join(run.parameters.exclude)
        click.echo(f"  {run.counts.excluded} {classes} left out")
    for peak in peaks[:5]:
        parts = [] if peak.label is None else [peak.label]
        if peak.structure is not None:
            parts.append(f"structure {peak.structure:.1f} of 3")
        click.echo(f"  {peak.rank:>3}  m/z {peak.mz:<11.4f} {peak.score:.3f}  {', '.join(parts)}".rstrip())
    if len(peaks) > 5:
        click.echo(f"  ... {len(peaks) - 5} more")
    for path in plane.written:
        click.echo(f"  {click.format_filename(path)} ({format_bytes(path.stat().st_size)})")
