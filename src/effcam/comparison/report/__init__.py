"""A comparison as a report: one page that needs no server, no network and no other file."""

from __future__ import annotations

from effcam.comparison.report.inputs import Material, gather
from effcam.comparison.report.page import Look, build, check_report_output, write_report
from effcam.comparison.report.reproduce import Snippet

__all__ = [
    "Look",
    "Material",
    "Snippet",
    "build",
    "check_report_output",
    "gather",
    "write_report",
]
