"""Helpers of the command line's tests."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

UNTRAINED = ("-m", "test_resnet", "--weights", "none", "--size", "64")
"""A tiny model without weights, on which most commands here are tried."""


class Done:
    """What a command answered: its exit code and what it wrote to stdout and stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


NET = """
    from torch import nn

    def make(classes=3, **options):
        return nn.Sequential(
            nn.AvgPool2d(16), nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, classes),
        )
"""


def python(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, timeout=300, check=False, **options
    )


def rows(path: Path | str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def frames(path: Path | str) -> int:
    with Image.open(path) as picture:
        return int(getattr(picture, "n_frames", 1))


DEMO = ("-m", "demo_alexnet", "-m", "demo_resnet")


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())
