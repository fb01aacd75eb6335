"""Where a study lies, as an argument of commands: a folder or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import is_url
from ionmorphnet.cli.pick import Folder


class StudyPlace(Folder):
    """A folder, or a URL such as ``s3://bucket/study``, which stays text."""

    def __init__(self, *, exists: bool = False, urls: bool = True) -> None:
        """Says what is accepted.

        Args:
            exists: A folder must be there.
            urls: Whether the command works behind URLs.
        """
        super().__init__(path_type=Path, exists=exists, file_okay=False)
        self._urls = urls

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leaves URLs as they are."""
        if not is_url(str(value)):
            return super().convert(value, param, ctx)
        if not self._urls:
            raise ArgumentError(
                f"{value}: this command works in a folder; copy the study to one, for example with 'aws s3 sync'"
            )
        return str(value)


STAGE = click.option(
    "--stage",
    type=Folder(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for copies of what lies behind URLs.  [default: the system's for temporary files]",
)


def below(out: Path | str, *names: str) -> str:
    """A file of a study, for messages."""
    if isinstance(out, Path):
        return click.format_filename(out.joinpath(*names))
    return "/".join([out.rstrip("/"), *names])
