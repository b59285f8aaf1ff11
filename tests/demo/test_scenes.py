"""Scenes: the same everywhere, what they say of themselves is true, and nothing is given away."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import effcam
from effcam.demo import LABELS, Scene, scenes, shading
from effcam.demo.rng import Rng
from effcam.demo.shapes import DISTRACTORS, OBJECTS, Outline, placed, signed_distance
from effcam.errors import ArgumentError
from effcam.images.discovery import iter_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCES = Path(effcam.demo.__file__).parent
DRAWING = (
    *("rng.py", "shapes.py", "shading.py", "rendering.py", "scene.py", "scenes.py"),
    *("look_alikes.py", "marked_scenes.py", "tetrominoes.py"),
)


@pytest.fixture(scope="module")
def made() -> list[Scene]:
    return scenes(20, seed=5, size=96)


# the same everywhere


def digest(scene: Scene) -> str:
    return hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes()).hexdigest()[:16]


def test_scenes_are_these_to_the_last_bit() -> None:
    found = [digest(scene) for scene in scenes(3, seed=0, size=128)]
    found += [digest(scene) for scene in scenes(2, seed=7, size=(96, 64))]
    assert found == GOLDEN


GOLDEN = [
    "8bb0b8a1ceccd028",
    "12f91c5f488e91be",
    "2ce518ad69744ec2",
    "4ec7607b9a4f5cad",
    "4bc02ab368106fe3",
]


def test_a_scene_depends_on_seed_and_position_alone(made: list[Scene]) -> None:
    few = scenes(3, seed=5, size=96)
    assert [digest(scene) for scene in few] == [digest(scene) for scene in made[:3]]
    others = {digest(scene) for scene in scenes(3, seed=6, size=96)}
    assert others.isdisjoint(map(digest, made))
    assert len(set(map(digest, made))) == len(made)


def test_another_size_shows_the_same_scene_larger() -> None:
    for small, large in zip(scenes(4, size=64), scenes(4, size=192), strict=True):
        assert small.label == large.label
        for near, far in zip(small.box.as_tuple(), large.box.as_tuple(), strict=True):
            assert far == pytest.approx(3 * near, abs=4)
        shrunk = np.asarray(large.image.resize((64, 64)), float)
        alike = np.corrcoef(shrunk.ravel(), np.asarray(small.image, float).ravel())[0, 1]
        assert alike > 0.8


def test_nothing_is_drawn_with_what_machines_round_apart() -> None:
    """Beside + - * / and the square root, processors and libraries differ in the last bit."""
    allowed = {
        "PCG64", "abs", "arange", "asarray", "clip", "flatnonzero", "float32", "floor", "full",
        "indices", "inf", "intp", "logical_or", "maximum", "minimum", "roll", "sqrt", "uint64",
        "uint8",
        "unravel_index", "where", "zeros", "zeros_like", "random",
    }  # fmt: skip
    for name in DRAWING:
        tree = ast.parse((SOURCES / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "np":
                    assert node.attr in allowed | {"bool", "bool_"}, f"{name}: np.{node.attr}"
                if node.value.id == "math" and node.attr in ("cos", "sin"):
                    assert name == "shapes.py", "there they are rounded to nine digits"


def test_rng_is_even_and_stays_in_its_bounds() -> None:
    rng = Rng(3)
    field = rng.field(100, 100)
    assert field.dtype == np.float32
    assert 0 <= field.min() < 0.01
    assert 0.99 < field.max() < 1
    assert field.mean() == pytest.approx(0.5, abs=0.01)
    drawn = [rng.whole(2, 5) for _ in range(400)]
    assert set(drawn) == {2, 3, 4, 5}
    for _ in range(50):
        x, y = rng.direction()
        assert x * x + y * y == pytest.approx(1)


# what a scene says of itself


@pytest.mark.parametrize("objects", [2, 3])
def test_scenes_of_several_objects_have_several_annotations(objects: int) -> None:
    for scene in scenes(6, seed=9, size=96, objects=objects):
        labels = [each.label for each in scene.objects]
        assert len(set(labels)) == len(labels) == objects
        assert (scene.label, scene.box) == (labels[0], scene.objects[0].box)
        for each in scene.objects:
            rows, columns = np.nonzero(each.mask)
            assert each.box.as_tuple() == (
                columns.min(), rows.min(), columns.max() + 1, rows.max() + 1,
            )  # fmt: skip
        assert sum(each.mask.astype(int) for each in scene.objects).max() == 1  # type: ignore[union-attr]
        truth = scene.ref.truth
        assert truth is not None
        assert truth.labels == tuple(labels)
        assert len(truth.boxes) == objects
        assert truth.mask is not None
        assert truth.mask.sum() == sum(each.mask.sum() for each in scene.objects)


def test_more_objects_than_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="objects must be from 1 to 3, not 4"):
        scenes(1, objects=4)


def test_a_scene_knows_what_it_shows(made: list[Scene]) -> None:
    for scene in made:
        assert scene.image.mode == "RGB"
        assert scene.image.size == (96, 96)
        assert scene.mask.shape == (96, 96)
        assert scene.mask.dtype == bool
        assert scene.label == LABELS[scene.target]
        left, top, right, bottom = map(int, scene.box.as_tuple())
        assert scene.mask[top:bottom, left:right].sum() == scene.mask.sum() > 20
        for edge in (scene.mask[top], scene.mask[bottom - 1]):
            assert edge.any()
        for edge in (scene.mask[:, left], scene.mask[:, right - 1]):
            assert edge.any()


def test_every_ten_scenes_show_all_ten_classes(made: list[Scene]) -> None:
    for block in (made[:10], made[10:]):
        assert sorted(scene.label for scene in block) == sorted(LABELS)
    assert [scene.label for scene in made[:10]] != [scene.label for scene in made[10:]]


@pytest.mark.parametrize("size", [96, (160, 96), (96, 160)])
def test_the_object_lies_where_a_usual_crop_shows_it(size: int | tuple[int, int]) -> None:
    for scene in scenes(20, seed=2, size=size):
        width, height = scene.image.size
        assert (width, height) == (size if isinstance(size, tuple) else (size, size))
        seen = effcam.Preprocess(size=84, resize=96).region(width, height)
        assert seen.left <= scene.box.left < scene.box.right <= seen.right
        assert seen.top <= scene.box.top < scene.box.bottom <= seen.bottom


@pytest.mark.slow
def test_places_sizes_and_angles_differ() -> None:
    many = scenes(100, seed=8, size=64)
    for edge in ("left", "top"):
        places = [getattr(scene.box, edge) for scene in many]
        assert min(places) < 12
        assert max(places) > 36
    areas = [scene.mask[scene.mask].size for scene in many if scene.label == "heart"]
    assert max(areas) > 1.5 * min(areas)
    centre = np.mean([scene.mask[32, 32] for scene in many])
    assert centre < 0.2


def test_the_object_differs_from_the_background(made: list[Scene]) -> None:
    """Its mean colour differs from that of a ring around it."""
    for scene in made:
        pixels = np.asarray(scene.image, float)
        wide = np.zeros_like(scene.mask)
        ys, xs = np.nonzero(scene.mask)
        for dy, dx in ((-6, 0), (6, 0), (0, -6), (0, 6)):
            wide[np.clip(ys + dy, 0, 95), np.clip(xs + dx, 0, 95)] = True
        ring = wide & ~scene.mask
        assert np.abs(pixels[scene.mask].mean(0) - pixels[ring].mean(0)).max() > 15


def test_a_map_hits_where_it_is_strongest_inside_the_box(made: list[Scene]) -> None:
    scene = made[0]
    left, top, right, bottom = map(int, scene.box.as_tuple())
    heat = np.zeros((96, 96), np.float32)
    assert not scene.is_hit(heat), "a map without a strongest point points nowhere"
    assert not scene.is_hit(heat + 1)
    for y, x, inside in (
        (top, left, True),
        (bottom - 1, right - 1, True),
        (top - 1, left, False),
        (bottom, right - 1, False),
        (bottom - 1, right, False),
    ):
        pose = heat.copy()
        pose[y, x] = 1
        assert scene.is_hit(pose) is inside


def test_a_scene_goes_into_a_comparison_under_its_name(made: list[Scene]) -> None:
    assert [scene.ref.name for scene in made[:2]] == ["scene 1", "scene 2"]
    assert made[0].ref.open() == made[0].image
    for given in (made[:2], [made[0], [made[1].ref]]):
        names = [ref.name for ref in iter_images(given)]
        assert names == ["scene 1", "scene 2"]
    (alone,) = iter_images(made[4])
    assert alone.open() == made[4].image


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number from 1, not 0"),
        ({"n": 2.5}, "n must be a whole number from 1, not 2.5"),
        ({"n": True}, "n must be a whole number"),
        ({"n": 1, "seed": -1}, "seed must be a whole number from 0, not -1"),
        ({"n": 1, "seed": "x"}, "seed must be a whole number from 0, not 'x'"),
        ({"n": 1, "size": 8}, "size must be a number of px from 32 to 4096.* not 8"),
        ({"n": 1, "size": (64, 9000)}, r"size must be .* not \(64, 9000\)"),
        ({"n": 1, "size": (64, 64, 3)}, r"a \(width, height\) pair"),
        ({"n": 1, "size": "large"}, "size must be .* not 'large'"),
    ],
)
def test_impossible_scenes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        scenes(**arguments)


# outlines


def test_distance_to_a_square_is_what_it_is() -> None:
    square = Outline(([(2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0)],))
    distance = signed_distance(square, 10, 12)
    assert distance.shape == (10, 12)
    assert distance[5, 5] == -2.5
    assert distance[5, 10] == 2.5
    assert distance[0, 0] == pytest.approx(1.5 * 2**0.5)
    assert (distance < 0).sum() == 36


def test_holes_are_outside() -> None:
    loop = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]
    hole = [(4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0)]
    distance = signed_distance(Outline((loop,), (hole,)), 10, 10)
    assert distance[4, 4] == 0.5
    assert distance[1, 1] == -1.5
    assert (distance < 0).sum() == 96


@pytest.mark.parametrize("label", LABELS)
def test_things_fit_their_circle_and_fill_a_fair_part_of_it(label: str) -> None:
    thing = OBJECTS[label]()
    points = np.array([point for loop in thing.parts for point in loop])
    assert 0.85 < np.sqrt((points**2).sum(1)).max() < 1.3
    large = placed(thing, (60.0, 60.0), 40.0, (1.0, 0.0))
    assert 0.1 < (signed_distance(large, 120, 120) < 0).mean() / (np.pi / 9) < 0.9


def test_turning_an_outline_turns_its_picture() -> None:
    fish = OBJECTS["fish"]()
    level = signed_distance(placed(fish, (32.0, 32.0), 25.0, (1.0, 0.0)), 64, 64)
    quarter = signed_distance(placed(fish, (32.0, 32.0), 25.0, (0.0, 1.0)), 64, 64)
    np.testing.assert_allclose(np.rot90(level, -1), quarter, atol=1e-4)


def test_no_distractor_is_a_thing_of_a_class() -> None:
    """Laid over one another as well as may be, outlines of the two kinds still differ."""
    rng = Rng(1)
    turns = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0), (0.6, 0.8), (-0.8, 0.6)]

    def masks(outline: Outline) -> list[NDArray[np.bool_]]:
        return [
            signed_distance(placed(outline, (32.0, 32.0), 26.0, turn), 64, 64) < 0 for turn in turns
        ]

    known = [masks(thing())[0] for thing in OBJECTS.values()]
    for make in DISTRACTORS:
        for other in masks(make(rng)):
            for mask in known:
                assert (mask & other).sum() / (mask | other).sum() < 0.85


# paint


@pytest.mark.parametrize("hue", [0, 1 / 6, 0.4, 0.75, 1.2])
def test_colours_are_those_of_hue_saturation_and_value(hue: float) -> None:
    import colorsys

    expected = colorsys.hsv_to_rgb(hue % 1, 0.6, 0.8)
    assert shading.colour(hue, 0.6, 0.8) == pytest.approx(expected)


def test_level_ground_is_lit_evenly_and_slopes_by_their_side() -> None:
    light = shading.light_from((1.0, 0.0), 1.0)
    assert (shading.lit(np.zeros((8, 8), np.float32), light) == 1).all()
    up = np.broadcast_to(np.arange(8, dtype=np.float32), (8, 8))
    away, towards = shading.lit(up, light), shading.lit(-up, light)
    assert away[4, 4] < 0.1
    assert towards[4, 4] > 1.3


# nothing is given away


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return scenes(1200, seed=11, size=48)


def probe(features: NDArray[Any], targets: NDArray[Any]) -> float:
    """The accuracy of a linear probe on the last third, trained on the rest."""
    cut = len(features) * 2 // 3
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    model.fit(features[:cut], targets[:cut])
    return float(model.score(features[cut:], targets[cut:]))


def histogram(scene: Scene) -> NDArray[np.float64]:
    """The share of the pixels in each of 64 colours, and in 8 steps of each channel."""
    pixels = np.asarray(scene.image).reshape(-1, 3)
    coarse = np.bincount((pixels // 64) @ np.array([16, 4, 1]), minlength=64)
    steps = [np.bincount(channel // 32, minlength=8) for channel in pixels.T]
    return np.concatenate([coarse, *steps]) / len(pixels)


@pytest.mark.slow
def test_colours_alone_do_not_give_the_class_away(many: list[Scene]) -> None:
    features = np.stack([histogram(scene) for scene in many])
    targets = np.array([scene.target for scene in many])
    assert probe(features, targets) < 0.17
    # So that the probe is known to find what there is: a trace of the class in one colour.
    told = features.copy()
    told[:, 0] += 0.06 * (targets % 5)
    told[:, 1] += 0.06 * (targets // 5)
    assert probe(told, targets) > 0.3


@pytest.mark.slow
def test_place_alone_does_not_give_the_class_away(many: list[Scene]) -> None:
    boxes = np.array([scene.box.as_tuple() for scene in many])
    centres = np.stack([boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], 1) / 96
    features = np.concatenate([centres, centres**2, centres[:, :1] * centres[:, 1:]], 1)
    targets = np.array([scene.target for scene in many])
    assert probe(features, targets) < 0.17
    told = features + 0.05 * np.stack([targets] + 4 * [0 * targets], 1)
    assert probe(told, targets) > 0.2
