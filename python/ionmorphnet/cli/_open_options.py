"""How a section is opened: the options of ``ionmorphnet.open`` on every command that opens one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from ionmorphnet.io.literals import Copies, Duplicates, Polarity, SpectrumType
from ionmorphnet.io.normalization import NORMALIZATIONS
from ionmorphnet.io.open_options import MOST_LEVELS, OpenOptions

Command = Callable[..., Any]

_IBD = click.option(
    "--ibd",
    "ibd_path",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The ibd file.  [default: the one beside the imzML file]",
)
# Every option sets the argument of `open` that its second name, or its own, states.
_OPTIONS = [
    click.option(
        "--spectrum-type",
        type=click.Choice(["auto", *sorted(get_args(SpectrumType))]),
        default="auto",
        show_default=True,
        help="Type of the spectra; auto trusts the file and the data.",
    ),
    click.option(
        "--duplicates",
        type=click.Choice(get_args(Duplicates)),
        default="first",
        show_default=True,
        help="Several spectra at one pixel: show the first, their sum or mean, or refuse the file.",
    ),
    click.option(
        "--copies",
        type=click.Choice(get_args(Copies)),
        default="keep",
        show_default=True,
        help="Spectra that repeat an earlier one value for value: keep them, or count them as not measured.",
    ),
    click.option(
        "--ms-level",
        type=click.IntRange(1, MOST_LEVELS),
        metavar="N",
        help="MS level to read.  [default: the lowest that the file holds]",
    ),
    click.option(
        "--polarity",
        type=click.Choice(get_args(Polarity)),
        help="Polarity to read.  [default: the more frequent one]",
    ),
    click.option("--run", metavar="NAME", help="Run to read, if a file holds several.  [default: all]"),
    click.option("--repair", is_flag=True, help="Sort m/z values, drop NaN and negative ones, where a file has them."),
    click.option(
        "--no-strict",
        "strict",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Keep the readable spectra of a truncated ibd file.",
    ),
]


def open_options(*, ibd: bool = True) -> Callable[[Command], Command]:
    """Adds the options of ``ionmorphnet.open`` to a command, which receives those given as ``opened: OpenOptions``.

    Args:
        ibd: Whether there is ``--ibd``; not where one command opens many files by their own names.
    """
    options = [*_OPTIONS, _IBD] if ibd else _OPTIONS

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def collected(**given: Any) -> Any:
            source = click.get_current_context().get_parameter_source
            values = {name: given.pop(name) for name in OpenOptions.__annotations__ if name in given}
            opened = {
                name: None if value == "auto" else value
                for name, value in values.items()
                if source(name) is not ParameterSource.DEFAULT
            }
            return command(opened=opened, **given)

        decorated: Command = collected
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def normalize_option(text: str, *, default: str | None = "none") -> Callable[[Command], Command]:
    """The option ``--normalize``.

    Args:
        text: Its help.
        default: Its value if it is not given.
    """
    return click.option(
        "--normalize", type=click.Choice(NORMALIZATIONS), default=default, show_default=default is not None, help=text
    )
