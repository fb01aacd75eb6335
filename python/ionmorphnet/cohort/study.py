"""What comes after the picks of a study: the channels of all sections, and the matrix of all pixels."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import atomic_path, make_folder
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.paths import PathLike, is_url
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.cohort.carried import free_name
from ionmorphnet.cohort.consensus import Consensus, consensus
from ionmorphnet.cohort.consensus_files import RECORD, channel_table, read_consensus, write_consensus
from ionmorphnet.cohort.manifest import Entry, Manifest
from ionmorphnet.cohort.matrix import SectionMatrix, column_reader, join_matrices, kept_matrix, write_section_matrix
from ionmorphnet.cohort.relatives import image_correlation, relatives
from ionmorphnet.cohort.sources import section_channels
from ionmorphnet.cohort.storage import staged
from ionmorphnet.cohort.study_folder import RESULTS, StudyFolder, study_folder
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.normalization import checked_normalize, median_norm
from ionmorphnet.picking.outputs import RECORD as RUN
from ionmorphnet.picking.outputs import TABLES
from ionmorphnet.picking.run_record import RunRecord
from ionmorphnet.picking.saved import open_run

CONSENSUS, MATRICES, COHORT, MEANS = "consensus", "matrix", "cohort.zarr", "means.csv"
RELATIVES = "relatives.csv"


@dataclass(frozen=True)
class StudySection:
    """A result of a study.

    Attributes:
        name: Its name: that of the sample, with the plane or polarity where a file has several.
        folder: Its result folder.
        entry: The entry of its file.
    """

    name: str
    folder: Path
    entry: Entry


def study_sections(out: PathLike) -> list[StudySection]:
    """The results of a study, by name.

    Raises:
        FileError: There is no manifest, or it cannot be read.
        ArgumentError: No section is done.
    """
    manifest = Manifest(Path(out))
    if not manifest.files():
        raise FileError(f"{out}: holds no manifest; pick the sections with ionmorphnet cohort run")
    found = [
        StudySection(name, manifest.folder / RESULTS / name, entry)
        for entry in manifest.entries().values()
        if entry.status == "done"
        for name in entry.results
    ]
    if not found:
        raise ArgumentError(f"{out}: no section is done")
    return sorted(found, key=lambda each: each.name)


def has_consensus(out: PathLike) -> bool:
    """Whether a consensus was made of the sections of a study, or of some of them."""
    return (Path(out) / CONSENSUS / RECORD).is_file()


def find_consensus(
    out: PathLike,
    *,
    min_share: float = 0.2,
    reach_ppm: float | None = None,
    lock_masses: npt.ArrayLike | None = None,
    stage: PathLike | None = None,
) -> Consensus:
    """Finds the channels of a study from the candidates of all its sections and writes them to ``OUT/consensus``.

    Args:
        out: The study's folder, or its URL.
        min_share: See :func:`ionmorphnet.cohort.consensus`, as for the arguments that follow.
        reach_ppm: As above.
        lock_masses: As above.
        stage: Folder for local copies of what lies behind a URL; None: the system's folder for temporary files.

    Raises:
        ArgumentError: An argument is out of range, or no section is done.
        FileError: A result cannot be read, or the files cannot be written.
    """
    with study_folder(out, stage, wanted=lambda name: _is_table(name) or name.startswith(f"{CONSENSUS}/")) as folder:
        found = _found_consensus(folder.local, min_share, reach_ppm, lock_masses)
        folder.publish_tree(CONSENSUS)
    return found


def _is_table(name: str) -> bool:
    """Whether a file of a study is one of those that :func:`ionmorphnet.open_run` reads."""
    return name.startswith(f"{RESULTS}/") and name.rpartition("/")[2] in (RUN, *TABLES)


def _found_consensus(
    out: Path, min_share: float, reach_ppm: float | None, lock_masses: npt.ArrayLike | None
) -> Consensus:
    sections = [section_channels(each.folder, each.name) for each in study_sections(out)]
    found = consensus(sections, min_share=min_share, reach_ppm=reach_ppm, lock_masses=lock_masses)
    locks = None if lock_masses is None else np.atleast_1d(np.asarray(lock_masses, np.float64)).tolist()
    parameters = {"min_share": min_share, "reach_ppm": reach_ppm, "lock_masses": locks}
    write_consensus(found, sections, out / CONSENSUS, parameters)
    return found


@dataclass(frozen=True)
class StudyMatrix:
    """Written matrices.

    Attributes:
        path: The store of the whole study, or its URL.
        n_pixels: Its rows.
        n_channels: Its columns.
        means: Mean of each channel in each section: a row per section with its columns of the sample list.
        relatives: Channels that are probably isotopes or adducts of others, see :func:`ionmorphnet.cohort.relatives`.
        notes: What limits their meaning, one line each.
    """

    path: str
    n_pixels: int
    n_channels: int
    means: pd.DataFrame
    relatives: pd.DataFrame
    notes: tuple[str, ...] = ()


def consensus_notes(found: Consensus, sections: Iterable[StudySection]) -> list[str]:
    """Whether a consensus counts sections that have left the study, in a line."""
    names = {each.name for each in sections}
    gone = [name for name in found.sections if name not in names]
    if not gone:
        return []
    shown = ", ".join(gone[:3]) + (", ..." if len(gone) > 3 else "")
    return [
        f"the consensus counts {len(gone)} of {len(found.sections)} sections that have left the study ({shown}); "
        "make it again with ionmorphnet cohort consensus"
    ]


def write_matrix(
    out: PathLike,
    *,
    normalize: str = "none",
    memory_limit: int | str = "4GB",
    threads: int = 0,
    stage: PathLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StudyMatrix:
    """Extracts the consensus channels from every pixel of every section, each with its own mass drift.

    Writes ``OUT/matrix/<section>.zarr``, ``OUT/cohort.zarr`` with all pixels below each other, ``OUT/means.csv``, and
    ``OUT/consensus/relatives.csv`` with the channels that are probably isotopes or adducts of others. A section whose
    store is there, from the same consensus, data and normalisation, is not read again.

    Args:
        out: The study's folder, or its URL, with a consensus. Behind a URL, stores are written here and then uploaded.
        normalize: ``none``, ``tic``, ``rms`` or ``median``, see :meth:`ionmorphnet.Dataset.ion_images`. Recorded;
            nothing else is corrected, batches neither.
        memory_limit: Limit of what is held at once.
        threads: CPU threads, 0 = all cores.
        stage: Folder for local copies of what lies behind URLs, such as the sections, each of which is copied twice if
            it is normalised. None: the system's folder for temporary files.
        progress: Called as progress(done, total) over the sections.

    Raises:
        ArgumentError: An argument is out of range, or the consensus is empty or of other sections.
        FileError: A file cannot be read or written.
        UnavailableError: anndata or zarr is not installed.
    """
    kind = checked_normalize(normalize)
    copies = None if stage is None else Path(stage)
    kept = (f"{CONSENSUS}/", f"{MATRICES}/")
    with study_folder(out, stage, wanted=lambda name: _is_table(name) or name.startswith(kept)) as folder:
        return _written_matrix(folder, kind, memory_limit, threads, copies, progress or (lambda *_: None))


def _written_matrix(
    folder: StudyFolder,
    kind: Normalize,
    memory_limit: int | str,
    threads: int,
    stage: Path | None,
    tell: Callable[[int, int], None],
) -> StudyMatrix:
    out = folder.local
    found, sections = read_consensus(out / CONSENSUS), study_sections(out)
    if not len(found):
        raise ArgumentError(f"{out}: the consensus has no channels; lower min_share")
    places = {name: k for k, name in enumerate(found.sections)}
    unknown = [each.name for each in sections if each.name not in places]
    if unknown:
        raise ArgumentError(f"{unknown[0]}: is not in the consensus; make it again with ionmorphnet cohort consensus")
    records = [_record(each) for each in sections]
    scales, unit = _scales(sections, records, kind, threads, stage)
    var = channel_table(found)
    var.index = pd.Index([f"{mz:.6f}" for mz in var["mz"]], dtype=object)
    var = var.rename(columns={name: str(name).replace("/", "_") for name in var})  # a slash would make a group
    written: list[SectionMatrix] = []
    for k, (section, record, scale) in enumerate(zip(sections, records, scales, strict=True)):
        tell(k, len(sections))
        axis = found.axis(places[section.name])
        target = out / MATRICES / f"{section.name}.zarr"
        make_folder(target.parent)
        state = _state(section, record, axis, var["mz"].to_numpy(np.float64), kind, scale)
        kept = kept_matrix(target, state, var)
        if kept is None:
            facts = {
                "source": record.input.path,
                "uuid": record.input.uuid or "",
                "normalize": kind,
                "scale": scale,
                "unit": unit,
                "drift_mz": list(found.drift[places[section.name]].mz),
                "drift_ppm": list(found.drift[places[section.name]].ppm),
            }
            with _opened(section, record, stage) as ds:
                kept = write_section_matrix(
                    ds,
                    axis,
                    target,
                    var=var,
                    sample=section.name,
                    columns=section.entry.columns,
                    facts=facts,
                    normalize=kind,
                    scale=scale,
                    state=state,
                    memory_limit=memory_limit,
                    threads=threads,
                )
        folder.publish_tree(target.relative_to(out).as_posix())
        written.append(kept)
    n_pixels = join_matrices(out / COHORT, [each.path for each in written], memory_limit=memory_limit)
    pairs = relatives(
        var["mz"].to_numpy(np.float64),
        image_correlation(
            [column_reader(each.path) for each in written],
            found.members[[places[n.name] for n in sections]],
            memory=parse_bytes(memory_limit) // 4,
        ),
        tolerance_ppm=max(3.0, 3.0 * found.width_ppm),
    )
    with atomic_path(out / CONSENSUS / RELATIVES) as temporary:
        _numbered(pairs).to_csv(temporary, index=False)
    means = _means(sections, written, var.index)
    with atomic_path(out / MEANS) as temporary:
        means.to_csv(temporary, index=False)
    folder.publish_tree(COHORT, MEANS, CONSENSUS)
    tell(len(sections), len(sections))
    notes = tuple(consensus_notes(found, sections))
    return StudyMatrix(folder.place(COHORT), n_pixels, len(found), means, pairs, notes)


def _numbered(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs with the numbers of the channels in place of their positions."""
    return pairs.assign(lighter=pairs["lighter"] + 1, heavier=pairs["heavier"] + 1)


def _record(section: StudySection) -> RunRecord:
    run = open_run(section.folder).run
    assert run is not None
    return run


@contextlib.contextmanager
def _opened(section: StudySection, record: RunRecord, stage: Path | None) -> Iterator[Dataset]:
    """A section of a study, from where it is or from a copy that goes again."""
    with contextlib.ExitStack() as stack:
        place = section.entry.path
        path = stack.enter_context(staged(place, stage)) if is_url(place) else place
        yield stack.enter_context(record.input.reopen(path))


def _state(
    section: StudySection,
    run: RunRecord,
    axis: CandidateAxis,
    mz: npt.NDArray[np.float64],
    normalize: str,
    scale: float,
) -> str:
    """Hash of everything that a section's matrix depends on."""
    known = [run.input.files, run.input.opened_with, run.input.z, section.entry.columns]
    digest = hashlib.sha256(json.dumps(plain(known)).encode())
    for values in (axis.mz_lo, axis.mz_hi, mz):
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(f"{normalize} {scale!r}".encode())
    return digest.hexdigest()


def _scales(
    sections: Sequence[StudySection],
    records: Sequence[RunRecord],
    normalize: Normalize,
    threads: int,
    stage: Path | None,
) -> tuple[list[float], float]:
    """Factors that bring all sections to one scale, and the norm that is its unit.

    A section's normalised images are in units of its own median norm, which differ between sections; the cohort's are
    in units of the median of these.
    """
    if normalize == "none":
        return [1.0] * len(records), 1.0
    medians = []
    for section, record in zip(sections, records, strict=True):
        with _opened(section, record, stage) as ds:
            medians.append(median_norm(ds._native, normalize, threads=threads))
    known = [value for value in medians if value > 0.0]
    common = float(np.median(known)) if known else 1.0
    return [common / value if value > 0.0 else 0.0 for value in medians], common


def _means(sections: Sequence[StudySection], written: Sequence[SectionMatrix], channels: pd.Index) -> pd.DataFrame:
    values = pd.DataFrame([each.means for each in written], columns=channels)
    own = {"section", "n_pixels", *map(str, channels)}
    names = pd.DataFrame(
        [
            {"section": each.name, **{free_name(key, own, "sample"): text for key, text in each.entry.columns.items()}}
            for each in sections
        ]
    )
    names["n_pixels"] = [each.n_pixels for each in written]
    return pd.concat([names, values], axis=1)
