"""Time of one text, and of five texts at once, over that of the image tower alone.

    python benchmarks/texts.py [--rounds 9] [--model open_clip:ViT-B-32] [--batch 8] [--json FILE]

Texts share the forward pass; each needs a backward pass through the head. The weights are random,
which changes no time. This needs ``pip install 'effcam[clip]'`` for models of open_clip.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import measure
import numpy as np
import torch
from measure import goal, median_ms, paired, ratio

import effcam
from effcam.cam.explain import explaining
from effcam.cam.predict import running
from effcam.cam.scores import CosineQuestions

TEXTS = ("a dog", "a cat", "a red car", "two people", "a tree on a hill")
MOST = 1.4


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", default="open_clip:ViT-B-32")
    parser.add_argument("--batch", type=int, default=8)
    measure.add_json_option(parser)
    options = parser.parse_args(argv)
    model = effcam.load_model(options.model, pretrained=False)
    measure.report(_result(_measure(model, options), options), options.json)
    return 0


def _measure(model: effcam.Model, options: argparse.Namespace) -> dict[str, list[float]]:
    text = model.text
    if text is None:
        raise SystemExit(f"{model.name} has no text tower")
    images = torch.randn(options.batch, 3, *model.preprocess.size, device=model.device)
    directions = text.encode(TEXTS).cpu().numpy()
    asked = [CosineQuestions(np.repeat(each[None], options.batch, 0)) for each in directions]
    with running(model) as run:
        encode = {"texts": lambda: text.encode(TEXTS)}
        encoded = paired(encode, options.rounds)
        plain = paired({"plain": lambda: run(images)}, options.rounds)
    with explaining(model) as explain:
        found = paired(
            {
                "one": lambda: explain.each(images, ["gradcam"], asked[:1]),
                "five": lambda: explain.each(images, ["gradcam"], asked),
            },
            options.rounds,
        )
    return {**encoded, **plain, **found}


def _result(seconds: dict[str, list[float]], options: argparse.Namespace) -> measure.Result:
    five = ratio(seconds, "five", "one")
    return measure.Result(
        script="texts",
        title="Texts as columns",
        question=(
            "The time of effcam for a batch that explains one text, and five texts, beside the "
            "image tower alone and the encoding of the five texts, which is done once."
        ),
        columns=["model", "tower, ms", "one, ms", "five, ms", "encoding, ms", "five / one"],
        rows=[
            [
                options.model,
                *(median_ms(seconds, way) for way in ("plain", "one", "five", "texts")),
                five,
            ]
        ],
        notes=[
            goal(
                "five texts at most 1.4 of one", {options.model: five}, lambda value: value <= MOST
            )
        ],
        settings={"batch": options.batch, "rounds": options.rounds},
    )


if __name__ == "__main__":
    sys.exit(main())
