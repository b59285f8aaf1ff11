"""Whether the heat of each label lies on its own object, in scenes of two objects.

Run ``python benchmarks/two_labels.py [--scenes 200]``. The model, ``demo_multilabel``, was trained
on scenes of another seed, on which labels are there alone. For both labels of each scene, it prints
how many times denser heat is on the label's own object than over the whole image, and on the other
label's object, each with a 95 % interval over scenes; 1 is chance.
"""

from __future__ import annotations

import argparse

import numpy as np

import effcam
from effcam.demo import scenes
from effcam.metrics import energy_pointing_game, label_probabilities
from effcam.metrics.estimates import estimate

SEED = 4_000
MODEL = "demo_multilabel"


def main() -> None:
    """Measure, and print one line per figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--method", default="gradcam")
    options = parser.parse_args()
    made = scenes(options.scenes, SEED, 160, objects=2)
    asked = {
        "first": [each.objects[0].label for each in made],
        "second": [each.objects[1].label for each in made],
    }
    models = {"model": MODEL}
    compared = effcam.compare(made, models, target=asked, method=options.method, progress=False)
    own, other, hits = (np.full((len(made), 2), np.nan) for _ in range(3))
    for row, (scene, cells) in enumerate(zip(made, compared.rows(), strict=True)):
        for at, cell in enumerate(cells):
            if cell.state != "ok":
                continue
            heat = cell.evidence(*cell.size)
            masks = [scene.objects[at].mask, scene.objects[1 - at].mask]
            own[row, at], other[row, at] = (
                float(energy_pointing_game(heat, mask=mask)) / mask.mean() for mask in masks
            )
            y, x = np.unravel_index(int(heat.argmax()), heat.shape)
            box = scene.objects[at].box
            hits[row, at] = box.left <= x < box.right and box.top <= y < box.bottom
    units = np.arange(len(made))
    print(f"{len(made)} scenes of 2 objects, {MODEL}, {options.method}; chance is 1")
    for name, values in (
        ("own object", own),
        ("other object", other),
        ("own / other", own - other),
    ):
        found = estimate(np.nanmean(values, 1, keepdims=True), units=units)
        title = "difference" if name == "own / other" else f"density on the {name}"
        print(f"{title:30} {found.values[0]:6.2f} [{found.low[0]:.2f}, {found.high[0]:.2f}]")
    chance = np.mean(
        [each.box.width * each.box.height / 160**2 for s in made for each in s.objects]
    )
    print(f"{'hottest point in its own box':30} {np.nanmean(hits):6.1%}, chance {chance:.1%}")
    found_labels = label_probabilities(compared, models, progress=False)
    summary = compared.summary(label_probabilities=found_labels, fair=False)
    mean = summary.measure("mean_average_precision")
    chance = mean.baselines["random order"]
    print(
        f"{'mean average precision':30} {mean.values[0]:6.1%} "
        f"[{mean.low[0]:.1%}, {mean.high[0]:.1%}], random order {chance:.1%}"
    )


if __name__ == "__main__":
    main()
