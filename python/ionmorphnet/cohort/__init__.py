"""Cohorts of sections: runs over many files, mass drift, and the channels that the sections have in common."""

from ionmorphnet.cohort.consensus import Consensus, SectionChannels, consensus
from ionmorphnet.cohort.drift import Drift, find_drift
from ionmorphnet.cohort.manifest import Entry, Manifest, Shard, manifest_table
from ionmorphnet.cohort.ray_workers import RayOptions
from ionmorphnet.cohort.relatives import relatives
from ionmorphnet.cohort.removal import remove
from ionmorphnet.cohort.report import report
from ionmorphnet.cohort.run import REMOVED, CohortProgress, CohortRun, Planned, plan, run
from ionmorphnet.cohort.samples import Sample, read_samples
from ionmorphnet.cohort.sources import section_channels
from ionmorphnet.cohort.study import StudyMatrix, find_consensus, has_consensus, write_matrix
from ionmorphnet.cohort.study_folder import StudyFolder, study_folder
from ionmorphnet.cohort.supervisor import WorkerError
from ionmorphnet.cohort.tables import FORMATS as TABLE_FORMATS
from ionmorphnet.cohort.tables import StudyTables, write_tables

__all__ = [
    "REMOVED",
    "TABLE_FORMATS",
    "CohortProgress",
    "CohortRun",
    "Consensus",
    "Drift",
    "Entry",
    "Manifest",
    "Planned",
    "RayOptions",
    "Sample",
    "SectionChannels",
    "Shard",
    "StudyFolder",
    "StudyMatrix",
    "StudyTables",
    "WorkerError",
    "consensus",
    "find_consensus",
    "find_drift",
    "has_consensus",
    "manifest_table",
    "plan",
    "read_samples",
    "relatives",
    "remove",
    "report",
    "run",
    "section_channels",
    "study_folder",
    "write_matrix",
    "write_tables",
]
