"""``ionmorphnet cohort``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from ionmorphnet import cohort as study
from ionmorphnet.cli._cohort_report import after_run, next_step, report
from ionmorphnet.cli._cohort_tables import tables
from ionmorphnet.cli._open_options import normalize_option, open_options
from ionmorphnet.cli._shared import log_shown, progress_bar, stderr
from ionmorphnet.cli._study_place import STAGE, StudyPlace, below
from ionmorphnet.cli.pick import pick, pick_arguments
from ionmorphnet.io.mz_list import parse_mz_values
from ionmorphnet.io.open_options import OpenOptions

# What `pick` offers and a study does not: names come from the samples, and the manifest says what is done.
_NOT_HERE = {"files", "out", "name", "force", "overwrite", "as_json", "calibration", "ibd_path"}
_STUDY = click.argument("out", type=StudyPlace(exists=True), metavar="OUT")


def _pick_options(command: click.Command) -> click.Command:
    """Adds the options of ``pick`` to a command."""
    known = {option.name for option in command.params}
    command.params += [option for option in pick.params if option.name not in _NOT_HERE | known]
    return command


@click.group()
def cohort() -> None:
    """Pick all sections of a study; find the channels that they share; write one matrix of all pixels.

    \b
    Examples:
      ionmorphnet cohort run study -o out --jobs 4
      ionmorphnet cohort run samples.csv -o out --shard 3/20     (one task of a job array)
      ionmorphnet cohort consensus out
      ionmorphnet cohort matrix out --normalize tic
      ionmorphnet cohort tables out --exclude negative
      ionmorphnet cohort report out
    """


cohort.add_command(tables)


@_pick_options
@cohort.command(short_help="Pick all sections; go on after any interruption.")
@click.argument("inputs", nargs=-1, required=True, type=str, metavar="INPUT...")
@click.option("-o", "--out", required=True, type=StudyPlace(), help="Folder of the study, or a URL.")
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Worker processes.  [default: by scorer and cores]"
)
@click.option("--shard", metavar="I/N", help="Do the I-th of N parts only.")
@click.option("--force", is_flag=True, help="Pick again what is done already.")
@click.option("--failures-ok", is_flag=True, help="Exit with 0 also if sections failed: the manifest lists them.")
@click.option("--dry-run", is_flag=True, help="List what would be done, and why.")
@STAGE
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Pick on Ray: 'local' starts it on this machine, 'auto' joins the cluster that runs here, or HOST:PORT. "
    "--threads and --memory-limit then are of each section, --jobs the most at once.",
)
@click.option(
    "--ray-gpus",
    type=click.FloatRange(min=0),
    metavar="N",
    help="GPUs of a section, also 0.5.  [default: by device]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
@open_options(ibd=False)
def run(
    inputs: tuple[str, ...],
    out: Path | str,
    jobs: int | None,
    shard: str | None,
    force: bool,
    failures_ok: bool,
    dry_run: bool,
    stage: Path | None,
    ray: str | None,
    ray_gpus: float | None,
    as_json: bool,
    opened: OpenOptions,
    **options: Any,
) -> int:
    """Pick the sections that INPUTs name: imzML files, folders, patterns, URLs, or CSVs of samples.

    A CSV has a column path (relative to the CSV), and may have sample, patient, batch, group and any others; they are
    kept. Results go to OUT/sections/<sample>, and OUT/manifest.csv says what became of each section. The same command
    does what is missing or changed, after Ctrl-C, a crash or a power cut too. A section that fails, or that kills its
    worker, stops no other.
    Exits with 1 if sections failed, and with 2 if all failed, unless --failures-ok is given.
    """
    arguments = {**pick_arguments(options), **opened}
    if ray is None and ray_gpus is not None:
        raise click.UsageError("--ray-gpus needs --ray.")
    engine = None if ray is None else study.RayOptions(ray, num_gpus=ray_gpus)
    if dry_run:
        return _show_plan(study.plan(inputs, out, shard=shard, force=force, **arguments), as_json)
    with log_shown(), _bar(as_json) as tell:
        done = study.run(
            inputs, out, jobs=jobs, shard=shard, force=force, stage=stage, ray=engine, progress=tell, **arguments
        )
    failed = done.failed
    actions = Counter("removed" if each.why == study.REMOVED else each.action for each in done.planned)
    if as_json:
        click.echo(json.dumps(_summary(done), indent=2, ensure_ascii=False))
    else:
        picked = len(done.planned) - actions["skip"] - actions["removed"] - len(failed)
        removed = f"{actions['removed']} removed from the study, " if actions["removed"] else ""
        click.echo(
            f"{out}: {picked} picked, {actions['skip']} were there already, {removed}{len(failed)} failed, "
            f"of {len(done.planned)} sections in {done.seconds:.0f} s"
        )
        if done.others and shard is None:
            names = ", ".join(done.others[:3]) + (", ..." if len(done.others) > 3 else "")
            click.echo(
                f"note: the study also holds {len(done.others)} that were not given now ({names}); "
                "ionmorphnet cohort remove takes them out",
                err=True,
            )
        click.echo(f"  {below(out, 'manifest.csv')}")
    after_run(done, page=bool(arguments.get("report")), shard=shard, quiet=as_json)
    if failures_ok or not failed:
        return 0
    return 2 if len(failed) == len(done.planned) else 1


@cohort.command(short_help="Show what is done, and what failed and why.")
@_STUDY
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option("--failed", "only_failed", is_flag=True, help="Failed sections only.")
def status(out: Path | str, as_json: bool, only_failed: bool) -> int:
    """Show the manifest in OUT. Exits with 1 if sections failed."""
    with study.study_folder(out) as folder:
        entries = sorted(study.Manifest(folder.local).entries().values(), key=lambda each: each.name)
    failed = [each for each in entries if each.status == "failed"]
    shown = failed if only_failed else entries
    if as_json:
        click.echo(study.manifest_table(shown).to_json(orient="records", indent=2))
        return 1 if failed else 0
    table = Table("sample", "status", "picked", "seconds", "reason", box=None, pad_edge=False)
    for each in shown:
        cells = (each.name, each.status, str(each.picked) if each.status == "done" else "", f"{each.seconds:.1f}")
        table.add_row(*(Text(cell) for cell in (*cells, each.reason)))
    _print(table)
    counts = Counter(each.status for each in entries)
    removed = f", {counts['removed']} removed" if counts["removed"] else ""
    click.echo(f"{counts['done']} done, {counts['failed']} failed{removed}")
    return 1 if failed else 0


@cohort.command(short_help="Take sections out of the study, or bring them back.")
@_STUDY
@click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
@click.option("--undo", is_flag=True, help="Bring them back, as they were.")
def remove(out: Path | str, samples: tuple[str, ...], undo: bool) -> None:
    """Take SAMPLEs out of the study in OUT, for example failed measurements.

    Nothing is deleted: they stay in the manifest as removed, and cohort run does not pick them again. Consensus,
    matrix, tables and report leave them out when they are made again.
    """
    changed = study.remove(out, samples, undo=undo)
    click.echo(f"{out}: {len(changed)} {'brought back' if undo else 'removed'}: {', '.join(e.name for e in changed)}")
    next_step(out, "consensus", "report")


@cohort.command(short_help="Join the manifests of shards.")
@_STUDY
def merge(out: Path | str) -> None:
    """Write OUT/manifest.csv from the manifests of all shards."""
    with study.study_folder(out) as folder:
        manifest = study.Manifest(folder.local)
        folder.publish_tree(manifest.write_csv().name)
        click.echo(f"{below(out, 'manifest.csv')}: {len(manifest.entries())} sections")


@cohort.command(short_help="Find the channels that sections share.")
@_STUDY
@click.option(
    "--min-share",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 1),
    metavar="S",
    help="Share of the sections that must have a channel.",
)
@click.option(
    "--reach",
    "reach_ppm",
    type=float,
    metavar="PPM",
    help="Largest mass drift looked for.  [default: 5 half widths of a window]",
)
@click.option(
    "--lock-mass", "locks", metavar="LIST", help="True m/z of ions, separated by commas, that make the scale absolute."
)
@STAGE
def consensus(
    out: Path | str, min_share: float, reach_ppm: float | None, locks: str | None, stage: Path | None
) -> None:
    """Find the channels of the study in OUT from the candidates of all its sections.

    Each section's mass drift is found and removed first. Writes OUT/consensus: channels.csv, members.csv (which section
    has which channel, with its own m/z and score) and drift.csv.
    """
    masses = None if locks is None else parse_mz_values(locks)
    found = study.find_consensus(out, min_share=min_share, reach_ppm=reach_ppm, lock_masses=masses, stage=stage)
    table = found.channels
    click.echo(
        f"{len(found)} channels in at least {min_share:.0%} of {len(found.sections)} sections, "
        f"jitter {found.width_ppm:.2g} ppm, scale {'absolute' if found.absolute else 'relative to the median section'}"
    )
    if found.unaligned:
        some = ", ".join(found.unaligned[:5]) + (" ..." if len(found.unaligned) > 5 else "")
        click.echo(
            f"note: {len(found.unaligned)} of {len(found.sections)} sections share too few channels with others to "
            f"find their mass drift, and are taken as they are: {some}",
            err=True,
        )
    for row in table.sort_values("score", ascending=False).head(5).itertuples():
        click.echo(
            f"  m/z {row.mz:<11.4f} score {row.score:.3f}  in {row.n_present} of {len(found.sections)} sections, "
            f"picked in {row.n_picked}"
        )
    click.echo(f"  {below(out, 'consensus', 'channels.csv')}")
    next_step(out, "matrix", "report")


@cohort.command(short_help="Extract the common channels from every pixel.")
@_STUDY
@normalize_option("Divide by this norm of each pixel's spectrum.")
@click.option("--memory-limit", default="4GB", show_default=True, metavar="SIZE", help="Host memory to plan with.")
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all.")
@STAGE
def matrix(out: Path | str, normalize: str, memory_limit: str, threads: int, stage: Path | None) -> None:
    """Write every pixel of every section x consensus channel as AnnData-Zarr.

    Each section is read in its own windows, mass drift included. Writes OUT/matrix/<section>.zarr, OUT/cohort.zarr with
    all of them, and OUT/means.csv.
    """
    with progress_bar(Path(out).name, "sections") as bar:
        done = study.write_matrix(
            out, normalize=normalize, memory_limit=memory_limit, threads=threads, stage=stage, progress=bar
        )
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{click.format_filename(done.path)}: {done.n_pixels} pixels x {done.n_channels} channels")
    next_step(out, "tables", "report")


cohort.add_command(report)


def _show_plan(planned: list[study.Planned], as_json: bool) -> int:
    if as_json:
        rows = [{"sample": p.sample.name, "path": p.sample.path, "action": p.action, "why": p.why} for p in planned]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for each in planned:
        click.echo(f"{each.action:<5} {each.sample.name}: {each.why}")
    counts = Counter(each.action for each in planned)
    click.echo(f"{counts['pick']} to pick, {counts['skip']} done, {counts['fail']} cannot be read")
    return 0


def _summary(done: study.CohortRun) -> dict[str, Any]:
    return {
        "folder": click.format_filename(done.out),
        "seconds": round(done.seconds, 3),
        "sections": [
            {"sample": p.sample.name, "action": p.action, "why": p.why, **_told(done.entries.get(p.sample.name))}
            for p in done.planned
        ],
    }


def _told(entry: study.Entry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    return {
        "status": entry.status,
        "reason": entry.reason,
        "picked": entry.picked,
        "candidates": entry.candidates,
        "results": list(entry.results),
        "warnings": list(entry.warnings),
    }


def _print(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=not stderr.is_terminal).print(table)


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[study.CohortProgress], None] | None]:
    """A bar over sections on a terminal; failures are printed as they happen."""
    if quiet:
        yield None
        return
    with progress_bar("sections", "sections", before="starting workers") as draw:

        def tell(progress: study.CohortProgress) -> None:
            last = progress.last
            if last is not None and last.status == "failed":
                stderr.print(Text(f"failed: {last.name}: {last.reason}"), soft_wrap=True)
            if draw is not None:
                draw(progress.skipped + progress.done + progress.failed, progress.total)

        yield tell
