"""label: labels the ion images of a section on a local web page."""

from __future__ import annotations

import contextlib
import logging
import os
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.arguments import integer
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import refuse_replacing
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.progress import Progress
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.open_options import OpenOptions, checked_open_options, refuse_open_options
from ionmorphnet.labelling.agreement import Agreement
from ionmorphnet.labelling.candidates import Candidates, array_candidates, section_candidates
from ionmorphnet.labelling.label_file import LabelFile
from ionmorphnet.labelling.order import check_order
from ionmorphnet.labelling.session import Session
from ionmorphnet.models.model import Model
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.picking.saved import open_run
from ionmorphnet.picking.section import pick
from ionmorphnet.scoring.images import score_images

_log = logging.getLogger("ionmorphnet")


@dataclass(frozen=True)
class LabelSummary:
    """What a label file holds at the end of a session.

    Attributes:
        path: The label file.
        labelled: Number of labelled images.
        classes: Number of images of each class (first pass).
        agreement: Agreement of the two passes; None without a second pass.
    """

    path: Path
    labelled: int
    classes: Mapping[str, int]
    agreement: Agreement | None


@dataclass(frozen=True)
class LabelPage:
    """A labelling page that is ready.

    Attributes:
        url: Its address, which holds the token.
        candidates: Number of images.
        labelled: Number of images that the label file already holds.
    """

    url: str
    candidates: int
    labelled: int


def label(
    source: PathLike | Dataset | PeakList,
    out: PathLike,
    *,
    order: str = "active",
    model: str | Path | Model | None = None,
    normalize: Normalize | None = None,
    port: int = 0,
    browser: bool = True,
    on_ready: Callable[[LabelPage], None] | None = None,
    progress: Progress | bool | None = None,
    **opened: Unpack[OpenOptions],
) -> LabelSummary:
    """Labels the ion images of a section on a web page of this machine, until the page is finished or Ctrl-C.

    The images are the candidate channels of the section, scored by the model that orders them. Every label is on the
    disk before the page shows the next image. The same call continues where an earlier one ended.

    Args:
        source: An imzML file, a result folder of ``ionmorphnet pick`` (its scores are used again), an npz file with
            ion images, an open Dataset, or a PeakList with its section.
        out: The label CSV, made or continued; docs/reference/training-data.md describes its form.
        order: ``"active"`` (most uncertain first, spread over the ranking) or ``"rank"``.
        model: Bundled name, model folder or loaded Model for the scores; None: the default model. Without effect on
            sources that are scored already.
        normalize: How the ion images of an imzML file are normalised before they are scored and shown, see
            :meth:`Dataset.normalized`; None: not. Datasets and picks have their own images.
        port: TCP port of the page; 0: a free one.
        browser: Open the page in the browser.
        on_ready: Called with the page once it is served.
        progress: Called as progress(done, total) while images are scored; True: a bar on the terminal or in the
            notebook.
        **opened: How an imzML file is opened: options of :func:`ionmorphnet.open`, such as ``repair=True``.

    Returns:
        What the label file holds.

    Raises:
        FileError: The section or the label file cannot be used, the label file belongs to another section, or another
            session is labelling it.
        ArgumentError: An argument is out of range, an option for an imzML file was given for something else, or the
            file has several z planes.
        UnavailableError: The port is taken.
    """
    from ionmorphnet.labelling.server import LabelServer  # loads werkzeug

    wanted = check_order(order)
    port = integer("port", port, 0)
    if port > 65535:
        raise ArgumentError(f"port must be from 0 to 65535, not {port}")
    checked_open_options(opened, function="label")
    path = Path(out)
    with contextlib.ExitStack() as stack:
        candidates = _candidates(source, path, model, normalize, progress, stack, opened)
        file = LabelFile(path, candidates)
        session = Session(candidates, file, wanted)
        stack.callback(session.close)
        server = LabelServer(session, port)
        stack.callback(server.close)
        _log.info("%s: label page at %s", candidates.title, server.url)
        if browser:
            _open_browser(server.entrance_url)
        if on_ready is not None:
            on_ready(LabelPage(server.url, len(candidates), len(file.rows)))
        server.run()
        return LabelSummary(path, len(file.rows), session.class_counts(), session.agreement())


def _open_browser(url: str) -> None:
    # Without a display Python starts a text browser, which takes the terminal and cannot show the page.
    if not any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")) or not webbrowser.open(url):
        _log.warning("no browser was found; open the address of the page in one")


def _candidates(
    source: PathLike | Dataset | PeakList,
    out: Path,
    model: str | Path | Model | None,
    normalize: Normalize | None,
    progress: Progress | bool | None,
    stack: contextlib.ExitStack,
    opened: OpenOptions,
) -> Candidates:
    if isinstance(source, PeakList | Dataset):
        refuse_open_options(opened, "the section is open already; pass these to ionmorphnet.open")
        _refuse_normalize(normalize, "the section is open already; label ds.normalized(...)")
    if isinstance(source, PeakList):
        ds = source.dataset
        refuse_replacing([out], [ds.path, ds.ibd_path], "choose another name for the labels")
        return section_candidates(source, ds)
    if isinstance(source, Dataset):
        return _scored(source, out, model, progress)
    path = Path(source)
    if path.suffix.casefold() != ".imzml":
        refuse_open_options(opened, f"{path} is no imzML file; a result folder opens its section as the pick did")
        _refuse_normalize(normalize, f"{path} is no imzML file; a result folder shows the images of its pick")
    if path.is_dir():
        peaks = open_run(path)
        refuse_replacing([out], [path / "peaks.csv", path / "scores.csv"], "choose another name for the labels")
        return section_candidates(peaks, stack.enter_context(peaks.dataset))
    if path.suffix.casefold() == ".npz":
        refuse_replacing([out], [path], "choose another name for the labels")

        def score(images: NDArray[np.float32]) -> pd.DataFrame:
            return score_images(images, model=model, progress=progress)

        return array_candidates(path, score)
    if path.suffix.casefold() != ".imzml":
        raise FileError(f"{path}: nothing to label; pass an imzML file, a result folder of a pick, or an npz file")
    ds = stack.enter_context(open_dataset(path, **opened))
    return _scored(ds if normalize is None else ds.normalized(normalize), out, model, progress)


def _refuse_normalize(normalize: Normalize | None, reason: str) -> None:
    if normalize is not None:
        raise ArgumentError(f"normalize: {reason}")


def _scored(ds: Dataset, out: Path, model: str | Path | Model | None, progress: Progress | bool | None) -> Candidates:
    refuse_replacing([out], [ds.path, ds.ibd_path], "choose another name for the labels")
    return section_candidates(pick(ds, top=1, model=model, progress=progress), ds)
