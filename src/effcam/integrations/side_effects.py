"""Keep what is shown during a training apart from the training itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from effcam.models.tracing.rng import IsolatedRandomness


@contextmanager
def same_randomness() -> Iterator[None]:
    """Restore the random numbers of Python, NumPy and torch after the context.

    Within it, torch begins at a seed of its own. Loaders with a generator of their own are not
    affected, since none is iterated.
    """
    # Trackers and drawing may draw numbers, for names of files as an example.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # the process's own
    try:
        with IsolatedRandomness():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def wait_for_devices() -> None:
    """Wait until GPUs have finished what training has asked of them.

    Else the time of a training step would be counted as that of what follows it.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
