"""Cohorts of sections: mass drift, and the channels that the sections have in common."""

from ionmorphnet.cohort.consensus import Consensus, SectionChannels, consensus
from ionmorphnet.cohort.drift import Drift, find_drift
from ionmorphnet.cohort.sources import section_channels

__all__ = ["Consensus", "Drift", "SectionChannels", "consensus", "find_drift", "section_channels"]
