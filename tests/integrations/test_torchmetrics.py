"""The calibration error beside that of torchmetrics, where both have the same bins."""

from __future__ import annotations

import numpy as np
import pytest

from effcam.metrics import calibration

pytestmark = pytest.mark.integrations


@pytest.mark.parametrize("bins", [1, 5, 10])
def test_the_error_is_that_of_torchmetrics(bins: int) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(0)
    # Evenly spread, so that bins of equal width hold equally many images.
    p = 0.5 + (np.arange(1000) + 0.5) / 2000
    right = rng.random(1000) < p**2
    # Of two classes, the first is the true one where the prediction is right.
    scores = torch.tensor(np.stack([p, 1 - p], 1))
    target = torch.tensor((~right).astype(np.int64))
    theirs = functional.multiclass_calibration_error(
        scores, target, num_classes=2, n_bins=2 * bins, norm="l1"
    )
    assert calibration(p, right, bins=bins).error == pytest.approx(float(theirs), abs=1e-6)
