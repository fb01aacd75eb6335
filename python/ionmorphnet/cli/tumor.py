"""``ionmorphnet tumor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.base.files import make_folder
from ionmorphnet.cli._shared import log_shown, progress_bar, spinner
from ionmorphnet.cli._tumor_tables import show_importance, show_report
from ionmorphnet.io.mz_list import parse_mz_values

Command = Callable[..., None]
Progress = Callable[[str, int, int], None]

_FILE = click.Path(path_type=Path, readable=False)
_SELECTIONS = click.Choice(["picked", "moran", "intensity", "random", "all"])
_OUTPUTS = ("npz", "png", "h5ad")


def _with(command: Command, options: list[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _cohort_options(command: Command) -> Command:
    return _with(
        command,
        [
            click.argument("cohort_csv", type=_FILE, metavar="COHORT.csv"),
            click.option(
                "--labels",
                metavar="MAP",
                help="Class of each region: 1=normal,2=tumor, or a JSON file. Default: every region is a class.",
            ),
        ],
    )


def _channel_options(command: Command) -> Command:
    return _with(
        command,
        [
            click.option(
                "--mz",
                metavar="LIST",
                help="Channels: m/z values, or a CSV (peaks.csv keeps its windows). Default: all that are found.",
            ),
            click.option(
                "--picks",
                multiple=True,
                type=_FILE,
                metavar="CSV",
                help="peaks.csv of a section; repeatable: the channels that half of them share.",
            ),
            click.option("--ppm", type=click.FloatRange(0, min_open=True), help="Half width of the windows, ppm."),
            click.option("--tol", type=click.FloatRange(0, min_open=True), help="Half width of the windows, m/z."),
            click.option(
                "--top",
                type=click.IntRange(1),
                help="Channels to select. [40; all of --mz or --picks, unless this or --channels is given]",
            ),
            click.option(
                "--normalisation",
                type=click.Choice(["none", "tic", "rms", "median"]),
                default="tic",
                show_default=True,
            ),
        ],
    )


def _run_options(command: Command) -> Command:
    return _with(
        command,
        [
            click.option("--size", type=click.IntRange(1), default=9, show_default=True, help="Side of a patch, odd."),
            click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of a network."),
            click.option("--batch", type=click.IntRange(2), metavar="N", help="Patches a step."),
            click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
            click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]"),
            click.option("--threads", type=click.IntRange(1), help="CPU threads; default: all."),
            click.option("--memory-limit", default="4GB", show_default=True, metavar="SIZE"),
            click.option("--resume/--no-resume", default=True, show_default=True, help="Go on with what is in OUT."),
            click.option("--quiet", is_flag=True, help="No progress bar."),
        ],
    )


@click.group()
def tumor() -> None:
    """Classify tissue by patches of picked channels.

    COHORT.csv lists sections: file (imzML), regions (mask npy, png or tif, or GeoJSON) and patient.
    """


@tumor.command(short_help="Train on a cohort, leave a model folder.")
@_cohort_options
@click.option("-o", "--out", required=True, type=_FILE, metavar="OUT", help="Receives training/ and model/.")
@_channel_options
@click.option("--channels", "selection", type=_SELECTIONS, help="How they are selected. [picked]")
@click.option("--validation/--no-validation", "validate", default=True, show_default=True, help="Hold a patient out.")
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True)
@_run_options
def train(
    cohort_csv: Path,
    labels: str | None,
    out: Path,
    mz: str | None,
    picks: tuple[Path, ...],
    batch: int | None,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train the 3D CNN on all sections of COHORT.csv, or go on with a stopped training in OUT."""
    from ionmorphnet import tumor as api

    if not resume and (out / "training" / "last.pt").exists():
        raise ArgumentError(f"{out}: holds a training already; resume it or choose another folder")
    cohort = _read(cohort_csv, labels)
    recipe = {} if batch is None else {"batch": batch}
    with log_shown(), _bar(str(out), quiet) as progress:
        done = api.train_tumor(out, cohort, channels=_channels(mz, picks), recipe=recipe, progress=progress, **options)
    cost = done.model.config["cost"]
    early = ", stopped early" if done.stopped_early else ""
    click.echo(
        f"{len(done.model.axis)} channels, {done.model.size} x {done.model.size} pixels, {cost['parameters']} "
        f"parameters, {cost['multiply_adds'] / 1e6:.2f} million multiply-adds a patch"
    )
    click.echo(f"{done.steps} steps in {done.seconds:.0f} s ({done.patches_per_s:.0f} patches/s){early}")
    if done.validation is not None:
        figures = done.validation
        click.echo(
            f"on {done.validated_on}, held out, at step {figures['step']:.0f}: loss {figures['loss']:.4f}, balanced "
            f"accuracy {figures['balanced_accuracy']:.3f}"
        )
    click.echo(f"  {done.model.folder}")


@tumor.command(short_help="Judge the network and pixel-wise classifiers on new patients.")
@_cohort_options
@click.option("-o", "--out", required=True, type=_FILE, metavar="OUT", help="Receives all figures.")
@_channel_options
@click.option(
    "--channels",
    "selections",
    multiple=True,
    type=_SELECTIONS,
    help="Judge all methods on these selections; repeatable. [picked]",
)
@click.option(
    "--ablation", multiple=True, type=_SELECTIONS, help="Judge two methods on these too, as many channels; repeatable."
)
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Instead of all methods; repeatable.")
@click.option(
    "--ablation-method", "ablation_methods", multiple=True, metavar="NAME", help="Repeatable. [lda and cnn3d]"
)
@click.option("--protocol", type=click.Choice(["leave-one-out", "k-fold"]), default="leave-one-out", show_default=True)
@click.option("--by", type=click.Choice(["patient", "section"]), default="patient", show_default=True)
@click.option("-k", "k", type=click.IntRange(2), default=5, show_default=True, help="Folds of k-fold.")
@click.option("--split", type=_FILE, metavar="JSON", help='Folds: [{"train": [names], "test": [names]}].')
@click.option(
    "--blocks", nargs=2, type=click.IntRange(1), metavar="ROWS COLUMNS", help="Cut sections into spatial blocks."
)
@click.option("--buffer", type=click.IntRange(0), help="Pixels along their borders without labels.")
@click.option("--inner/--no-inner", default=True, show_default=True, help="Stop networks by a held-out patient.")
@click.option("--draws", type=click.IntRange(0), default=2000, show_default=True, help="Bootstrap resamples.")
@click.option("--plots", type=_FILE, metavar="DIR", help="Also write plots (needs the extra [plots]).")
@_run_options
def evaluate(
    cohort_csv: Path,
    labels: str | None,
    out: Path,
    mz: str | None,
    picks: tuple[Path, ...],
    ppm: float | None,
    tol: float | None,
    batch: int | None,
    split: Path | None,
    device: str,
    memory_limit: str,
    resume: bool,
    draws: int,
    plots: Path | None,
    quiet: bool,
    threads: int | None,
    **options: Any,
) -> None:
    """Judge the 3D CNN and pixel-wise classifiers on patients of COHORT.csv that they have not seen.

    What is in OUT already is not computed again, so a stopped evaluation goes on.
    """

    from ionmorphnet import tumor as api
    from ionmorphnet.evaluate import BootstrapOptions

    if plots is not None:
        from ionmorphnet.evaluate.figures import require_matplotlib

        require_matplotlib()
    cohort = _read(cohort_csv, labels)
    given = {name: value for name, value in options.items() if value not in ((), None)}
    plan = api.EvaluationPlan(
        threads=threads or usable_cores(), recipe={} if batch is None else {"batch": batch}, **given
    )
    with log_shown(), _bar(str(out), quiet) as progress:
        report = api.evaluate_cohort(
            out,
            cohort,
            plan,
            channels=_channels(mz, picks),
            ppm=ppm,
            tol=tol,
            split=split,
            device=device,
            memory_limit=memory_limit,
            options=BootstrapOptions(draws),
            resume=resume,
            progress=progress,
        )
    show_report(report)
    click.echo(f"  {out / 'report.json'}")
    if plots is not None:
        from ionmorphnet.tumor.plots import plot_report

        for path in plot_report(report, plots):
            click.echo(f"  {path}")


@tumor.command(short_help="Class-probability maps of new sections.")
@click.argument("model", type=_FILE)
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option("-o", "--out", required=True, type=_FILE, metavar="OUT", help="Folder for <stem>.npz and others.")
@click.option("--format", "formats", default="npz,png", show_default=True, help="Of npz, png (overlay), h5ad.")
@click.option(
    "--missing",
    type=click.Choice(["error", "mean"]),
    default="error",
    show_default=True,
    help="Channels that a file does not reach: refuse it, or take the training mean (models without normalisation).",
)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]")
@click.option("--threads", type=click.IntRange(0), default=0, metavar="N", help="CPU threads; 0: all.")
@click.option("--memory-limit", default="4GB", show_default=True, metavar="SIZE")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def predict(model: Path, files: tuple[Path, ...], out: Path, formats: str, quiet: bool, **options: Any) -> int:
    """Predict the class of every pixel of FILE... with the model folder MODEL."""
    from ionmorphnet import tumor as api

    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in _OUTPUTS]
    if unknown or not wanted:
        raise ArgumentError(f"formats are {', '.join(_OUTPUTS)}, not '{formats}'")
    stems = [path.stem for path in files]
    if len(set(stems)) < len(stems):
        raise ArgumentError("two files have one name; predict them into folders of their own")
    loaded = api.load_tumor_model(model)
    make_folder(out)
    failed = 0
    for path in files:
        try:
            with log_shown(), progress_bar(path.name, "pixels", quiet=quiet, before="reading") as progress:
                prediction = api.predict(loaded, path, progress=progress, **options)
            _write(prediction, out / path.stem, wanted)
        except IonMorphNetError as error:
            if len(files) == 1:
                raise
            click.echo(f"error: {error}", err=True)
            failed += 1
            continue
        click.echo(repr(prediction))
        for name in wanted:
            click.echo(f"  {out / path.stem}.{name}")
    return 0 if not failed else 1 if failed < len(files) else 2


@tumor.command(short_help="Which channels a model relies on.")
@click.argument("model", type=_FILE)
@_cohort_options
@click.option("-o", "--out", required=True, type=_FILE, metavar="CSV", help="Ranked table.")
@click.option(
    "--by", "method", type=click.Choice(["auto", "occlusion", "gradients"]), default="auto", show_default=True
)
@click.option("--pixels", type=click.IntRange(1), default=512, show_default=True, help="Pixels to look at.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--plots", type=_FILE, metavar="DIR", help="Also write a plot (needs the extra [plots]).")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def explain(
    model: Path, cohort_csv: Path, labels: str | None, out: Path, plots: Path | None, quiet: bool, **options: Any
) -> None:
    """Rank the channels of MODEL by what it loses without them, on labelled pixels of COHORT.csv."""
    from ionmorphnet import tumor as api
    from ionmorphnet.base.files import atomic_path

    loaded = api.load_tumor_model(model)
    with log_shown(), progress_bar(model.name, "channels", quiet=quiet, before="reading") as progress:
        table = api.explain(loaded, _read(cohort_csv, labels), progress=progress, **options)
    with atomic_path(out) as temporary:
        table.to_csv(temporary, index=False)
    show_importance(table)
    click.echo(f"  {out}")
    if plots is not None:
        from ionmorphnet.tumor.plots import plot_importance

        click.echo(f"  {plot_importance(table, plots)}")


@tumor.command(short_help="Write a simulated cohort with known truth.")
@click.argument("out", type=_FILE, metavar="OUT")
@click.option("--patients", type=click.IntRange(2), default=6, show_default=True)
@click.option("--sections", type=click.IntRange(1), default=2, show_default=True, help="Sections of each patient.")
@click.option("--shape", nargs=2, type=click.IntRange(24), default=(44, 52), show_default=True, metavar="H W")
@click.option("--channels", "n_channels", type=click.IntRange(20), default=200, show_default=True, metavar="N")
@click.option("--difficulty", type=click.Choice(["easy", "medium", "hard"]), default="medium", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def simulate(out: Path, **options: Any) -> None:
    """Write a cohort of simulated sections with tumors into the folder OUT."""
    from ionmorphnet import tumor as api

    with progress_bar(str(out), "sections") as progress:
        cohort = api.simulate_cohort(out, progress=progress, **options)
    click.echo(
        f"{options['patients'] * options['sections']} sections, {len(cohort.truth)} channels, seed {cohort.seed}"
    )
    click.echo(f"  ionmorphnet tumor evaluate {cohort.list_path} --labels {cohort.label_path} -o OUT")


def _read(path: Path, labels: str | None) -> Any:
    from ionmorphnet import tumor as api

    with spinner(f"{path.name}: reading"):
        return api.read_cohort(path, labels=None if labels is None else api.parse_label_map(labels))


def _channels(mz: str | None, picks: tuple[Path, ...]) -> Any:
    if mz is not None and picks:
        raise ArgumentError("give --mz or --picks, not both")
    if picks:
        return list(picks)
    if mz is None:
        return None
    return Path(mz) if Path(mz).suffix.lower() == ".csv" else parse_mz_values(mz)


def _write(prediction: Any, stem: Path, wanted: list[str]) -> None:
    from ionmorphnet import tumor as api
    from ionmorphnet.io.h5ad import write_h5ad

    for name in wanted:
        path = stem.with_name(f"{stem.name}.{name}")
        if name == "npz":
            api.write_npz(prediction, path)
        elif name == "png":
            api.write_overlay(prediction, path)
        else:
            write_h5ad(api.to_anndata(prediction), path)


@contextmanager
def _bar(title: str, quiet: bool) -> Iterator[Progress | None]:
    """Progress with a text of what is done now; None where no bar is drawn."""
    with progress_bar(title, "", quiet=quiet, before="starting") as advance:
        if advance is None:
            yield None
            return
        draw = advance
        yield lambda _text, done, total: draw(done, total)
