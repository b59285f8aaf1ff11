"""Scenes with captions: what they say of themselves is true, and the same on every machine."""

from __future__ import annotations

import colorsys
import hashlib
from typing import Any

import numpy as np
import pytest

import effcam
from effcam.demo import LABELS, Caption, CaptionedScene, captioned_scenes, shading
from effcam.demo.captions import COLOURS, GROUNDS
from effcam.errors import ArgumentError
from effcam.images.discovery import iter_images


@pytest.fixture(scope="module")
def made() -> list[CaptionedScene]:
    return captioned_scenes(12, seed=5, size=96)


def digest(scene: CaptionedScene) -> str:
    masks = b"".join(each.mask.tobytes() for each in scene.objects)
    return hashlib.sha256(scene.image.tobytes() + masks).hexdigest()[:16]


def test_captioned_scenes_are_these_to_the_last_bit() -> None:
    found = [captioned_scenes(1, seed=3, size=64, objects=count)[0] for count in (1, 2, 3)]
    assert [(str(each.caption), digest(each)) for each in found] == GOLDEN


GOLDEN = [
    ("a red gear on stone", "1f68cabff85b7660"),
    ("a red crescent and a green clover on stone", "848cd66ea11b4753"),
    ("a blue star and a blue bone and a blue butterfly on sand", "e4f3b3c6d6e08287"),
]


def test_each_object_is_where_its_mask_and_box_are(made: list[CaptionedScene]) -> None:
    for scene in made:
        assert len(scene.objects) == 2
        one, other = scene.objects
        assert one.label != other.label
        assert not (one.mask & other.mask).any()
        for each in scene.objects:
            assert LABELS[each.target] == each.label
            left, top, right, bottom = map(int, each.box.as_tuple())
            assert each.mask[top:bottom, left:right].sum() == each.mask.sum() > 20


def test_objects_have_the_colours_that_are_named(made: list[CaptionedScene]) -> None:
    """The median colour on the object is nearest to that of its name, by hue; white has none."""
    middles = {name: sum(hues) / 2 for name, (hues, _, _) in COLOURS.items() if name != "white"}
    for scene in made:
        pixels = np.asarray(scene.image, float) / 255
        for each in scene.objects:
            hue, saturation, _ = colorsys.rgb_to_hsv(*np.median(pixels[each.mask], 0))
            apart = {name: min(abs(hue - at), 1 - abs(hue - at)) for name, at in middles.items()}
            found = "white" if saturation < 0.25 else min(apart, key=lambda name: apart[name])
            assert found == each.colour, scene.name


def test_a_scene_goes_into_a_comparison_with_all_of_its_boxes(made: list[CaptionedScene]) -> None:
    (ref,) = iter_images(made[0])
    assert ref.name == "scene 1"
    assert ref.truth is not None
    assert ref.truth.boxes == tuple(each.box for each in made[0].objects)
    assert ref.truth.mask is not None
    assert (ref.truth.mask == (made[0].objects[0].mask | made[0].objects[1].mask)).all()
    assert ref.truth.label is None
    alone = captioned_scenes(1, size=64, objects=1)[0]
    assert alone.ref.truth is not None
    assert alone.ref.truth.label == alone.objects[0].label


def test_names_are_those_of_what_is_drawn(made: list[CaptionedScene]) -> None:
    assert set(GROUNDS) == set(shading.GROUNDS)
    for scene in made:
        assert scene.ground in GROUNDS
        assert str(scene.caption).endswith(f" on {scene.ground}")
        assert all(each.colour in COLOURS for each in scene.objects)


FULL = Caption((("red", "arrow"), ("blue", "star")), "sand")


@pytest.mark.parametrize(
    ("said", "text", "true"),
    [
        (FULL, "a red arrow and a blue star on sand", True),
        (Caption(((None, "arrow"),)), "an arrow", True),
        (Caption((("blue", "star"), (None, "arrow"))), "a blue star and an arrow", True),
        (Caption((("blue", "arrow"),)), "a blue arrow", False),
        (Caption((("blue", "arrow"), ("red", "star"))), "a blue arrow and a red star", False),
        (Caption(((None, "arrow"), ("red", "arrow"))), "an arrow and a red arrow", False),
        (Caption(((None, "star"),), "wood"), "a star on wood", False),
        (Caption(((None, "star"),), "sand"), "a star on sand", True),
    ],
)
def test_a_caption_is_true_of_what_it_describes(said: Caption, text: str, true: bool) -> None:
    assert str(said) == text
    assert said.is_true_of(FULL) is true


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number from 1, not 0"),
        ({"n": 1, "objects": 4}, "objects must be a whole number from 1 to 3, not 4"),
        ({"n": 1, "size": 8}, "size must be a number of px"),
    ],
)
def test_impossible_captioned_scenes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        effcam.demo.captioned_scenes(**arguments)
