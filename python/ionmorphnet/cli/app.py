"""The ``ionmorphnet`` command.

Each command has a module of its own, which is imported when the command runs: ``--help`` and ``--version`` stay fast.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

from ionmorphnet import __version__
from ionmorphnet.base.errors import Cancelled, IonMorphNetError


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM (kill, batch systems, containers) raise KeyboardInterrupt, so that work is ended and tidied up.

    A SIGTERM that the caller ignores or handles stays as it is. Outside of the main thread, which alone can set
    handlers, nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _PipeClosedError(Exception):
    """The reader of our output went away. Not an OSError: click turns those with EPIPE into exit code 1."""


@contextlib.contextmanager
def _watch_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _PipeClosedError from None


# Name -> its help in the list of commands, in the order shown. The command is ionmorphnet.cli.<name>.<name>, with
# underscores for hyphens.
COMMANDS = {
    "pick": "Rank the channels of imzML sections.",
    "info": "Show what a file declares, or what this build and host offer.",
    "validate": "Read every spectrum and list the problems.",
    "images": "Write ion images as NPZ or PNG.",
    "simulate": "Write a section with known truth.",
    "simulate-images": "Write single ion images with known truth.",
    "label": "Label ion images on a local web page.",
    "calibrate": "Adapt classes and scores to one section with 10 to 30 labels.",
    "train": "Train or fine-tune the classifier.",
    "evaluate": "Compare models and scores with labels, grades or class masks.",
    "export": "Write a model folder from trained weights or a published checkpoint.",
    "engine": "Build, check and list TensorRT engines.",
    "cohort": "Pick the sections of a study, find their common channels, write one matrix.",
    "tumor": "Classify tissue: a 3D CNN on patches of picked channels.",
    "demo": "Simulate a section, pick its channels, write a report.",
}


class _Commands(click.Group):
    """Commands that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"ionmorphnet.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"No such command '{name}'." + (f" Did you mean '{close[0]}'?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

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


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 some inputs failed, 2 usage or nothing readable, 130 stopped."""
    # Reader warnings are shown by the commands themselves, once per file; the log is for library users.
    logging.getLogger("ionmorphnet").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        with sigterm_as_ctrl_c():
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
