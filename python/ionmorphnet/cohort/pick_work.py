"""What a worker of a cohort does: picks one section after the other with a scorer that it loads once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import is_url
from ionmorphnet.cohort.samples import Sample
from ionmorphnet.cohort.storage import ibd_url, staged
from ionmorphnet.cohort.study_folder import upload_result
from ionmorphnet.io.file_state import imzml_sha256
from ionmorphnet.picking.batch import PickedPlane, pick_files
from ionmorphnet.picking.progress import PickProgress
from ionmorphnet.picking.saved import with_moved_input
from ionmorphnet.scoring.choose import make_scorer

SCORER_ARGUMENTS = ("model", "scorer", "device", "precision", "engine")


@dataclass(frozen=True)
class Task:
    """A section to pick.

    Attributes:
        sample: The section.
        overwrite: Replace what its folder holds, even if it is the result of another file.
    """

    sample: Sample
    overwrite: bool = False


@dataclass(frozen=True)
class SectionStage:
    """Where a worker is: a stage of a pick, and how many of how many images are scored."""

    stage: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class SectionResult:
    """What became of a section, small enough to be sent between processes.

    Attributes:
        error: Why it failed, in one line; empty if it did not.
        results: Its folders, below that of all results.
        candidates: Channels found, over all parts.
        picked: Channels picked.
        warnings: What was odd, one line each.
        worker: Host and process.
        key: What only the worker knows of the section: the hash of its imzML file.
    """

    error: str
    results: tuple[str, ...]
    candidates: int
    picked: int
    warnings: tuple[str, ...]
    worker: str
    key: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PickWork:
    """Picks sections.

    Attributes:
        results: Folder or URL of all results.
        stage: Folder for local copies; None: the system's.
        options: Arguments of :func:`ionmorphnet.pick_files`.
        marker: A file that every worker must see, because all of them write to the folder that it lies in.
    """

    results: str
    stage: str | None
    options: Mapping[str, Any]
    marker: str | None = None

    def start(self) -> Callable[[Task, Callable[[SectionStage], None]], SectionResult]:
        """Loads the scorer.

        Raises:
            FileError: This machine does not share the folder of the results.
        """
        if self.marker is not None and not os.path.exists(self.marker):
            raise FileError(
                f"{os.path.dirname(self.marker)}: {socket.gethostname()} does not have this folder; all nodes must "
                "share it, or give a URL such as s3://bucket/study"
            )
        given = {name: self.options[name] for name in SCORER_ARGUMENTS if name in self.options}
        scorer = make_scorer(threads=self.options.get("threads", 0), **given)
        options = {name: value for name, value in self.options.items() if name not in SCORER_ARGUMENTS}

        def do(task: Task, tell: Callable[[SectionStage], None]) -> SectionResult:
            with self._local(task.sample, tell) as path:
                given = {**options, "scorer": scorer, "overwrite": task.overwrite}
                return self._picked(task, path, tell, given)

        return do

    @contextlib.contextmanager
    def _local(self, sample: Sample, tell: Callable[[SectionStage], None]) -> Iterator[Path]:
        if not sample.is_remote:
            yield Path(sample.path)
            return
        tell(SectionStage("copying"))
        with staged(sample.path, self._stage) as path:
            yield path

    @property
    def _stage(self) -> Path | None:
        return None if self.stage is None else Path(self.stage)

    def _picked(
        self, task: Task, path: Path, tell: Callable[[SectionStage], None], options: Mapping[str, Any]
    ) -> SectionResult:
        sample = task.sample

        def progress(news: PickProgress) -> None:
            tell(SectionStage(news.stage, news.done, news.total))

        with contextlib.ExitStack() as stack:
            remote = is_url(self.results)
            if remote:
                root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ionmorphnet-", dir=self._stage)))
            else:
                root = Path(self.results)
            (outcome,) = pick_files([path], root, name=sample.name, progress=progress, **options)
            for part in outcome.picked if sample.is_remote else ():
                self._record_origin(part, sample.path)
            if remote and outcome.ok:
                tell(SectionStage("uploading"))
                for part in outcome.picked:
                    assert part.peaks.run is not None
                    name = part.folder.relative_to(root).as_posix()
                    upload_result(part.folder, self.results, name, part.peaks.run.input, overwrite=task.overwrite)
            return SectionResult(
                _with_url(outcome.message, path, sample),
                tuple(part.folder.relative_to(root).as_posix() for part in outcome.picked),
                sum(len(part.peaks.all_scores) for part in outcome.picked),
                sum(len(part.peaks) for part in outcome.picked),
                tuple(_with_url(text, path, sample) for text in outcome.warnings),
                f"{socket.gethostname()}:{os.getpid()}",
                {} if sample.is_remote else {"imzml_sha256": imzml_sha256(path)},
            )

    def _record_origin(self, part: PickedPlane, url: str) -> None:
        """Lets a result name the URL, not the copy that is about to go."""
        assert part.peaks.run is not None
        origin = dataclasses.replace(part.peaks.run.input, path=url, ibd_path=ibd_url(url))
        with_moved_input(part.peaks, part.folder, origin)


def _with_url(text: str, path: Path, sample: Sample) -> str:
    """A message about the local copy of a remote section, about the section."""
    if not sample.is_remote:
        return text
    ibd = sample.path[: len(sample.path) - len(".imzML")] + ".ibd"
    return text.replace(str(path), sample.path).replace(str(path.with_suffix(".ibd")), ibd)
