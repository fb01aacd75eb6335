"""``python -m ionmorphnet`` is the ``ionmorphnet`` command."""

from __future__ import annotations

from ionmorphnet.cli.entry import main

main()
