"""Where the installed command and ``python -m ionmorphnet`` start: the commands are imported under watch."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> None:
    """Runs the command line; Ctrl-C while it is still being loaded ends like Ctrl-C later on."""
    try:
        from ionmorphnet.cli.app import main as run
    except KeyboardInterrupt:
        sys.stderr.write("ionmorphnet: stopped\n")
        sys.exit(130)
    run(argv)
