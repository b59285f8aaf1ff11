"""Comparisons of ten thousand images and more, written to disk in shards, and resumable."""

from effcam.comparison.parquet import require_pyarrow

# Before any module that imports pyarrow, so that the error names the package to install.
require_pyarrow()

from effcam.dataset.launch import compare_dataset
from effcam.dataset.run import DatasetRun, open_run

__all__ = ["DatasetRun", "compare_dataset", "open_run"]
