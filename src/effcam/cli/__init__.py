"""The command line: ``effcam compare``, ``dataset``, ``models``, ``demo``, ``info``."""

from __future__ import annotations

from effcam.cli.program import main

__all__ = ["main"]
