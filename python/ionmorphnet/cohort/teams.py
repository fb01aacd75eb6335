"""Who picks the sections of a study: worker processes of this one, or a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from ionmorphnet.base.arguments import thread_count, usable_cores
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.cohort.pick_work import PickWork, SectionResult, SectionStage, Task
from ionmorphnet.cohort.ray_cluster import LOCAL
from ionmorphnet.cohort.ray_workers import RayOptions, RayTeam, Resources
from ionmorphnet.cohort.study_folder import StudyFolder
from ionmorphnet.cohort.supervisor import Supervisor
from ionmorphnet.scoring.classical import CLASSICAL_SCORERS

Team: TypeAlias = Supervisor[Task, SectionResult] | RayTeam[Task, SectionResult]

# A network fills several cores by itself; classical scores of small files do not.
_CORES_PER_NETWORK = 4


@contextlib.contextmanager
def make_team(
    folder: StudyFolder,
    n_sections: int,
    options: Mapping[str, Any],
    *,
    jobs: int | None,
    ray: RayOptions | None,
    stage: PathLike | None,
    memory_limit: int | str,
    threads: int,
    news: Callable[[Task, SectionStage], None],
) -> Iterator[Team]:
    """Workers that pick the sections of a study; they end with the block.

    Args:
        folder: The study's.
        n_sections: How many there are to pick; no more workers are made.
        options: Arguments of :func:`ionmorphnet.pick_files`.
        jobs: See :func:`ionmorphnet.cohort.run`, as for the arguments that follow.
        ray: As above.
        stage: As above.
        memory_limit: As above.
        threads: As above.
        news: Called when a worker has news; not with Ray.

    Raises:
        ArgumentError: An argument is out of range.
        UnavailableError: Ray is not installed, or there is no such cluster.
    """
    memory, threads = parse_bytes(memory_limit), thread_count(threads)
    limits: dict[str, Any]
    # The manifest has decided what to do; a result of the same request would be kept otherwise.
    copies = None if stage is None else os.path.abspath(stage)
    work = PickWork(folder.results, copies, {**options, "force": True})
    if ray is None:
        jobs = min(_default_jobs(options) if jobs is None else jobs, max(1, n_sections))
        limits = {"memory_limit": max(1, memory // jobs), "threads": max(1, (threads or usable_cores()) // jobs)}
        work = dataclasses.replace(work, options={**work.options, **limits})
        with Supervisor(work, jobs, news=news) as team:
            yield team
        return
    needs = _resources(ray, options, memory, threads)
    limits = {"memory_limit": needs.memory, "threads": max(1, int(needs.num_cpus))}
    if not needs.num_gpus and options.get("device", "auto") == "auto":
        limits["device"] = "cpu"  # a GPU of a node is for the tasks that reserve it
    marker = folder.local / f".ray-{secrets.token_hex(8)}"
    marker.touch()
    try:
        seen = os.path.abspath(marker) if folder.store is None else None
        work = dataclasses.replace(work, options={**work.options, **limits}, marker=seen)
        with RayTeam(work, ray, needs, jobs) as crew:
            yield crew
    finally:
        marker.unlink(missing_ok=True)


def _default_jobs(options: Mapping[str, Any]) -> int:
    if _on_gpu(options):
        return 1
    cores = usable_cores()
    return cores if _is_classical(options) else max(1, cores // _CORES_PER_NETWORK)


def _resources(ray: RayOptions, options: Mapping[str, Any], memory: int, threads: int) -> Resources:
    cpus = ray.num_cpus
    if cpus is None:
        cpus = threads or (1 if _is_classical(options) else _CORES_PER_NETWORK)
        if ray.address == LOCAL:
            cpus = min(cpus, usable_cores())
    gpus = ray.num_gpus
    if gpus is None:
        gpus = 1.0 if _on_gpu(options) else 0.0
    return Resources(float(cpus), float(gpus), memory if ray.memory is None else parse_bytes(ray.memory))


def _is_classical(options: Mapping[str, Any]) -> bool:
    return options.get("scorer") in CLASSICAL_SCORERS


def _on_gpu(options: Mapping[str, Any]) -> bool:
    return str(options.get("device", "auto")).startswith("cuda")
