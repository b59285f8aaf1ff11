"""A comparison as one page: it needs no server, no network and nothing beside itself."""

from __future__ import annotations

from effcam.comparison.report.inputs import Material, gather
from effcam.comparison.report.page import Look, build, check_report_output, write_report
from effcam.comparison.report.reproduce import Call

__all__ = [
    "Call",
    "Look",
    "Material",
    "build",
    "check_report_output",
    "gather",
    "write_report",
]
