"""cohort run: pick all sections of a study in supervised worker processes; resume after any interruption."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ionmorphnet.base.arguments import integer
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.versions import versions
from ionmorphnet.cohort.manifest import Entry, Manifest, Shard, timestamp
from ionmorphnet.cohort.pick_work import SCORER_ARGUMENTS, SectionResult, SectionStage, Task
from ionmorphnet.cohort.ray_workers import RayOptions
from ionmorphnet.cohort.samples import Sample, read_samples
from ionmorphnet.cohort.storage import remote_state
from ionmorphnet.cohort.study_folder import StudyFolder, study_folder
from ionmorphnet.cohort.supervisor import TaskResult
from ionmorphnet.cohort.teams import Team, make_team
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.io.file_state import file_state, imzml_sha256, same_content
from ionmorphnet.models.labels import checked_classes
from ionmorphnet.models.model import load_model
from ionmorphnet.picking.batch import pick_files
from ionmorphnet.picking.earlier import comparable
from ionmorphnet.picking.outputs import parse_formats
from ionmorphnet.scoring.classical import CLASSICAL_SCORERS

Action = Literal["pick", "skip", "fail"]

# Why a section is skipped that its user took out.
REMOVED = "removed from the study"
# Arguments of a pick that do not change its result.
_WITHOUT_EFFECT = ("memory_limit", "device_memory_limit", "threads", "overwrite")


@dataclass(frozen=True)
class Planned:
    """What a run will do with a section.

    Attributes:
        sample: The section.
        action: ``pick`` it, ``skip`` it because its result is there or it was removed from the study, or ``fail``
            because it cannot be read.
        why: The reason, in a few words.
        key: What its result depends on.
        replaces: Whether its folders hold a result of this study, which may be replaced even by that of another file.
        update: Entry that only says anew where the file is and what the sample list says of it; None: none is needed.
    """

    sample: Sample
    action: Action
    why: str
    key: Mapping[str, Any]
    replaces: bool = False
    update: Entry | None = None


@dataclass(frozen=True)
class CohortProgress:
    """Where a run is.

    Attributes:
        total: Sections of the run.
        done: Sections picked so far in this run.
        skipped: Sections whose results were there.
        failed: Sections that failed in this run.
        running: Sections that workers are at, with the stage of each.
        seconds: Wall time so far.
        remaining: Estimated seconds to the end; None before the first section is done.
        last: The entry that was added last; None for news of a stage.
    """

    total: int
    done: int
    skipped: int
    failed: int
    running: Mapping[str, SectionStage]
    seconds: float
    remaining: float | None
    last: Entry | None


@dataclass(frozen=True)
class CohortRun:
    """A finished run.

    Attributes:
        out: The study's folder or URL.
        planned: What was done with each section, in order.
        entries: Last entry of each section of the run, by name.
        seconds: Wall time.
        others: Samples of the study that the inputs do not name; they stay in it until they are removed.
    """

    out: str
    planned: tuple[Planned, ...]
    entries: Mapping[str, Entry]
    seconds: float
    others: tuple[str, ...] = ()

    @property
    def failed(self) -> list[Entry]:
        """Sections without a result."""
        return [entry for entry in self.entries.values() if entry.status == "failed"]


@dataclass
class _State:
    total: int
    skipped: int
    started: float
    done: int = 0
    failed: int = 0
    running: dict[str, SectionStage] = field(default_factory=dict)


def run(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    *,
    jobs: int | None = None,
    shard: Shard | str | None = None,
    force: bool = False,
    stage: PathLike | None = None,
    memory_limit: int | str = "4GB",
    threads: int = 0,
    ray: RayOptions | str | None = None,
    progress: Callable[[CohortProgress], None] | None = None,
    **options: Any,
) -> CohortRun:
    """Picks all sections of a study and keeps a manifest of what became of each.

    Run it again after an interruption, with more inputs, or with other settings: it does what is missing or changed.
    New columns of a sample list and new places of files are taken over without picking again. A section that fails
    stops no other, nor does a worker process that dies: its section is tried once more.

    Args:
        inputs: See :func:`ionmorphnet.cohort.read_samples`.
        out: The study's folder, or a URL such as ``s3://bucket/study``: results in ``sections/<name>``, the manifest
            beside them. Behind a URL, sections are picked here and uploaded when they are complete.
        jobs: Worker processes, each with a scorer of its own. None: a quarter of the cores, or all of them for a
            classical scorer; one on a GPU. With ``ray``: sections at once; None: as many as the cluster has room for.
        shard: Do a part only, such as ``"2/8"``. Shards may run at the same time, on machines that share ``out``.
        force: Pick sections again whose results are there.
        stage: Folder for local copies of what lies behind URLs; None: the system's folder for temporary files.
        memory_limit: Host memory to plan with, for all workers together; with ``ray`` for each section.
        threads: CPU threads of all workers together; 0: all cores. With ``ray`` of each section; 0: 4, or 1 for a
            classical scorer.
        ray: Pick on Ray in place of own worker processes: ``"local"``, ``"auto"``, ``"HOST:PORT"``, or
            :class:`RayOptions`. Peaks, manifest and retries are the same.
        progress: Called after each section, and when a worker has news.
        **options: See :func:`ionmorphnet.pick_files`; scorer and model by name.

    Returns:
        What was done. Failed sections are in it, not raised.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range.
        FileError: ``out`` cannot be written, or another process runs the same study or shard.
        UnavailableError: The scorer is not available, or Ray or its cluster is not.
        WorkerError: Worker processes cannot start.
    """
    started = time.monotonic()
    part = Shard.parse(shard) if isinstance(shard, str) else shard
    engine = None if ray is None else RayOptions.of(ray)
    if jobs is not None:
        integer("jobs", jobs, 1)
    _check_options(options)
    with study_folder(out, stage) as folder:
        samples = _samples(inputs)
        planned = _plan(samples, folder, part, force, options)
        folder.require_writable()
        entries = _run(
            planned,
            folder,
            Manifest(folder.local, part),
            functools.partial(
                make_team,
                folder,
                options=options,
                jobs=jobs,
                ray=engine,
                stage=stage,
                memory_limit=memory_limit,
                threads=threads,
            ),
            _State(len(planned), sum(each.action == "skip" for each in planned), started),
            progress or (lambda _: None),
        )
        others = _others(samples, Manifest(folder.local).entries())
    return CohortRun(folder.shown, tuple(planned), entries, time.monotonic() - started, others)


def _run(
    planned: Sequence[Planned],
    folder: StudyFolder,
    manifest: Manifest,
    workers: Callable[..., AbstractContextManager[Team]],
    state: _State,
    tell: Callable[[CohortProgress], None],
) -> dict[str, Entry]:
    """Does what is planned, and returns the last entry of each section."""
    todo = {each.sample.name: each for each in planned if each.action == "pick"}
    lock = manifest.lock(folder.shown)

    def record(entry: Entry) -> None:
        manifest.append(entry)
        folder.publish(manifest.path)
        if entry.status == "done":
            state.done += 1
        else:
            state.failed += 1
        tell(_progress(state, entry))

    def news(task: Task, stage: SectionStage) -> None:
        state.running[task.sample.name] = stage
        tell(_progress(state, None))

    try:
        for each in planned:
            if each.update is not None:
                manifest.append(each.update)
            if each.action == "fail":
                record(_failed(each, each.why))
        if any(each.update for each in planned):
            folder.publish(manifest.path)
        if todo:
            with workers(n_sections=len(todo), news=news) as team:
                for result in team.run([Task(each.sample, each.replaces) for each in todo.values()]):
                    name = result.task.sample.name
                    state.running.pop(name, None)
                    record(_entry(todo[name], result))
    finally:
        folder.fetch()  # those of other shards
        folder.publish_tree(manifest.write_csv().name)
        lock.release()
    names = {each.sample.name for each in planned}
    return {name: entry for name, entry in manifest.entries().items() if name in names}


def plan(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    *,
    shard: Shard | str | None = None,
    force: bool = False,
    **options: Any,
) -> list[Planned]:
    """What :func:`run` would do; reads the manifest and the state of the files, and changes nothing.

    Args:
        inputs: As for :func:`run`.
        out: As above.
        shard: As above.
        force: As above.
        **options: As above.

    Raises:
        ArgumentError: As :func:`run`.
        FileError: The manifest cannot be read, or the model cannot be used.
    """
    part = Shard.parse(shard) if isinstance(shard, str) else shard
    with study_folder(out) as folder:
        return _plan(_samples(inputs), folder, part, force, options)


def _samples(inputs: PathLike | Iterable[PathLike]) -> list[Sample]:
    return read_samples([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)


def _others(samples: Iterable[Sample], entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Samples of the study, not removed, that are not among those given."""
    given = {each.name for each in samples}
    return tuple(sorted(name for name, each in entries.items() if each.status != "removed" and name not in given))


def _plan(
    samples: Sequence[Sample],
    folder: StudyFolder,
    part: Shard | None,
    force: bool,
    options: Mapping[str, Any],
) -> list[Planned]:
    settings = _settings_hash(options)
    earlier = Manifest(folder.local).entries()
    is_there = folder.complete_results()
    found = []
    for position, sample in enumerate(samples):
        if part is None or part.has(position):
            found.append(_planned(sample, settings, earlier.get(sample.name), is_there, force))
    return found


def _planned(
    sample: Sample, settings: str, earlier: Entry | None, is_there: Callable[[str], bool], force: bool
) -> Planned:
    try:
        if earlier is not None and earlier.status == "removed":
            return Planned(sample, "skip", REMOVED, earlier.key)
        if sample.problem:
            raise FileError(sample.problem)
        section = remote_state(sample.path) if sample.is_remote else file_state(sample.path)
    except IonMorphNetError as error:
        return Planned(sample, "fail", " ".join(str(error).split()), {})
    key = {"section": section, "settings": settings}
    if earlier is None:
        return Planned(sample, "pick", "new", key)
    why = _why_again(sample, settings, earlier, is_there, section, force)
    if why:
        return Planned(sample, "pick", why, key, bool(earlier.results))
    # An input without a list says nothing that could replace what an earlier list said.
    columns = dict(sample.columns) or earlier.columns
    changes = ["columns"] * (columns != earlier.columns) + ["place"] * (sample.path != earlier.path)
    if not changes:
        return Planned(sample, "skip", "done", key, bool(earlier.results))
    update = dataclasses.replace(earlier, path=sample.path, columns=columns, date=timestamp())
    return Planned(sample, "skip", f"done; new {' and '.join(changes)}", key, bool(earlier.results), update)


def _why_again(
    sample: Sample,
    settings: str,
    earlier: Entry,
    is_there: Callable[[str], bool],
    section: Mapping[str, Any],
    force: bool,
) -> str:
    """Why a section has to be picked again; empty if its result is there."""
    if force:
        return "forced"
    if earlier.status == "failed":
        return f"failed before: {earlier.reason}"
    if earlier.key.get("settings") != settings:
        return "settings, model or version changed"
    if not _same_section(sample, earlier.key, section):
        return "the file changed"
    if not earlier.results or not all(map(is_there, earlier.results)):
        return "its result is gone"
    return ""


def _same_section(sample: Sample, key: Mapping[str, Any], section: Mapping[str, Any]) -> bool:
    """Whether the files are those of the key: equal in size and time, or, if copied or touched, in content."""
    known = key.get("section") or {}
    if known == section:
        return True
    if sample.is_remote or not same_content(known, section) or "imzml_sha256" not in key:
        return False
    return bool(key["imzml_sha256"] == imzml_sha256(sample.path))


def _check_options(options: Mapping[str, Any]) -> None:
    """Checks what the workers would find wrong with every section alike."""
    for name in ("scorer", "model"):
        value = options.get(name)
        if value is not None and not isinstance(value, (str, Path)):
            raise ArgumentError(f"{name} must be a name or a folder here: each worker loads its own")
    if options.get("name") is not None:
        raise ArgumentError("samples have their own names; give a CSV with a column 'sample'")
    classical = options.get("scorer") in CLASSICAL_SCORERS
    # A scorer without a network stands in: only workers load one.
    standing_in = {"scorer": options["scorer"]} if classical else {"scorer": "moran", "top": options.get("top") or 1}
    if not classical:  # the network tells classes, its stand-in does not
        checked_classes(options.get("exclude", ()))
        standing_in["exclude"] = ()
    checked = {name: value for name, value in options.items() if name not in SCORER_ARGUMENTS}
    pick_files([], "", **{**checked, **standing_in})


def _settings_hash(options: Mapping[str, Any]) -> str:
    scorer = options.get("scorer") or "auto"
    model = None if scorer in CLASSICAL_SCORERS else load_model(options.get("model")).sha256
    left_out = (*_WITHOUT_EFFECT, "model", "scorer")
    # What has its default is as good as left out: the command line passes every option, Python only some.
    defaults = {**_defaults(open_dataset), **_defaults(pick_files), "axis": "auto", "normalize": "none"}
    settings = {name: defaults.get(name) if value is None else value for name, value in options.items()}
    if options.get("formats") is not None:
        settings["formats"] = parse_formats(options["formats"])
    given = {
        name: text
        for name, value in settings.items()
        if name not in left_out and (text := comparable(value)) != comparable(defaults.get(name))
    }
    document = {"version": versions()["ionmorphnet"], "scorer": scorer, "model": model, **given}
    text = json.dumps(plain(document), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _defaults(function: Callable[..., object]) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


def _entry(planned: Planned, result: TaskResult[Task, SectionResult]) -> Entry:
    value = result.value
    if value is None:
        return dataclasses.replace(_failed(planned, result.error), deaths=result.deaths, seconds=result.seconds)
    return dataclasses.replace(
        _failed(planned, value.error),
        status="failed" if value.error else "done",
        key={**planned.key, **value.key},
        seconds=result.seconds,
        results=value.results,
        candidates=value.candidates,
        picked=value.picked,
        warnings=value.warnings,
        deaths=result.deaths,
        worker=value.worker,
    )


def _failed(planned: Planned, reason: str) -> Entry:
    sample = planned.sample
    version = versions()["ionmorphnet"]
    return Entry(
        sample.name,
        sample.path,
        "failed",
        reason,
        planned.key,
        timestamp(),
        0.0,
        version=version,
        columns=dict(sample.columns),
    )


def _progress(state: _State, last: Entry | None) -> CohortProgress:
    seconds = time.monotonic() - state.started
    finished = state.done + state.failed
    left = state.total - state.skipped - finished
    remaining = None if not state.done else seconds / finished * left
    return CohortProgress(
        state.total, state.done, state.skipped, state.failed, dict(state.running), seconds, remaining, last
    )
