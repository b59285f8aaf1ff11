"""What several test modules use; what holds for all of them is in the conftest.py above."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real weights and photos; skips where there is none."""
    given = os.environ.get("EFFCAM_TEST_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not (folder / "expected.json").is_file():
        pytest.skip(f"no real weights and photos in {folder}: set EFFCAM_TEST_DATA to their folder")
    return folder
