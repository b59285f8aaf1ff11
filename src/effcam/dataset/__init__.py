"""Comparisons of ten thousand images and more: shards on disk, resumed where they were left."""

from effcam.dataset.launch import compare_dataset
from effcam.dataset.run import DatasetRun, open_run

__all__ = ["DatasetRun", "compare_dataset", "open_run"]
