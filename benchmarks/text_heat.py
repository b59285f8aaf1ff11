"""Whether the heat of a text lies on what the text names.

    python benchmarks/text_heat.py [--scenes 200] [--model demo_clip]

Held-out scenes show two objects each. The model is asked for each of them by a text, with its
colour ("a red arrow") and without ("an arrow"). Printed are, with 95 % bootstrap intervals over
scenes:

- how often the strongest heat lies on the object that the text names: in its box, and on the object
  itself; beside it how often a random place does, which is the share of the part of the scene that
  the model sees, and how many times as often the heat does;
- how often it lies in the box of the other object;
- the share of the heat in the box, beside the share of the area.

The second table is about the model and not about its maps: how often the best of ten texts names
the object of a scene with one; how often the best of the captions of 32 scenes is true of a scene
of two objects, and the best of 32 scenes shows what a caption says; how often the caption of a
scene fits better than the one with the colours of its two objects exchanged.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from resampling import mean, over_scenes, times_chance
from torch.nn import functional

import effcam
from effcam import Box
from effcam.demo import LABELS, Caption, CaptionedScene, captioned_scenes
from effcam.targets import Text
from effcam.text import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED, SIZE = 2_000, 128
GROUP = 32
AT_ONCE = 64


class Found(NamedTuple):
    """What a map shows of an object; hits, chances and shares, each from 0 to 1."""

    in_box: float
    chance_of_box: float
    on_object: float
    chance_of_object: float
    in_other: float
    heat_in_box: float


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--model", default="demo_clip")
    options = parser.parse_args()
    model = effcam.load_model(options.model)
    drawn = captioned_scenes(options.scenes, SEED, SIZE)
    print(align([HEADINGS, *heat_rows(model, drawn)]), "\n")
    print(align(retrieval_rows(model, drawn)))


HEADINGS = (
    *("text", "in its box", "by chance", "times chance", "on the object", "by chance"),
    *("times chance", "in the other box", "heat in the box"),
)


def heat_rows(model: effcam.Model, drawn: list[CaptionedScene]) -> list[list[str]]:
    """Return a row for texts without colours, and one for texts with them."""
    rows = []
    for named, example in ((False, "an arrow"), (True, "a red arrow")):
        # (scenes, 2, figures): intervals are over scenes, since both texts share one.
        found = np.stack([_of_object(model, drawn, at, named) for at in (0, 1)], 1)
        (in_box, box, on_object, mask, other, heat) = np.moveaxis(found, 2, 0)
        rows.append(
            [
                example,
                over_scenes(mean, in_box).text(),
                f"{box.mean():.3f}",
                over_scenes(times_chance, in_box, box).text(1),
                over_scenes(mean, on_object).text(),
                f"{mask.mean():.3f}",
                over_scenes(times_chance, on_object, mask).text(1),
                over_scenes(mean, other).text(),
                over_scenes(mean, heat).text(),
            ]
        )
    return rows


def _of_object(
    model: effcam.Model, drawn: list[CaptionedScene], at: int, named: bool
) -> NDArray[np.float64]:
    """Return (scenes, figures): the `Found` of the object at a position, asked for by text."""
    captions = [
        Caption(((each.objects[at].colour if named else None, each.objects[at].label),))
        for each in drawn
    ]
    targets = [Text(str(caption)) for caption in captions]
    cells = effcam.compare(drawn, model, target=targets, progress=False)
    return np.array(
        [
            _found(cell.upsampled(), cell.region, scene, at)
            for cell, scene in zip(cells, drawn, strict=True)
        ]
    )


def _found(heat: NDArray[np.float32], region: Box, scene: CaptionedScene, at: int) -> Found:
    own, other = scene.objects[at], scene.objects[1 - at]
    seen, box = _inside(region, heat.shape), _inside(own.box, heat.shape)
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    is_flat = heat.min() == heat.max()
    return Found(
        own.is_hit(heat),
        float((box & seen).sum() / seen.sum()),
        bool(own.mask[y, x]) and not is_flat,
        float((own.mask & seen).sum() / seen.sum()),
        other.is_hit(heat),
        float(heat[box].sum() / heat.sum()) if heat.sum() > 0 else 0.0,
    )


def _inside(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool]:
    inside = np.zeros(shape, bool)
    inside[round(box.top) : round(box.bottom), round(box.left) : round(box.right)] = True
    return inside


def retrieval_rows(model: effcam.Model, drawn: list[CaptionedScene]) -> list[list[str]]:
    """Return the rows of the second table."""
    alone = captioned_scenes(len(drawn), SEED, SIZE, objects=1)
    kinds = [Caption(((None, label),)) for label in LABELS]
    named = _cosines(model, alone, kinds).argmax(1)
    right = np.array([each.objects[0].target for each in alone]) == named
    groups = [drawn[start : start + GROUP] for start in range(0, len(drawn), GROUP)]
    whole = [group for group in groups if len(group) == GROUP]
    pairs = [_retrieved(model, group) for group in whole]
    texts, images = (np.concatenate(each) for each in zip(*pairs, strict=True))
    return [
        ["", "accuracy", "by chance"],
        ["object of one, among 10", over_scenes(mean, right).text(), f"{1 / len(LABELS):.3f}"],
        [f"text of an image, among {GROUP}", over_scenes(mean, texts).text(), f"{1 / GROUP:.3f}"],
        [f"image of a text, among {GROUP}", over_scenes(mean, images).text(), f"{1 / GROUP:.3f}"],
        ["colours exchanged", over_scenes(mean, _told_apart(model, drawn)).text(), "0.500"],
    ]


def _retrieved(
    model: effcam.Model, group: list[CaptionedScene]
) -> tuple[NDArray[np.bool], NDArray[np.bool]]:
    """Return whether each image finds a true caption, and each caption an image of which it is."""
    captions = [each.caption for each in group]
    cosines = _cosines(model, group, captions)
    texts = [
        captions[at].is_true_of(full) for at, full in zip(cosines.argmax(1), captions, strict=True)
    ]
    images = [
        said.is_true_of(captions[at]) for at, said in zip(cosines.argmax(0), captions, strict=True)
    ]
    return np.array(texts), np.array(images)


def _told_apart(model: effcam.Model, drawn: list[CaptionedScene]) -> NDArray[np.bool]:
    """Return whether a caption fits better than the one with the colours exchanged."""
    chosen = [each for each in drawn if len({one.colour for one in each.objects}) == 2]
    true = [each.caption for each in chosen]
    wrong = [each.exchanged for each in true]
    one, other = (np.diag(_cosines(model, chosen, captions)) for captions in (true, wrong))
    return one > other


@torch.no_grad()
def _cosines(
    model: effcam.Model, drawn: list[CaptionedScene], captions: list[Caption]
) -> NDArray[Any]:
    """Return (scenes, captions) cosines."""
    network = model.module
    images = torch.stack([model.preprocess(each.image)[0] for each in drawn])
    seen = torch.cat([network.encode_image(part) for part in images.split(AT_ONCE)])
    said = network.encode_text(network.tokenizer([str(each) for each in captions]))
    found: NDArray[Any] = (
        functional.normalize(seen, dim=1) @ functional.normalize(said, dim=1).T
    ).numpy()
    return found


if __name__ == "__main__":
    main()
