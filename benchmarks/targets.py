"""Time of a contrast, and of five targets at once, over the time of one class.

    python benchmarks/targets.py [--rounds 9] [--models resnet152 vit_small] [--batch 8]
                                 [--json FILE]

Targets share the forward pass; each needs a backward pass through the head.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

import measure
import torch
from engine import SIZE, TARGET, Seconds
from measure import goal, median_ms, paired, ratio
from one_batch import measure_models, read_options, settings_of

from effcam import Model
from effcam.cam.explain import explaining
from effcam.cam.questions import ask
from effcam.cam.scores import ClassQuestions
from effcam.targets import Contrast
from effcam.targets.plain import Single

ONE: tuple[Single, ...] = (TARGET,)
CONTRAST: tuple[Single, ...] = (Contrast("top1", "top2"),)
FIVE: tuple[Single, ...] = ("top1", "top2", "top3", "top4", "top5")
MOST = {"contrast": 1.03, "five": 1.4}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = read_options(argv, __doc__)
    found = measure_models(options, _measure)
    measure.report(_result(found, options), options.json)
    return 0


def _measure(model: Model, batch: int, rounds: int) -> Seconds:
    images = torch.randn(batch, 3, SIZE, SIZE, device=model.device)

    def asked(targets: Sequence[Single]) -> list[ClassQuestions]:
        return [ask(model, [each] * batch, batch) for each in targets]

    one, contrast, five = map(asked, (ONE, CONTRAST, FIVE))
    with explaining(model) as explain:
        return paired(
            {
                "one": lambda: explain.each(images, ["gradcam"], one),
                "contrast": lambda: explain.each(images, ["gradcam"], contrast),
                "five": lambda: explain.each(images, ["gradcam"], five),
            },
            rounds,
        )


def _result(found: Mapping[str, Seconds], options: argparse.Namespace) -> measure.Result:
    over = {
        way: {label: ratio(seconds, way, "one") for label, seconds in found.items()} for way in MOST
    }
    return measure.Result(
        script="targets",
        title="Other targets",
        question=(
            "The time of effcam for a batch that explains a contrast of two classes, and the five "
            "classes with the highest scores, each divided by its time for one class."
        ),
        columns=["model", "one, ms", "contrast, ms", "five, ms", "contrast / one", "five / one"],
        rows=[
            [
                label,
                *(median_ms(seconds, way) for way in ("one", "contrast", "five")),
                *(over[way][label] for way in MOST),
            ]
            for label, seconds in found.items()
        ],
        notes=[
            goal("a contrast at most 1.03 of one class", over["contrast"], _within("contrast")),
            goal("five targets at most 1.4 of one", over["five"], _within("five")),
        ],
        settings=settings_of(options),
    )


def _within(way: str) -> Callable[[float], bool]:
    return lambda value: value <= MOST[way]


if __name__ == "__main__":
    sys.exit(main())
