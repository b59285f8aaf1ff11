"""Boxes, polygons and masks from XML in the format "CVAT for images 1.1"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from effcam.errors import AnnotationError
from effcam.images.annotations import Mask, read_boxes, read_masks
from effcam.images.geometry import Box

BOX = '<box label="cat" source="manual" occluded="0" xtl="3.00" ytl="4.50" xbr="13.00" ybr="8.50" z_order="0"></box>'  # noqa: E501
TAG = '<tag label="day" source="manual"></tag>'
POLYGON = '<polygon label="dog" source="manual" occluded="0" points="1.00,1.00;4.00,1.00;4.00,3.00;1.00,3.00" z_order="0"></polygon>'  # noqa: E501
# Rows 1 and 2 of columns 2 to 4, but for the last pixel.
MASK = '<mask label="cat" source="manual" occluded="0" rle="0, 5, 1" left="2" top="1" width="3" height="2" z_order="0"></mask>'  # noqa: E501


def cvat(*shapes: str, size: str = 'width="20" height="10"') -> str:
    """Return an export of two images, the second of which has no shapes."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        "<name>pets</name><labels><label><name>cat</name></label></labels></task></meta>"
        f'<image id="0" name="sub/a.jpg" {size}>{"".join(shapes)}</image>'
        f'<image id="1" name="b.jpg" {size}></image></annotations>'
    )


def saved(folder: Path, text: str, name: str = "annotations.xml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_boxes_are_in_px_and_other_shapes_have_boxes_around_them(tmp_path: Path) -> None:
    ellipse = '<ellipse label="dog" cx="10" cy="5" rx="4" ry="2" rotation="90.00"></ellipse>'
    path = saved(tmp_path, cvat(BOX, TAG, POLYGON, MASK, ellipse))
    found = read_boxes(path)
    assert list(found) == ["sub/a.jpg", "b.jpg"]
    assert found["b.jpg"] == ()
    *first, last = found["sub/a.jpg"]
    assert first == [Box(3, 4.5, 13, 8.5), Box(1, 1, 4, 3), Box(2, 1, 5, 3)]
    assert (last.left, last.top, last.right, last.bottom) == pytest.approx((8, 1, 12, 9))
    assert read_boxes(path, categories="dog")["sub/a.jpg"] == (Box(1, 1, 4, 3), last)


def test_the_box_of_a_mask_is_around_its_pixels(tmp_path: Path) -> None:
    # datumaro writes masks of the whole image.
    mask = '<mask label="a" rle="21, 2, 177" left="0" top="0" width="20" height="10"></mask>'
    empty = '<mask label="a" rle="200" left="0" top="0" width="20" height="10"></mask>'
    found = read_boxes(saved(tmp_path, cvat(mask, empty)))
    assert found["sub/a.jpg"] == (Box(1, 1, 3, 2),)


def test_a_rotated_box_is_enclosed(tmp_path: Path) -> None:
    (turned,) = read_boxes(saved(tmp_path, cvat(BOX.replace("<box", '<box rotation="90.00"'))))[
        "sub/a.jpg"
    ]
    edges = turned.left, turned.top, turned.right, turned.bottom
    assert edges == pytest.approx((8 - 2, 6.5 - 5, 8 + 2, 6.5 + 5))


def test_a_folder_may_have_several_files(tmp_path: Path) -> None:
    saved(tmp_path, cvat(BOX), "train.xml")
    saved(tmp_path, cvat().replace('"sub/a.jpg"', '"c.jpg"').replace('"b.jpg"', '"d.jpg"'), "v.xml")
    assert list(read_boxes(tmp_path)) == ["sub/a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_polygons_and_masks_are_united(tmp_path: Path) -> None:
    masks = read_masks(saved(tmp_path, cvat(POLYGON, MASK)))
    expected = np.zeros((10, 20), bool)
    expected[1:3, 1:4] = True
    expected[1, 2:5] = True
    first, second = masks["sub/a.jpg"], masks["b.jpg"]
    assert isinstance(first, Mask)
    assert isinstance(second, Mask)
    np.testing.assert_array_equal(first.inside, expected)
    assert first.ignored is None
    assert not second.inside.any()
    assert second.inside.shape == (10, 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            cvat('<points label="a" points="1,2"/>'),
            r"element 1 <points>: <points> is not supported",
        ),
        (cvat(BOX, '<cuboid label="a"/>'), r"'sub/a.jpg'\): element 2 <cuboid>: <cuboid> is not"),
        (cvat(BOX.replace('"3.00"', '"x"')), r"element 1 <box>: expected a number as 'xtl', found"),
        (cvat(BOX.replace('"3.00"', '"nan"')), "expected a finite number as 'xtl', found 'nan'"),
        (cvat(BOX.replace('"3.00"', '"30"')), "element 1 <box>: expected a box .* left < right"),
        (cvat(POLYGON.replace(";4.00,3.00;1.00,3.00", "")), "expected three 'points' or more, as"),
        (cvat(POLYGON.replace("4.00,1.00", "4.00")), "expected three 'points' or more"),
        (cvat(POLYGON.replace("4.00,1.00", "4e300,1")), "expected points in an image"),
        (cvat(MASK.replace("0, 5, 1", "0, 5")), "add up to 3 x 2 pixels, found 5"),
        (cvat(MASK.replace("0, 5, 1", "0, -5, 11")), "expected whole numbers as 'rle'"),
        (cvat(MASK.replace("0, 5, 1", "")), "expected whole numbers as 'rle', found ''"),
        (cvat(MASK.replace('left="2"', 'left="2.5"')), "expected a whole number as 'left'"),
        (cvat(MASK.replace('left="2"', 'left="-2"')), "expected run lengths that add up"),
        (cvat(size='width="0" height="5"'), "an image cannot be 0 x 5 px"),
        (cvat(size='width="99999" height="99999"'), "an image cannot be 99999 x 99999 px"),
        (cvat(size=""), "expected a number as 'width', found None"),
        (cvat().replace('"b.jpg"', '"sub/a.jpg"'), r"image 2 \('sub/a.jpg'\): it is listed twice"),
        (cvat().replace('name="b.jpg"', ""), "image 2: expected its 'name', found none"),
        ("<annotations><track/></annotations>", 'found tracks of "CVAT for video": export the ta'),
        ("<annotations/>", "the file lists no images"),
        ("<!DOCTYPE a [<!ENTITY b 'bb'>]><annotations/>", "it has a DOCTYPE, which is refused"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message) as caught:
        read_boxes(saved(tmp_path, text))
    assert "annotations.xml': " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cvat(POLYGON, BOX), "image 'sub/a.jpg': a box is no outline; expected polygon or mask: g"),
        ("<annotation/>", "expected <annotations> of CVAT, found <annotation>"),
        ("<annotations/>", "the file lists no images"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_masks(saved(tmp_path, text))


def test_a_mask_may_leave_the_image(tmp_path: Path) -> None:
    masks = read_masks(
        saved(
            tmp_path, cvat(MASK, MASK.replace('top="1"', 'top="99"'), size='width="4" height="2"')
        )
    )
    mask = masks["sub/a.jpg"]
    assert isinstance(mask, Mask)
    np.testing.assert_array_equal(mask.inside, [[0, 0, 0, 0], [0, 0, 1, 1]])
