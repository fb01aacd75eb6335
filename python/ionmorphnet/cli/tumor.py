"""``ionmorphnet tumor``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from ionmorphnet.base.devices import DeviceName
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.base.files import filled_folder
from ionmorphnet.cli._open_options import open_options
from ionmorphnet.cli._shared import log_shown, progress_bar, spinner
from ionmorphnet.cli._tumor_options import (
    FILE,
    ExplainOptions,
    PlanOptions,
    PredictOptions,
    SimulateOptions,
    TrainOptions,
    channel_options,
    cohort_options,
    device_option,
    memory_option,
    run_options,
    threads_option,
)
from ionmorphnet.cli._tumor_tables import show_importance, show_report
from ionmorphnet.io.inputs import listed_inputs
from ionmorphnet.io.mz_list import parse_mz_values
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.io.prediction_files import refuse_other_prediction

if TYPE_CHECKING:
    from ionmorphnet.tumor import Cohort, Prediction
    from ionmorphnet.tumor.channels import ChannelsLike

Progress = Callable[[str, int, int], None]

_SELECTIONS = click.Choice(["picked", "moran", "intensity", "random", "anova", "all"])
_ADAPTATIONS = click.Choice(["none", "prior"])
_SMOOTHINGS = click.Choice(["none", "gaussian", "crf"])
_OUTPUTS = ("npz", "png", "h5ad")


@click.group()
def tumor() -> None:
    """Classify tissue from patches of picked channels.

    COHORT.csv lists sections with the columns file (imzML), regions (mask as npy, png or tif, or GeoJSON) and patient.
    """


@tumor.command(short_help="Train a model on a cohort.")
@cohort_options
@click.option("-o", "--out", required=True, type=FILE, metavar="OUT", help="Folder for training/ and model/.")
@click.option(
    "--method",
    default="pls-texture",
    show_default=True,
    metavar="NAME",
    help="cnn3d, or lda, logistic, pls, svm or rbf, followed by -mean, -meanstd or -texture for local features.",
)
@channel_options
@click.option("--channels", "selection", type=_SELECTIONS, help="How channels are selected. [default: picked]")
@click.option(
    "--validation/--no-validation",
    "validate",
    default=True,
    show_default=True,
    help="Hold one patient out for early stopping of a network.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16"]),
    default="auto",
    show_default=True,
    help="Precision of the training; auto: bf16 on a GPU, f32 on a CPU.",
)
@open_options(ibd=False)
@run_options
def train(
    cohort_csv: Path,
    labels: str | None,
    out: Path,
    mz: str | None,
    picks: tuple[Path, ...],
    batch: int | None,
    resume: bool,
    quiet: bool,
    opened: OpenOptions,
    **options: Unpack[TrainOptions],
) -> None:
    """Train a classifier on all sections of COHORT.csv, or resume the stopped training of a network in OUT."""
    from ionmorphnet import tumor as api

    if not resume and (out / "training" / "last.pt").exists():
        raise ArgumentError(f"{out}: contains a training; resume it or choose another folder")
    cohort = _read(cohort_csv, labels, opened)
    recipe = {} if batch is None else {"batch": batch}
    with log_shown(), _bar(str(out), quiet) as progress:
        done = api.train_tumor(out, cohort, channels=_channels(mz, picks), recipe=recipe, progress=progress, **options)
    cost = done.model.config["cost"]
    early = ", stopped early" if done.stopped_early else ""
    click.echo(
        f"{len(done.model.axis)} channels, {done.model.size} x {done.model.size} pixels, {cost['parameters']:,} "
        f"parameters, {cost['multiply_adds']:,} multiply-adds per patch"
    )
    if done.chosen:
        shown = [f"{name} {value}" for name, value in done.chosen.items() if name != "inner_auc"]
        area = done.chosen["inner_auc"]
        shown += [] if math.isnan(area) else [f"AUC {area:.3f} in inner folds"]
        click.echo(f"{options['method']}: {', '.join(shown)}")
    else:
        click.echo(f"{done.steps} steps in {done.seconds:.0f} s ({done.patches_per_s:.0f} patches/s){early}")
    if done.validation is not None:
        figures = done.validation
        click.echo(
            f"held-out patient {done.validated_on}, step {figures['step']:.0f}: loss {figures['loss']:.4f}, balanced "
            f"accuracy {figures['balanced_accuracy']:.3f}"
        )
    click.echo(f"  {done.model.folder}")


@tumor.command(short_help="Compare the network with pixel-wise classifiers on unseen patients.")
@cohort_options
@click.option("-o", "--out", required=True, type=FILE, metavar="OUT", help="Folder for all results.")
@channel_options
@click.option(
    "--channels",
    "selections",
    multiple=True,
    type=_SELECTIONS,
    help="Selection on which all methods are compared; repeatable. [default: picked]",
)
@click.option(
    "--ablation",
    multiple=True,
    type=_SELECTIONS,
    help="Further selection, with as many channels, for the ablation methods only; repeatable.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Method to compare, such as svm-mean; repeatable. [default: one of each kind]",
)
@click.option(
    "--ablation-method",
    "ablation_methods",
    multiple=True,
    metavar="NAME",
    help="Method of the ablation; repeatable. [default: pls-texture and cnn3d]",
)
@click.option(
    "--protocol",
    type=click.Choice(["leave-one-out", "k-fold"]),
    default="leave-one-out",
    show_default=True,
    help="How the cohort is divided into folds.",
)
@click.option(
    "--by", type=click.Choice(["patient", "section"]), default="patient", show_default=True, help="What is held out."
)
@click.option("-k", "k", type=click.IntRange(2), default=5, show_default=True, help="Number of folds of k-fold.")
@click.option(
    "--split",
    type=FILE,
    metavar="JSON",
    help='File with folds, [{"train": [names], "test": [names]}]; replaces --protocol, --by and -k.',
)
@click.option(
    "--blocks",
    nargs=2,
    type=click.IntRange(1),
    metavar="ROWS COLUMNS",
    help="Cut each section into spatial blocks that count as patients.",
)
@click.option(
    "--buffer",
    type=click.IntRange(0),
    metavar="PIXELS",
    help="Width of the unlabelled strip along borders between blocks. [default: half a patch]",
)
@click.option(
    "--inner/--no-inner", default=True, show_default=True, help="Hold out a training patient for early stopping."
)
@click.option(
    "--adapt",
    multiple=True,
    type=_ADAPTATIONS,
    help="Adaptation of the probabilities to the class frequencies of each section, without labels; repeatable. "
    "[default: none]",
)
@click.option(
    "--smooth",
    multiple=True,
    type=_SMOOTHINGS,
    help="Smoothing of the probabilities over neighbours; repeatable. [default: none]",
)
@click.option(
    "--draws", type=click.IntRange(0), default=2000, show_default=True, help="Bootstrap resamples; 0: no intervals."
)
@click.option("--plots", type=FILE, metavar="DIR", help="Also write plots (needs the extra [plots]).")
@open_options(ibd=False)
@run_options
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
    device: DeviceName,
    memory_limit: str,
    resume: bool,
    draws: int,
    plots: Path | None,
    quiet: bool,
    opened: OpenOptions,
    **options: Unpack[PlanOptions],
) -> None:
    """Compare the 3D CNN with classifiers of pixels and local features on unseen patients of COHORT.csv.

    Results in OUT are reused, so the same command resumes a stopped evaluation.
    """
    from ionmorphnet import tumor as api
    from ionmorphnet.evaluate import BootstrapOptions

    if plots is not None:
        from ionmorphnet.base.extras import require_matplotlib

        require_matplotlib()
    cohort = _read(cohort_csv, labels, opened)
    given: dict[str, Any] = {name: value for name, value in options.items() if value not in ((), None)}
    plan = api.EvaluationPlan(recipe={} if batch is None else {"batch": batch}, **given)
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


@tumor.command(short_help="Predict class probabilities of sections.")
@click.argument("model", type=FILE)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("-o", "--out", required=True, type=FILE, metavar="OUT", help="Folder for the output files.")
@click.option(
    "--format",
    "formats",
    default="npz,png",
    show_default=True,
    metavar="LIST",
    help="Output formats: npz, png (overlay) and h5ad, separated by commas.",
)
@click.option(
    "--missing",
    type=click.Choice(["error", "mean"]),
    default="error",
    show_default=True,
    help="Channels outside a file's m/z range: refuse the file, or use the training mean (models without "
    "normalisation only).",
)
@click.option(
    "--adapt",
    type=_ADAPTATIONS,
    default="none",
    show_default=True,
    help="Adaptation of the probabilities to the class frequencies of each section, without labels.",
)
@click.option(
    "--smooth",
    type=_SMOOTHINGS,
    default="none",
    show_default=True,
    help="Smoothing of the probabilities over neighbours.",
)
@device_option
@threads_option
@memory_option
@open_options()
@click.option("--overwrite", is_flag=True, help="Replace predictions of other files in OUT.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def predict(
    model: Path,
    files: tuple[Path, ...],
    out: Path,
    formats: str,
    overwrite: bool,
    quiet: bool,
    opened: OpenOptions,
    **options: Unpack[PredictOptions],
) -> int:
    """Predict the class probabilities of every pixel of FILE... with the model folder MODEL.

    For X.imzML the folder OUT receives X.npz, X.png and X.h5ad, depending on --format. A FILE that is a folder is
    searched; files of one name get as many parent folders in front as tell them apart.
    """
    from ionmorphnet import tumor as api

    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in _OUTPUTS]
    if unknown or not wanted:
        raise ArgumentError(f"formats must be among {', '.join(_OUTPUTS)}, not '{formats}'")
    inputs = listed_inputs(files)
    checked_open_options(opened, function="predict", paths=inputs)
    loaded = api.load_tumor_model(model)
    failed = 0
    with filled_folder(out):
        for given in inputs:
            target = out / given.name
            try:
                if given.problem is not None:
                    raise given.problem
                if not overwrite:
                    refuse_other_prediction(target, given.path, wanted)
                with log_shown(), progress_bar(given.shown, "pixels", quiet=quiet, before="reading") as progress:
                    prediction = api.predict(loaded, given.path, progress=progress, **opened, **options)
                with filled_folder(target.parent):
                    _write(prediction, target, wanted)
            except IonMorphNetError as error:
                if len(inputs) == 1:
                    raise
                click.echo(f"error: {error}", err=True)
                failed += 1
                continue
            click.echo(repr(prediction))
            for name in wanted:
                click.echo(f"  {target}.{name}")
    return 0 if not failed else 1 if failed < len(inputs) else 2


@tumor.command(short_help="Rank the channels of a model by importance.")
@click.argument("model", type=FILE)
@cohort_options
@click.option("-o", "--out", required=True, type=FILE, metavar="CSV", help="File for the ranked table.")
@click.option(
    "--by",
    "method",
    type=click.Choice(["auto", "permutation", "gradients"]),
    default="auto",
    show_default=True,
    help="Measure of importance; auto: permutation for up to 300 channels, else integrated gradients.",
)
@click.option("--pixels", type=click.IntRange(1), default=512, show_default=True, help="Number of labelled pixels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the choice of pixels.")
@click.option("--plots", type=FILE, metavar="DIR", help="Also write a plot (needs the extra [plots]).")
@open_options(ibd=False)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def explain(
    model: Path,
    cohort_csv: Path,
    labels: str | None,
    out: Path,
    plots: Path | None,
    quiet: bool,
    opened: OpenOptions,
    **options: Unpack[ExplainOptions],
) -> None:
    """Rank the channels of MODEL by their importance for labelled pixels of COHORT.csv."""
    from ionmorphnet import tumor as api
    from ionmorphnet.base.files import atomic_path

    loaded = api.load_tumor_model(model)
    with log_shown(), progress_bar(model.name, "channels", quiet=quiet, before="reading") as progress:
        table = api.explain(loaded, _read(cohort_csv, labels, opened), progress=progress, **options)
    with atomic_path(out) as temporary:
        table.to_csv(temporary, index=False)
    show_importance(table)
    click.echo(f"  {out}")
    if plots is not None:
        from ionmorphnet.tumor.plots import plot_importance

        click.echo(f"  {plot_importance(table, plots)}")


@tumor.command(short_help="Simulate a cohort with known truth.")
@click.argument("out", type=FILE, metavar="OUT")
@click.option("--patients", type=click.IntRange(2), default=6, show_default=True, help="Number of patients.")
@click.option("--sections", type=click.IntRange(1), default=2, show_default=True, help="Sections per patient.")
@click.option(
    "--shape",
    nargs=2,
    type=click.IntRange(24),
    default=(44, 52),
    show_default=True,
    metavar="H W",
    help="Height and width of a section in pixels.",
)
@click.option(
    "--channels",
    "n_channels",
    type=click.IntRange(20),
    default=200,
    show_default=True,
    metavar="N",
    help="Number of m/z channels.",
)
@click.option(
    "--difficulty",
    type=click.Choice(["easy", "medium", "hard"]),
    default="medium",
    show_default=True,
    help="How hard the tumor is to detect.",
)
@click.option(
    "--texture-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of informative channels that show the tumor by their pattern only; the others by their level.",
)
@click.option(
    "--mixed-share",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Share of informative channels that do both; none if --texture-share is 0 or 1.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")
def simulate(out: Path, **options: Unpack[SimulateOptions]) -> None:
    """Simulate sections of several patients with tumors and write them to the folder OUT."""
    from ionmorphnet import tumor as api

    with progress_bar(str(out), "sections") as progress:
        cohort = api.simulate_cohort(out, progress=progress, **options)
    click.echo(
        f"{options['patients'] * options['sections']} sections, {len(cohort.truth)} channels, seed {cohort.seed}"
    )
    click.echo(f"  ionmorphnet tumor evaluate {cohort.list_path} --labels {cohort.label_path} -o OUT")


def _read(path: Path, labels: str | None, opened: OpenOptions) -> Cohort:
    from ionmorphnet import tumor as api

    with spinner(f"{path.name}: reading"):
        return api.read_cohort(path, labels=None if labels is None else api.parse_label_map(labels), **opened)


def _channels(mz: str | None, picks: tuple[Path, ...]) -> ChannelsLike:
    if mz is not None and picks:
        raise ArgumentError("--mz and --picks exclude each other; give only one of them")
    if picks:
        return list(picks)
    if mz is None:
        return None
    return Path(mz) if Path(mz).suffix.lower() == ".csv" else parse_mz_values(mz)


def _write(prediction: Prediction, stem: Path, wanted: list[str]) -> None:
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
    """Yields progress(text, done, total), or None if no bar is drawn."""
    with progress_bar(title, "", quiet=quiet, before="starting") as advance:
        if advance is None:
            yield None
            return
        draw = advance
        yield lambda _text, done, total: draw(done, total)
