"""Comparisons of ten thousand images and more: shards on disk, resumed where they were left."""

from effcam.comparison.parquet import require_pyarrow

# Said in a sentence here, and not in a traceback of whichever module comes first.
require_pyarrow()

from effcam.dataset.launch import compare_dataset
from effcam.dataset.run import DatasetRun, open_run

__all__ = ["DatasetRun", "compare_dataset", "open_run"]
