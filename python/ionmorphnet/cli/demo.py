"""``ionmorphnet demo``, also run by ``make demo``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd

import ionmorphnet as imn
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import filled_folder
from ionmorphnet.cli._shared import progress_bar
from ionmorphnet.io.sizes import pixels_text


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo-out",
    show_default=True,
    help="Folder for the section and the results.",
)
@click.option(
    "--shape",
    nargs=2,
    type=click.IntRange(16),
    default=(100, 120),
    show_default=True,
    metavar="HEIGHT WIDTH",
    help="Size of the section in pixels.",
)
@click.option(
    "--n-channels", type=click.IntRange(10), default=600, show_default=True, metavar="N", help="Number of channels."
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Seed of the simulation.")
def demo(out: Path, shape: tuple[int, int], n_channels: int, seed: int) -> None:
    """Simulate a section, pick its channels, compare with the truth and write a report. Takes about a minute."""
    with filled_folder(out):
        _demo(out, shape, n_channels, seed)


def _demo(out: Path, shape: tuple[int, int], n_channels: int, seed: int) -> None:
    path, result = out / "demo.imzML", out / "demo"
    _refuse_result_of_another(result, path)
    click.echo(f"1. simulate a section of {pixels_text(shape)} with {n_channels} channels: {path}")
    with progress_bar(path.name, "pixels") as progress:
        imn.simulate(path, shape=shape, n_channels=n_channels, seed=seed, progress=progress)
    click.echo("2. pick the channels with spatial structure")
    with imn.open(path) as ds:
        with progress_bar(path.name, "images") as progress:
            peaks = imn.pick(ds, progress=progress)
        assert peaks.run is not None
        times = peaks.run.timings
        click.echo(
            f"   {len(peaks)} of {len(peaks.all_scores)} channels in {times['total']:.1f} s "
            f"({len(peaks.all_scores) / times['score']:.0f} images/s, {peaks.run.precision})"
        )
        click.echo("3. compare with the ground truth")
        _compare(peaks, pd.read_csv(path.with_name("demo_truth.csv")))
        written = peaks.save(result, report=True, overwrite=True)  # of the section that was replaced above
    click.echo("4. view the result")
    for file in written:
        click.echo(f"   {file}")
    click.echo(f"Open {(result / 'report.html').resolve()} in a browser.")


def _refuse_result_of_another(result: Path, path: Path) -> None:
    """Refuses a folder that holds the result of a file that this demo does not replace."""
    if (result / "run.json").is_file():
        run = imn.open_run(result).run
        if run is not None and Path(run.input.path).resolve() != path.resolve():
            raise FileError(f"{result}: holds the result of {run.input.path}; choose another folder")


def _compare(peaks: imn.PeakList, truth: pd.DataFrame) -> None:
    """Prints how many channels of each structure grade (0 to 3) were picked."""
    candidates = np.sort(peaks.all_scores["mz"].to_numpy())
    grade = truth["structure"].to_numpy()
    groups = (
        ("clear structure (grade 1.5 to 3)", grade >= 1.5),
        ("some structure (grade above 0)", (grade > 0) & (grade < 1.5)),
        ("noise only (grade 0)", grade == 0),
    )
    for text, chosen in groups:
        mz = truth["mz"].to_numpy()[chosen]
        found = _near(mz, candidates).sum()
        picked = _near(mz, np.sort(peaks.mz)).sum()
        click.echo(f"   {text}: {len(mz)} channels simulated, {found} found as candidates, {picked} picked")


def _near(mz: np.ndarray, axis: np.ndarray, ppm: float = 10.0) -> np.ndarray:
    if len(axis) == 0:
        return np.zeros(len(mz), bool)
    right = np.clip(np.searchsorted(axis, mz), 0, len(axis) - 1)
    left = np.clip(right - 1, 0, None)
    distance = np.minimum(np.abs(axis[right] - mz), np.abs(axis[left] - mz))
    near: np.ndarray = distance <= mz * ppm * 1e-6
    return near
