"""A comparison as one page: it needs no server, no network and nothing beside itself."""

from __future__ import annotations

from effcam.report.calls import Call
from effcam.report.material import Material, gather
from effcam.report.page import SUFFIXES, Look, build, check_report_output, write_report

__all__ = [
    "SUFFIXES",
    "Call",
    "Look",
    "Material",
    "build",
    "check_report_output",
    "gather",
    "write_report",
]
