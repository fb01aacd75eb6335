"""``ionmorphnet evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal, TypedDict, Unpack

import click

from ionmorphnet import Precision, ScorerName
from ionmorphnet import evaluate as ev
from ionmorphnet.base.devices import DeviceName
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import temporary_beside
from ionmorphnet.base.json_output import write_json
from ionmorphnet.base.versions import versions
from ionmorphnet.cli import _evaluate_tables as tables
from ionmorphnet.cli._open_options import open_options
from ionmorphnet.cli._shared import progress_bar, show_warnings
from ionmorphnet.io.mz_list import read_mz_list
from ionmorphnet.io.open_options import OpenOptions

Command = Callable[..., None]

_FILES = click.Path(path_type=Path, readable=False)


class _SharedOptions(TypedDict):
    models: tuple[str, ...]
    precision: Precision
    device: DeviceName
    threads: int
    draws: int
    kind: Literal["percentile", "bca"]
    seed: int
    json_path: Path | None
    plots: Path | None
    quiet: bool


class _Options(_SharedOptions, total=False):
    scorers: tuple[ScorerName, ...]
    no_model: bool
    no_baselines: bool


def _shared_options(command: Command) -> Command:
    options = [
        click.option(
            "--model",
            "models",
            multiple=True,
            metavar="NAME_OR_FOLDER",
            help="Model to evaluate; repeatable. [default: the bundled model]",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "f32", "bf16"]),
            default="auto",
            show_default=True,
            help="Precision of the models.",
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="NAME",
            help="Device of the models: auto, cpu, cuda or cuda:N.",
        ),
        click.option(
            "--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all cores."
        ),
        click.option(
            "--draws",
            type=click.IntRange(min=0),
            default=2000,
            show_default=True,
            help="Bootstrap resamples; 0: no intervals.",
        ),
        click.option(
            "--interval",
            "kind",
            type=click.Choice(["percentile", "bca"]),
            default="percentile",
            show_default=True,
            help="Kind of bootstrap interval.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the resamples."),
        click.option("--json", "json_path", type=_FILES, metavar="PATH", help="Also write the report as JSON."),
        click.option("--plots", type=_FILES, metavar="DIR", help="Also write plots (needs the extra [plots])."),
        click.option("--quiet", is_flag=True, help="No progress bar."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _set_options(command: Command) -> Command:
    options = [
        click.argument("files", nargs=-1, required=True, type=_FILES, metavar="SET..."),
        click.option(
            "--labels",
            multiple=True,
            type=_FILES,
            metavar="CSV",
            help="Label file of each SET, in the same order. [default: next to the SET]",
        ),
        click.option(
            "--ppm", type=float, default=3.0, show_default=True, help="Half width of m/z windows in ppm (imzML)."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _scorer_options(command: Command) -> Command:
    options = [
        click.option("--scorer", "scorers", multiple=True, metavar="NAME", help="Further scorer; repeatable."),
        click.option("--no-model", is_flag=True, help="Evaluate no model, only baselines and --scorer."),
        click.option("--no-baselines", is_flag=True, help="Leave classical statistics and total intensity out."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def evaluate() -> None:
    """Evaluate models and scores: classes, rankings and mSCF1."""


@evaluate.command(short_help="Compare predicted classes with labels.")
@_set_options
@open_options(ibd=False)
@_shared_options
def classifier(
    files: tuple[Path, ...], labels: tuple[Path, ...], ppm: float, opened: OpenOptions, **options: Unpack[_Options]
) -> None:
    """Compare the classes predicted by a model with the labels of images.

    SET is X.npz with X_labels.csv (index,key,label_a,label_b,structure), X.imzML with X.csv (mz,label), or a folder of
    such sections. With two labellings all values are means over both.
    """
    run = _Run(options, baselines=False)
    sets = run.scored(_load(files, labels, ppm, opened))
    report = ev.classifier_report(sets, options=run.bootstrap)
    tables.show(*tables.classifier_tables(report))
    run.finish("classifier", report.to_dict(), lambda plots, folder: plots.plot_classifier(report, folder))


@evaluate.command(short_help="Compare scores with structure grades or ordered pairs.")
@_set_options
@click.option(
    "--pairs",
    multiple=True,
    type=_FILES,
    metavar="CSV",
    help="File of each SET with ordered pairs to compare with instead of grades: columns better,worse with the index, "
    "key or m/z of the images, as in the labels.",
)
@click.option(
    "--positive-from",
    type=float,
    default=1.5,
    show_default=True,
    help="Grade from which an image counts as structured.",
)
@click.option(
    "-k",
    "k",
    type=click.IntRange(1),
    help="Number of images for precision at k. [default: the number of structured images]",
)
@_scorer_options
@open_options(ibd=False)
@_shared_options
def ranking(
    files: tuple[Path, ...],
    labels: tuple[Path, ...],
    ppm: float,
    pairs: tuple[Path, ...],
    positive_from: float,
    k: int | None,
    opened: OpenOptions,
    **options: Unpack[_Options],
) -> None:
    """Compare how models, classical statistics, total intensity and chance rank images by structure.

    SET is as for classifier; the labels need the column structure (0 to 3).
    """
    run = _Run(options)
    loaded = _load(files, labels, ppm, opened)
    if pairs:
        if len(pairs) != len(loaded):
            raise ArgumentError(f"{len(pairs)} files of pairs for {len(loaded)} sets; give one per set, in order")
        ordered = {each.name: ev.read_pairs(path, each) for each, path in zip(loaded, pairs, strict=True)}
        report = ev.pair_report(run.scored(loaded), ordered, options=run.bootstrap)
    else:
        report = ev.ranking_report(run.scored(loaded), positive_from=positive_from, k=k, options=run.bootstrap)
    tables.show(*tables.ranking_tables(report))
    texts = [f"{method}: {n} undefined scores are ranked last" for (_, method), n in report.undefined.items()]
    show_warnings(texts, name="ranking")
    run.finish(
        "ranking",
        report.to_dict() | {"positive_from": positive_from},
        lambda plots, folder: plots.plot_ranking(report, folder, positive_from=positive_from),
    )


@evaluate.command(short_help="Compare picked channels with the classes of a mask.")
@click.argument("files", nargs=-1, required=True, type=_FILES, metavar="SECTION...")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    type=_FILES,
    metavar="FILE",
    help="Class mask (H, W) of each SECTION, as NPY or NPZ. [default: X_mask.npz for X.imzML, array 'regions' of an "
    "NPZ]",
)
@click.option(
    "--picked",
    multiple=True,
    type=_FILES,
    metavar="CSV",
    help="List of picks (column mz) to evaluate instead of rankings; repeatable.",
)
@click.option(
    "-k",
    "k",
    type=click.IntRange(0),
    help="Number of channels that each method picks. [default: the number of informative channels of a simulated "
    "section (X_truth.csv), else the number of true channels at each threshold]",
)
@click.option(
    "--rule",
    type=click.Choice(["released", "strict"]),
    default="released",
    show_default=True,
    help="How the thresholds determine the true channels.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=float,
    help="Correlation threshold; repeatable. [default: 0.3, 0.4, 0.5 and 0.6]",
)
@click.option(
    "--axis",
    type=click.Choice(["auto", "bins", "peaks"]),
    default="auto",
    show_default=True,
    help="How the channels of an imzML file are found.",
)
@_scorer_options
@open_options(ibd=False)
@_shared_options
def mscf1(
    files: tuple[Path, ...],
    masks: tuple[Path, ...],
    picked: tuple[Path, ...],
    k: int | None,
    rule: Literal["released", "strict"],
    thresholds: tuple[float, ...],
    axis: Literal["auto", "bins", "peaks"],
    opened: OpenOptions,
    **options: Unpack[_Options],
) -> None:
    """Compute mSCF1, the mean spatial-class F1, of the best channels of each method or of lists of picks.

    SECTION is X.imzML with X_mask.npz next to it, as written by simulate, or X.npz with images, mz and regions.
    """
    if masks and len(masks) != len(files):
        raise ArgumentError(f"{len(masks)} masks for {len(files)} sections; give one per section, in order")
    if picked:
        unused = {"--plots": options["plots"], "--model": options["models"], "--scorer": options["scorers"], "-k": k}
        for name, value in unused.items():
            if value not in (None, ()):
                raise ArgumentError(f"{name} applies to rankings, which --picked replaces; leave one of them out")
    ev.require_unique_names(path.stem for path in files)
    lists = {path.name if len({p.name for p in picked}) == len(picked) else str(path): path for path in picked}
    picks = {name: read_mz_list(path) for name, path in lists.items()}
    run = _Run(options)
    reports, given = [], {}
    cuts: dict[str, list[ev.PickingReport]] = {}
    for i, path in enumerate(files):
        with ev.open_bins(path, masks[i] if masks else None, axis=axis, **opened) as section:
            truth = section.truth(rule=rule, thresholds=thresholds or ev.THRESHOLDS)
            if picks:
                given[section.name] = {name: truth.judge(mz) for name, mz in picks.items()}
                continue
            with progress_bar(path.name, "images", quiet=run.quiet) as progress:
                scores = section.scores(run.methods, progress=progress)

            judge = partial(
                ev.picking_report,
                truth,
                scores,
                run.methods.kinds,
                seed=run.bootstrap.seed,
                options=run.bootstrap,
                images=section.images,
            )
            reports.append(judge(k=k if k is not None else section.n_informative, name=section.name))
            if k is None:
                for model, cut in ev.default_cuts(scores, run.methods).items():
                    cuts.setdefault(model, []).append(judge(k=cut, name=f"{section.name}, default cut of {model}"))
    for name, results in given.items():
        tables.show(tables.given_picks_table(name, results), *(tables.class_table(n, r) for n, r in results.items()))
        show_warnings([text for result in results.values() for text in result.warnings], name=name)
    mean = ev.mean_of_sections(reports, options=run.bootstrap) if len(reports) > 1 else None
    tables.show(*tables.picking_tables(reports, mean))
    for of_model in cuts.values():
        mean_cut = ev.mean_of_sections(of_model, options=run.bootstrap) if len(of_model) > 1 else None
        tables.show(*tables.picking_tables(of_model, mean_cut))
    document: dict[str, object] = {"sections": [report.to_dict() for report in reports]}
    if cuts:
        document["default_cuts"] = {model: [report.to_dict() for report in found] for model, found in cuts.items()}
    if mean is not None:
        document["mean"] = mean.to_dict("records")
    if given:
        document["picked"] = {n: {title: vars(found) for title, found in r.items()} for n, r in given.items()}
    run.finish("mscf1", document, lambda plots, folder: plots.plot_picking(reports, folder))


class _Run:
    """Setup and output shared by the subcommands."""

    def __init__(self, options: _Options, *, baselines: bool = True) -> None:
        self.plots: Path | None = options["plots"]
        self.json_path: Path | None = options["json_path"]
        self.quiet: bool = options["quiet"]
        if self.plots is not None:
            from ionmorphnet.base.extras import require_matplotlib

            require_matplotlib()
            existing = next(path for path in (self.plots, *self.plots.absolute().parents) if path.exists())
            if not existing.is_dir():
                raise FileError(f"{existing}: is a file; choose a folder for the plots")
        if self.json_path is not None:
            temporary_beside(self.json_path)  # reports an unusable path before any work is done
        self.bootstrap = ev.BootstrapOptions(options["draws"], seed=options["seed"], kind=options["kind"])
        self.models: tuple[str | None, ...] = options["models"] or (None,)
        if options.get("no_model"):
            if options["models"]:
                raise ArgumentError("--no-model and --model exclude each other; give only one of them")
            self.models = ()
        self.baselines = baselines and not options.get("no_baselines", False)
        self.options = options
        self._methods: ev.Methods | None = None

    @property
    def methods(self) -> ev.Methods:
        """The methods, started on first use so that unreadable inputs are reported earlier."""
        if self._methods is None:
            self._methods = ev.make_methods(
                self.models,
                self.options.get("scorers", ()),
                baselines=self.baselines,
                precision=self.options["precision"],
                device=self.options["device"],
                threads=self.options["threads"],
            )
        return self._methods

    def scored(self, sets: list[ev.EvaluationSet]) -> list[ev.ScoredSet]:
        """Scores every set."""
        scored = []
        for each in sets:
            with progress_bar(each.name, "images", quiet=self.quiet) as progress:
                scored.append(ev.score_set(each, self.methods, progress=progress))
        return scored

    def finish(self, command: str, report: dict[str, object], draw: Callable[[ModuleType, Path], list[Path]]) -> None:
        """Writes the requested files."""
        if self.json_path is not None:
            write_json(self.json_path, {"command": command, **report, "methods": self._described(), **self._record()})
            click.echo(f"{self.json_path}")
        if self.plots is not None:
            from ionmorphnet.evaluate import plots

            for path in draw(plots, self.plots):
                click.echo(f"{path}")

    def _described(self) -> list[dict[str, object]]:
        if self._methods is None:
            return []
        described: list[dict[str, object]] = []
        for name, scorer in self._methods.scorers.items():
            model = scorer.model
            described.append(
                {
                    "name": name,
                    "scorer": scorer.name,
                    "precision": scorer.precision,
                    "sha256": None if model is None else model.sha256,
                    "score": scorer.description,
                }
            )
        return described

    def _record(self) -> dict[str, object]:
        b = self.bootstrap
        options = {"draws": b.draws, "level": b.level, "seed": b.seed, "interval": b.kind}
        return {"bootstrap": options, "versions": versions()}


def _load(files: tuple[Path, ...], labels: tuple[Path, ...], ppm: float, opened: OpenOptions) -> list[ev.EvaluationSet]:
    if labels and len(labels) != len(files):
        raise ArgumentError(f"{len(labels)} label files for {len(files)} sets; give one per set, in order")
    given = labels or (None,) * len(files)
    sets = [each for path, csv in zip(files, given, strict=True) for each in ev.load_sets(path, csv, ppm=ppm, **opened)]
    ev.require_unique_names(each.name for each in sets)
    for each in sets:
        show_warnings(each.notes, name=each.name)
    return sets
