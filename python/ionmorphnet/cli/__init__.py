"""The ``ionmorphnet`` command. Each command has a module of its own; all use only the public Python API."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

from ionmorphnet import __version__
from ionmorphnet.cli.demo import demo
from ionmorphnet.cli.engine import engine
from ionmorphnet.cli.evaluate import evaluate
from ionmorphnet.cli.export import export
from ionmorphnet.cli.images import images
from ionmorphnet.cli.info import info
from ionmorphnet.cli.pick import pick
from ionmorphnet.cli.simulate import simulate
from ionmorphnet.cli.simulate_images import simulate_images
from ionmorphnet.cli.train import train
from ionmorphnet.cli.tumor import tumor
from ionmorphnet.cli.validate import validate
from ionmorphnet.errors import Cancelled, IonMorphNetError


class _PipeClosedError(Exception):
    """The reader of our output went away. Not an OSError: click turns those with EPIPE into exit code 1."""


@contextlib.contextmanager
def _watch_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _PipeClosedError from None


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _watch_pipe():  # --help and --version write from here
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _watch_pipe():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ionmorphnet")
def cli() -> None:
    """Ranks the m/z channels of mass spectrometry imaging sections by the morphology of their ion images."""


for _command in (
    pick,
    info,
    validate,
    images,
    simulate,
    simulate_images,
    train,
    evaluate,
    export,
    engine,
    tumor,
    demo,
):
    cli.add_command(_command)


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 some inputs failed, 2 usage or nothing readable, 130 stopped."""
    # Reader warnings are shown by the commands themselves, once per file; the log is for library users.
    logging.getLogger("ionmorphnet").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args=argv, prog_name="ionmorphnet", standalone_mode=False)
    except click.exceptions.Abort:
        _fail("stopped", 130)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except click.ClickException as error:
        _end(error.show, 2)
    except Cancelled as error:  # saved; the same command goes on
        _fail(str(error), 130)
    except IonMorphNetError as error:
        _fail(str(error), 2)
    except _PipeClosedError:  # as in `| head`
        _discard_output()
        sys.exit(0)
    except MemoryError:
        _fail("there is not enough memory", 2)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    sys.exit(code if isinstance(code, int) else 0)


def _discard_output() -> None:
    """Lets what is still buffered go nowhere: the flush at exit would meet the closed pipe again, and complain."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # replaced streams have no descriptor
            sink = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(sink, stream.fileno())
            finally:
                os.close(sink)


def _fail(text: str, code: int) -> NoReturn:
    _end(lambda: click.echo(f"ionmorphnet: {' '.join(text.split())}", err=True), code)


def _end(say: Callable[[], None], code: int) -> NoReturn:
    try:
        say()
    except BrokenPipeError:  # nobody is listening; the code still tells
        _discard_output()
    sys.exit(code)
