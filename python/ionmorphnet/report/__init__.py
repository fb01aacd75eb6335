"""HTML report: one self-contained file for judging the picks of a section by eye."""

from __future__ import annotations

from ionmorphnet.report.data import ReportData
from ionmorphnet.report.page import MAX_PICTURES, render_report, write_report

__all__ = ["MAX_PICTURES", "ReportData", "render_report", "write_report"]
