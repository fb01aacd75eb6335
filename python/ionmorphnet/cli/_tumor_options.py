"""Options of ``ionmorphnet tumor``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import click

from ionmorphnet.base.devices import DeviceName
from ionmorphnet.io.normalization import NORMALIZATIONS

Command = Callable[..., None]

FILE = click.Path(path_type=Path, readable=False)


class NetworkOptions(TypedDict):
    """Options of every network."""

    size: int | None
    steps: int | None
    seed: int
    top: int | None
    normalize: str
    standardize: str


class TrainOptions(NetworkOptions):
    """Options passed to ``train_tumor``."""

    method: str
    ppm: float | None
    tol: float | None
    selection: str | None
    validate: bool
    precision: str
    device: DeviceName
    threads: int
    memory_limit: str


class PlanOptions(NetworkOptions):
    """Options passed to ``EvaluationPlan``."""

    selections: tuple[str, ...]
    ablation: tuple[str, ...]
    methods: tuple[str, ...]
    ablation_methods: tuple[str, ...]
    protocol: str
    by: str
    k: int
    blocks: tuple[int, int] | None
    buffer: int | None
    inner: bool
    adapt: tuple[str, ...]
    smooth: tuple[str, ...]
    threads: int


class PredictOptions(TypedDict):
    """Options passed to ``predict``."""

    missing: str
    adapt: str
    smooth: str
    device: DeviceName
    threads: int
    memory_limit: str


class ExplainOptions(TypedDict):
    """Options passed to ``explain``."""

    method: str
    pixels: int
    seed: int


class SimulateOptions(TypedDict):
    """Options passed to ``simulate_cohort``."""

    patients: int
    sections: int
    shape: tuple[int, int]
    n_channels: int
    difficulty: str
    texture_share: float
    mixed_share: float
    seed: int


def add_options(command: Command, options: list[Callable[[Command], Command]]) -> Command:
    """Adds options to a command, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


device_option = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Device for the networks."
)
threads_option = click.option(
    "--threads", type=click.IntRange(0), default=0, metavar="N", help="CPU threads; 0: all cores."
)
memory_option = click.option(
    "--memory-limit", default="4GB", show_default=True, metavar="SIZE", help="Limit of working memory."
)


def cohort_options(command: Command) -> Command:
    """Adds the cohort and its label map."""
    return add_options(
        command,
        [
            click.argument("cohort_csv", type=FILE, metavar="COHORT.csv"),
            click.option(
                "--labels",
                metavar="MAP",
                help="Class of each region, such as 1=normal,2=tumor, or a JSON file. Default: each region is a class.",
            ),
        ],
    )


def channel_options(command: Command) -> Command:
    """Adds the options that determine the channels."""
    return add_options(
        command,
        [
            click.option(
                "--mz",
                metavar="LIST",
                help="Channels: m/z values, or a CSV (peaks.csv keeps its windows). Default: all channels found.",
            ),
            click.option(
                "--picks",
                multiple=True,
                type=FILE,
                metavar="CSV",
                help="peaks.csv of a section; repeatable. Channels that at least half of the files share are used.",
            ),
            click.option("--ppm", type=click.FloatRange(0, min_open=True), help="Half width of m/z windows in ppm."),
            click.option("--tol", type=click.FloatRange(0, min_open=True), help="Half width of m/z windows in m/z."),
            click.option(
                "--top",
                type=click.IntRange(1),
                help="Number of channels to select. [default: 40; all of --mz or --picks, unless --channels is given]",
            ),
            click.option(
                "--normalize",
                type=click.Choice(NORMALIZATIONS),
                default="tic",
                show_default=True,
                help="Norm of each pixel's intensities.",
            ),
            click.option(
                "--standardize",
                type=click.Choice(["z", "rank", "robust", "none"]),
                default="z",
                show_default=True,
                help="How each channel of each section is standardised, without labels.",
            ),
        ],
    )


def run_options(command: Command) -> Command:
    """Adds the options of a run."""
    return add_options(
        command,
        [
            click.option(
                "--size", type=click.IntRange(1), help="Side of a network's patch in pixels, odd. [default: 9]"
            ),
            click.option("--steps", type=click.IntRange(1), help="Optimiser steps of a network. [default: 200]"),
            click.option("--batch", type=click.IntRange(2), metavar="N", help="Patches per step. [default: 96]"),
            click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed."),
            device_option,
            threads_option,
            memory_option,
            click.option("--resume/--no-resume", default=True, show_default=True, help="Resume the run in OUT."),
            click.option("--quiet", is_flag=True, help="No progress bar."),
        ],
    )
