"""``ionmorphnet evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ionmorphnet import evaluate as ev
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import temporary_beside
from ionmorphnet.base.json_output import write_json
from ionmorphnet.base.versions import versions
from ionmorphnet.cli import _evaluate_tables as tables
from ionmorphnet.cli._shared import progress_bar, show_warnings
from ionmorphnet.evaluate.evaluation_set import require_own_names
from ionmorphnet.io.mz_list import read_mz_list

Command = Callable[..., None]

_FILES = click.Path(path_type=Path, readable=False)


def _shared_options(command: Command) -> Command:
    options = [
        click.option("--model", "models", multiple=True, metavar="NAME_OR_FOLDER", help="Model; may be repeated."),
        click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="NAME",
            help="Where the models run: auto, cpu, cuda or cuda:N.",
        ),
        click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all."),
        click.option(
            "--draws", type=click.IntRange(min=0), default=2000, show_default=True, help="Bootstrap resamples; 0: none."
        ),
        click.option(
            "--interval", "kind", type=click.Choice(["percentile", "bca"]), default="percentile", show_default=True
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
            help="Labels of each SET, in the same order; default: beside it.",
        ),
        click.option("--ppm", type=float, default=3.0, show_default=True, help="Half width of imzML windows."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _scorer_options(command: Command) -> Command:
    options = [
        click.option("--scorer", "scorers", multiple=True, metavar="NAME", help="Further scorer; may be repeated."),
        click.option("--no-model", is_flag=True, help="Baselines and --scorer only."),
        click.option("--no-baselines", is_flag=True, help="Leave the classical statistics out."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def evaluate() -> None:
    """Judge models and scores: class labels, rankings by structure, mSCF1."""


@evaluate.command(short_help="Classes against labels.")
@_set_options
@_shared_options
def classifier(files: tuple[Path, ...], labels: tuple[Path, ...], ppm: float, **options: Any) -> None:
    """Judge the classes that a model gives to labelled images.

    SET: X.npz with X_labels.csv (index,key,label_a,label_b,structure), or X.imzML with X.csv (mz,label), or a folder of
    such sections. With two labellings every figure is the mean over both.
    """
    run = _Run(options, baselines=False)
    sets = run.scored(_load(files, labels, ppm))
    report = ev.classifier_report(sets, options=run.bootstrap)
    tables.show(*tables.classifier_tables(report))
    run.finish("classifier", report.to_dict(), lambda plots, folder: plots.plot_classifier(report, folder))


@evaluate.command(short_help="Scores against grades of structure, or against pairs.")
@_set_options
@click.option(
    "--pairs",
    multiple=True,
    type=_FILES,
    metavar="CSV",
    help="Compare with ordered pairs instead of grades: columns better,worse, which name images as the labels do, by "
    "index, or else by key or m/z; one for each SET.",
)
@click.option(
    "--positive-from", type=float, default=1.5, show_default=True, help="Grade from which an image is structured."
)
@click.option("-k", "k", type=click.IntRange(1), help="For precision at k; default: the number of structured images.")
@_scorer_options
@_shared_options
def ranking(
    files: tuple[Path, ...],
    labels: tuple[Path, ...],
    ppm: float,
    pairs: tuple[Path, ...],
    positive_from: float,
    k: int | None,
    **options: Any,
) -> None:
    """Judge how models, classical statistics, total intensity and chance rank images by structure.

    SET: as for classifier; the labels need the column structure (0 to 3).
    """
    run = _Run(options)
    loaded = _load(files, labels, ppm)
    if pairs:
        if len(pairs) != len(loaded):
            raise ArgumentError(f"{len(pairs)} files of pairs for {len(loaded)} sets: give one for each, in order")
        ordered = {each.name: ev.read_pairs(path, each) for each, path in zip(loaded, pairs, strict=True)}
        report = ev.pair_report(run.scored(loaded), ordered, options=run.bootstrap)
    else:
        report = ev.ranking_report(run.scored(loaded), positive_from=positive_from, k=k, options=run.bootstrap)
    tables.show(*tables.ranking_tables(report))
    texts = [f"{method}: {n} scores are not defined, ranked last" for (_, method), n in report.undefined.items()]
    show_warnings(texts, name="ranking")
    run.finish(
        "ranking",
        report.to_dict() | {"positive_from": positive_from},
        lambda plots, folder: plots.plot_ranking(report, folder, positive_from=positive_from),
    )


@evaluate.command(short_help="Do picked channels follow the classes of a mask?")
@click.argument("files", nargs=-1, required=True, type=_FILES, metavar="SECTION...")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    type=_FILES,
    metavar="FILE",
    help="Class mask (H, W) of each SECTION, NPY or NPZ; default: X_mask.npz of X.imzML, 'regions' of an NPZ.",
)
@click.option("--picked", multiple=True, type=_FILES, metavar="CSV", help="Judge these picks (column mz); repeatable.")
@click.option(
    "-k",
    "k",
    type=click.IntRange(0),
    help="Channels that each method picks; default: the informative ones of a simulated section (X_truth.csv), "
    "otherwise as many as are true at each threshold.",
)
@click.option("--rule", type=click.Choice(["released", "strict"]), default="released", show_default=True)
@click.option(
    "--threshold", "thresholds", multiple=True, type=float, help="Correlation threshold; repeatable. [.3 .4 .5 .6]"
)
@click.option("--axis", type=click.Choice(["auto", "bins", "peaks"]), default="auto", show_default=True)
@_scorer_options
@_shared_options
def mscf1(
    files: tuple[Path, ...],
    masks: tuple[Path, ...],
    picked: tuple[Path, ...],
    k: int | None,
    rule: Any,
    thresholds: tuple[float, ...],
    axis: Any,
    **options: Any,
) -> None:
    """Mean spatial-class F1 of the best channels by each score, or of given lists of picks.

    SECTION: X.imzML (X_mask.npz beside it, as simulate writes), or X.npz with images, mz and regions.
    """
    if masks and len(masks) != len(files):
        raise ArgumentError(f"{len(masks)} masks for {len(files)} sections: give one for each, in order")
    if picked:
        unused = {"--plots": options["plots"], "--model": options["models"], "--scorer": options["scorers"], "-k": k}
        for name, value in unused.items():
            if value not in (None, ()):
                raise ArgumentError(f"{name} is about rankings, and --picked has none: leave one of them out")
    require_own_names(path.stem for path in files)
    lists = {path.name if len({p.name for p in picked}) == len(picked) else str(path): path for path in picked}
    picks = {name: read_mz_list(path) for name, path in lists.items()}
    run = _Run(options)
    reports, given = [], {}
    for i, path in enumerate(files):
        with ev.open_bins(path, masks[i] if masks else None, axis=axis) as section:
            truth = section.truth(rule=rule, thresholds=thresholds or ev.THRESHOLDS)
            if picks:
                given[section.name] = {name: truth.judge(mz) for name, mz in picks.items()}
                continue
            with progress_bar(path.name, "images", quiet=run.quiet) as progress:
                scores = section.scores(run.methods, progress=progress)
            size = k if k is not None else section.n_informative
            reports.append(
                ev.picking_report(
                    truth,
                    scores,
                    run.methods.kinds,
                    k=size,
                    name=section.name,
                    seed=run.bootstrap.seed,
                    options=run.bootstrap,
                )
            )
    for name, results in given.items():
        tables.show(tables.given_picks_table(name, results), *(tables.class_table(n, r) for n, r in results.items()))
        show_warnings([text for result in results.values() for text in result.warnings], name=name)
    mean = ev.mean_of_sections(reports, options=run.bootstrap) if len(reports) > 1 else None
    tables.show(*tables.picking_tables(reports, mean))
    document: dict[str, Any] = {"sections": [report.to_dict() for report in reports]}
    if mean is not None:
        document["mean"] = mean.to_dict("records")
    if given:
        document["picked"] = {n: {title: vars(found) for title, found in r.items()} for n, r in given.items()}
    run.finish("mscf1", document, lambda plots, folder: plots.plot_picking(reports, folder))


class _Run:
    """What every sub-command does before and after its own work."""

    def __init__(self, options: dict[str, Any], *, baselines: bool = True) -> None:
        self.plots: Path | None = options["plots"]
        self.json_path: Path | None = options["json_path"]
        self.quiet: bool = options["quiet"]
        if self.plots is not None:
            from ionmorphnet.evaluate.drawing import require_matplotlib

            require_matplotlib()
            there = next(path for path in (self.plots, *self.plots.absolute().parents) if path.exists())
            if not there.is_dir():
                raise FileError(f"{there}: is a file, a folder for the plots is needed")
        if self.json_path is not None:
            temporary_beside(self.json_path)  # a place where no file can be is met before the work
        self.bootstrap = ev.BootstrapOptions(options["draws"], seed=options["seed"], kind=options["kind"])
        self.models: tuple[str | None, ...] = options["models"] or (None,)
        if options.get("no_model"):
            if options["models"]:
                raise ArgumentError("--no-model and --model contradict each other")
            self.models = ()
        self.baselines = baselines and not options.get("no_baselines", False)
        self.options = options
        self._methods: ev.Methods | None = None

    @property
    def methods(self) -> ev.Methods:
        """Started on first use: inputs that cannot be read are met before."""
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
        """Scores of every set."""
        scored = []
        for each in sets:
            with progress_bar(each.name, "images", quiet=self.quiet) as progress:
                scored.append(ev.score_set(each, self.methods, progress=progress))
        return scored

    def finish(self, command: str, report: dict[str, Any], draw: Callable[[Any, Path], list[Path]]) -> None:
        """Writes what was asked for."""
        if self.json_path is not None:
            write_json(self.json_path, {"command": command, **report, "methods": self._described(), **self._record()})
            click.echo(f"{self.json_path}")
        if self.plots is not None:
            from ionmorphnet.evaluate import plots

            for path in draw(plots, self.plots):
                click.echo(f"{path}")

    def _described(self) -> list[dict[str, Any]]:
        if self._methods is None:
            return []
        described = []
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

    def _record(self) -> dict[str, Any]:
        b = self.bootstrap
        options = {"draws": b.draws, "level": b.level, "seed": b.seed, "interval": b.kind}
        return {"bootstrap": options, "versions": versions()}


def _load(files: tuple[Path, ...], labels: tuple[Path, ...], ppm: float) -> list[ev.EvaluationSet]:
    if labels and len(labels) != len(files):
        raise ArgumentError(f"{len(labels)} label files for {len(files)} sets: give one for each, in order")
    given = labels or (None,) * len(files)
    sets = [each for path, csv in zip(files, given, strict=True) for each in ev.load_sets(path, csv, ppm=ppm)]
    require_own_names(each.name for each in sets)
    for each in sets:
        show_warnings(each.notes, name=each.name)
    return sets
