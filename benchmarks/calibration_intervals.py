"""Count how often the 95 % interval of the expected calibration error holds the true error.

Drawn models are right with probability ``confidence ** power``: 1 is calibrated, more is too sure.
Run it with ``python benchmarks/calibration_intervals.py``; it takes about a minute.
"""

from __future__ import annotations

import numpy as np

from effcam.metrics.calibration_error import put_into_bins, resample, usual_bins
from effcam.metrics.calibration_result import measure_calibration

IMAGES = (100, 200, 500, 1000)
POWERS = (1.0, 1.3, 2.0, 3.0)
RUNS = 400
MANY = 1_000_000


def draw(count: int, power: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences, most of them near 1, and how often predictions of each are right."""
    confidence = 1 - 0.9 * rng.beta(0.6, 3, count)
    return confidence, confidence**power


def main() -> None:
    """Print a table in Markdown, in per cent."""
    rng = np.random.default_rng(0)
    print("| images | true ECE | ECE | if calibrated | corrected | held | percentiles alone |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for count in IMAGES:
        for power in POWERS:
            every = draw(MANY, power, rng)
            true = put_into_bins(*every, np.arange(MANY), usual_bins(count)).error()
            rows = []
            for _ in range(RUNS):
                confidence, chance = draw(count, power, rng)
                right = (rng.random(count) < chance).astype(float)
                found = measure_calibration(confidence, right, np.arange(count))
                binned = put_into_bins(confidence, right, np.arange(count), usual_bins(count))
                low, high = np.quantile(resample(binned, rng)[0], (0.025, 0.975))
                held = found.low <= true <= found.high
                rows.append(
                    (found.error, found.expected, found.corrected, held, low <= true <= high)
                )
            means = 100 * np.mean(rows, axis=0)
            shown = " | ".join(f"{value:.1f}" for value in (100 * true, *means[:3]))
            print(f"| {count} | {shown} | {means[3]:.0f} | {means[4]:.0f} |")


if __name__ == "__main__":
    main()
