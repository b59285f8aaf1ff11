"""Boxes, classes and masks from files: each format, its convention, and each way to be broken."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from effcam.errors import AnnotationError, ArgumentError
from effcam.images.annotations import ByName, Mask, read_boxes, read_image_labels, read_masks
from effcam.images.annotations.masks import _mask_from_image, _read_mask
from effcam.images.geometry import Box
from effcam.images.truth import NamedClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def saved(folder: Path, content: object, name: str = "annotations") -> Path:
    """Return a file of this text, of these bytes, or of JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
    return path


def coco(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a COCO file of two images, 6 x 4 px, and two categories."""
    images = [
        {"id": 7, "file_name": "a.jpg", "width": 6, "height": 4},
        {"id": 9, "file_name": "b.jpg", "width": 6, "height": 4},
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 3, "name": "Dog"}]
    document = {"images": images, "annotations": list(annotations), "categories": categories}
    return {**document, **changes}


def boxed(*bbox: Any, image: Any = 7, category: Any = 1, crowd: int = 0) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "bbox": list(bbox),
        "iscrowd": crowd,
    }


def drawn(segmentation: Any, image: int = 7, crowd: int = 0) -> dict[str, Any]:
    return {"image_id": image, "segmentation": segmentation, "iscrowd": crowd}


def voc(*objects: str, filename: str = "<filename>a.jpg</filename>") -> str:
    return f"<annotation>{filename}{''.join(objects)}</annotation>"


def voc_object(name: str, xmin: Any, ymin: Any, xmax: Any, ymax: Any) -> str:
    return (
        f"<object><name>{name}</name><difficult>1</difficult><bndbox><xmax>{xmax}</xmax>"
        f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><ymax>{ymax}</ymax></bndbox></object>"
    )


CAT = voc_object("cat", 3, 2, 5, 4)


class TestBoxes:
    def test_coco_gives_corner_and_size(self, tmp_path: Path) -> None:
        path = saved(tmp_path, coco(boxed(1, 2, 3, 1.5), boxed(0, 0, 6, 4, category=3)))
        assert read_boxes(path) == {"a.jpg": (Box(1, 2, 4, 3.5), Box(0, 0, 6, 4)), "b.jpg": ()}

    def test_coco_crowds_and_boxes_of_no_size_are_left_out(self, tmp_path: Path) -> None:
        path = saved(tmp_path, coco(boxed(0, 0, 1, 1, crowd=1), boxed(296.65, 388.33, 1.03, 0)))
        assert read_boxes(path) == {"a.jpg": (), "b.jpg": ()}

    def test_coco_needs_no_categories(self, tmp_path: Path) -> None:
        entry = boxed(0, 0, 1, 1)
        del entry["category_id"]
        document = coco(entry)
        del document["categories"]
        assert read_boxes(saved(tmp_path, document))["a.jpg"] == (Box(0, 0, 1, 1),)

    def test_voc_counts_pixels_from_one_and_the_last_is_inside(self, tmp_path: Path) -> None:
        one = voc_object("cat", 1, 1, 1, 1)
        part = voc_object("dog", 45.5, 2, 50, 9).replace("</object>", "<part>x</part></object>")
        path = saved(tmp_path, voc(one, part))
        assert read_boxes(path) == {"a.jpg": (Box(0, 0, 1, 1), Box(44.5, 1, 50, 9))}

    def test_voc_in_another_encoding(self, tmp_path: Path) -> None:
        text = "\n<?xml version='1.0' encoding='latin-1'?>" + voc(CAT).replace("a.jpg", "é.jpg")
        assert list(read_boxes(saved(tmp_path, text.encode("latin-1")))) == ["é.jpg"]

    def test_voc_folder_is_searched_and_files_are_named_by_it(self, tmp_path: Path) -> None:
        saved(tmp_path, voc(CAT), "1.xml")
        saved(tmp_path, voc(), "bear/1.XML")
        saved(tmp_path, voc(CAT, filename=""), "bear/2.xml")
        saved(tmp_path, "hidden", ".old/3.xml")
        saved(tmp_path, "something else", "readme.txt")
        box = Box(2, 1, 5, 4)
        expected = {"a.jpg": (box,), "bear/a.jpg": (), "bear/2": (box,)}
        assert read_boxes(tmp_path) == expected

    @pytest.mark.parametrize(
        "entry", [{"boxes": [[1, 2, 3, 4.5]]}, [[1, 2, 3, 4.5]], [1, 2, 3, 4.5]]
    )
    def test_plain_json(self, tmp_path: Path, entry: object) -> None:
        document = {"a.jpg": entry, "b.jpg": [], "c.jpg": {"label": "cat"}}
        expected = {"a.jpg": (Box(1, 2, 3, 4.5),), "b.jpg": (), "c.jpg": ()}
        assert read_boxes(saved(tmp_path, document)) == expected

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
    @pytest.mark.parametrize("image", ["image", "Filename", "file", "name"])
    @pytest.mark.parametrize(
        "edges", ["left top right bottom", "xmin ymin XMAX ymax", "x1 y1 x2 y2"]
    )
    def test_table(self, tmp_path: Path, delimiter: str, image: str, edges: str) -> None:
        left, top, right, bottom = edges.split()
        rows = [
            [bottom, left, right, top, image, "label"],
            ["4.5", "1", "3", "2", "a.jpg", "cat"],
            ["", "", "", "", "b.jpg", ""],
            [],
            ["7", "0", "8", "0", '"c.jpg"', "dog"],
            ["2", "0", "1", "0", "a.jpg", ""],
        ]
        path = saved(tmp_path, "\r\n".join(delimiter.join(row) for row in rows))
        expected = {"a.jpg": (Box(1, 2, 3, 4.5), Box(0, 0, 1, 2)), "b.jpg": ()}
        assert read_boxes(path) == {**expected, "c.jpg": (Box(0, 0, 8, 7),)}

    def test_table_that_is_separated_by_spaces(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "\nimage x1 y1 x2 y2\n\na.jpg 0  1 2 3\n")
        assert read_boxes(path) == {"a.jpg": (Box(0, 1, 2, 3),)}

    def test_name_with_a_comma_is_quoted(self, tmp_path: Path) -> None:
        path = saved(tmp_path, 'image,x1,y1,x2,y2\n"a, b.jpg",0,1,2,3')
        assert list(read_boxes(path)) == ["a, b.jpg"]

    def test_file_may_begin_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        for content in ('{"a": [0, 0, 1, 1]}', "image,x1,y1,x2,y2\na,0,0,1,1", voc(CAT)):
            path = saved(tmp_path, b"\xef\xbb\xbf" + content.encode())
            assert len(read_boxes(path)) == 1

    def test_real_boxes(self, data: Path) -> None:
        boxes = read_boxes(data / "images" / "boxes.json")
        assert len(boxes) == 300
        assert all(boxes.values())
        assert boxes["boxes/ILSVRC2012_val_00000363.jpg"] == (Box(30.0, 23.0, 195.2, 181.9),)
        assert ByName(boxes).get("ILSVRC2012_val_00000363.JPEG") == (Box(30.0, 23.0, 195.2, 181.9),)
        photos = read_boxes(data / "images" / "photos.json")
        assert len(photos) == 34
        assert photos["photos/coral_cat.jpg"] == (Box(50, 36, 362, 341),)


class TestCategories:
    def files(self, folder: Path) -> dict[str, Path]:
        """Return a cat at (0, 0, 2, 2) and a dog at (0, 0, 1, 1), in every format."""
        pets = voc(voc_object("cat", 1, 1, 2, 2), voc_object("Dog", 1, 1, 1, 1))
        table = "image,x1,y1,x2,y2,label\na.jpg,0,0,2,2,cat\na.jpg,0,0,1,1,Dog\n"
        plain = {
            "a.jpg": {"boxes": [[0, 0, 2, 2]], "label": "cat"},
            "b.jpg": {"boxes": [[0, 0, 1, 1]], "label": "Dog"},
        }
        return {
            "coco": saved(folder, coco(boxed(0, 0, 2, 2), boxed(0, 0, 1, 1, category=3)), "coco"),
            "voc": saved(folder, pets, "voc"),
            "table": saved(folder, table, "table"),
            "plain": saved(folder, plain, "plain"),
        }

    @pytest.mark.parametrize("kind", ["coco", "voc", "table", "plain"])
    def test_only_their_boxes_are_kept(self, tmp_path: Path, kind: str) -> None:
        path = self.files(tmp_path)[kind]
        dogs, all_boxes = read_boxes(path, categories=["dog"]), read_boxes(path)
        assert dogs.keys() == all_boxes.keys()
        assert sum(dogs.values(), ()) == (Box(0, 0, 1, 1),)
        assert read_boxes(path, categories=iter([" CAT", "dog"])) == all_boxes

    def test_one_may_be_given_alone(self, tmp_path: Path) -> None:
        path = self.files(tmp_path)["coco"]
        assert read_boxes(path, categories="cat")["a.jpg"] == (Box(0, 0, 2, 2),)

    def test_boxes_without_a_class_are_dropped(self, tmp_path: Path) -> None:
        path = saved(tmp_path, "image,x1,y1,x2,y2,label\na,0,0,2,2,3\na,0,0,1,1,\n")
        assert read_boxes(path, categories="3") == {"a": (Box(0, 0, 2, 2),)}

    def test_exact_spelling_goes_before_another_case(self, tmp_path: Path) -> None:
        table = "image,x1,y1,x2,y2,label\na,0,0,2,2,Cardigan\na,0,0,1,1,cardigan\n"
        path = saved(tmp_path, table)
        assert read_boxes(path, categories="cardigan") == {"a": (Box(0, 0, 1, 1),)}
        assert len(read_boxes(path, categories=["cardigan", "Cardigan"])["a"]) == 2
        with pytest.raises(ArgumentError, match="'CARDIGAN' stands for 'Cardigan' and 'cardigan'"):
            read_boxes(path, categories="CARDIGAN")

    @pytest.mark.parametrize("kind", ["coco", "voc", "table", "plain"])
    def test_unknown_one_is_refused(self, tmp_path: Path, kind: str) -> None:
        path = self.files(tmp_path)[kind]
        message = f"no box in annotations {str(path)!r} is of category 'Dogs'. Did you mean 'Dog'?"
        with pytest.raises(ArgumentError, match=re.escape(message)):
            read_boxes(path, categories=["cat", "Dogs"])

    @pytest.mark.parametrize("content", ["image,x1,y1,x2,y2\na,0,0,2,2", '{"a": [0, 0, 2, 2]}'])
    def test_file_without_classes_is_refused(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(ArgumentError, match=r"categories cannot be selected in .*: no box"):
            read_boxes(saved(tmp_path, content), categories=["cat"])

    @pytest.mark.parametrize("given", [[], [3], ["cat", None]])
    def test_invalid_categories_are_refused(self, tmp_path: Path, given: Any) -> None:
        with pytest.raises(ArgumentError, match="categories must be names of classes, not"):
            read_boxes(tmp_path, categories=given)


def header(row: str) -> str:
    return f"image,x1,y1,x2,y2\na.jpg,0,0,1,1\n{row}\n"


DOCTYPES = [
    "<!DOCTYPE annotation>",
    "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;&b;'>]>",
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/hostname'>]>",
    "<!DOCTYPE a SYSTEM 'http://localhost/a.dtd'>",
]
BROKEN_BOXES: list[tuple[Any, str]] = [
    ("", "the file is empty"),
    (" \n\t", "the file is empty"),
    ("\u2003\n", "the file is empty"),
    (",,\n,,", "the file is empty"),
    (b"\x89PNG\xff\xfe", "expected text in UTF-8: "),
    ("photo,score\na,1", "expected COCO JSON, Pascal VOC XML, .* found the first line ['photo', "),
    ("image,left,top,right\na,1,2,3", "found the first line ['image', 'left', 'top', 'right']"),
    ("image,x1,y1,x2,y2", "the file lists no images"),
    # JSON
    ("{", "it begins like JSON, but is not valid: Expecting property name"),
    ('{"a": ' + "1" * 5000 + "}", "it begins like JSON, but is not valid: Exceeds the limit"),
    ("[" * 200_000, "its JSON is nested too deeply"),
    ('{"a":' * 200_000, "its JSON is nested too deeply"),
    ("[[0, 0, 1, 1]]", "expected a JSON object, found [[0, 0, 1, 1]]"),
    ("{}", "the file lists no images"),
    (
        {"a.jpg": "cat"},
        "image 'a.jpg': expected a list of boxes [left, top, right, bottom], found ",
    ),
    ({"a.jpg": {"boxes": None}}, "image 'a.jpg': expected a list of boxes"),
    ({"a.jpg": {"boxes": [], "label": {}}}, "expected a class's name or index, found {}"),
    ({"a.jpg": {"label": "cat"}}, "no image has 'boxes'; expected COCO JSON"),
    ({"a.jpg": [1, 2, 3]}, "expected four finite numbers [left, top, right, bottom], found [1, 2,"),
    ({"a.jpg": [[0, 0, 1, 1], 3]}, "image 'a.jpg': expected four finite numbers"),
    ({"a.jpg": [1, 2, 3, "4"]}, "expected four finite numbers"),
    ({"a.jpg": [False, 0, True, 1]}, "expected four finite numbers"),
    ({"a.jpg": [0, 0, float("inf"), 1]}, "expected four finite numbers"),
    ({"a.jpg": [0, 0, float("nan"), 1]}, "expected four finite numbers"),
    ({"a.jpg": [0, 0, 10**400, 1]}, "expected four finite numbers"),
    ({"a.jpg": [3, 0, 3, 1]}, "with left < right and top < bottom, found [3.0, 0.0, 3.0, 1.0]"),
    ({"a.jpg": [0, 2, 1, 1]}, "image 'a.jpg': expected a box [left, top, right, bottom] with left"),
    # tables
    (header("b.jpg,0,0,1"), "line 3: expected 5 cells, found 4: ['b.jpg', '0', '0', '1']"),
    (header("b,c.jpg,0,0,1,1"), "line 3: expected 5 cells, found 6"),
    (header("b.jpg,0,0,one,1"), "line 3: expected a number as x2, found 'one'"),
    (header("b.jpg,0,0,1,"), "line 3: expected a number as y2, found ''"),
    (header("b.jpg,0,0,nan,1"), "line 3: expected finite numbers, found [0.0, 0.0, nan, 1.0]"),
    (header("\nb.jpg,0,0,inf,1"), "line 4: expected finite numbers"),
    (
        header("b.jpg,2,0,1,1"),
        "line 3: expected a box [left, top, right, bottom] with left < right",
    ),
    (header(",0,0,1,1"), "line 3: expected the image's name, found an empty cell"),
    (header('"b.jpg,0,0,1,1'), "line 3: not a row of a table: unexpected end of data"),
    (header("x" * 200_000), "not a row of a table: field larger than field limit"),
    # Pascal VOC
    ("<annotation>", "it begins like XML, but is not valid: no element found"),
    ("<annotation>&b;</annotation>", "it begins like XML, but is not valid: undefined entity"),
    ("<?xml version='1.0' encoding='no'?><a/>", "but is not valid: unknown encoding"),
    ("<?xml version='1.0' encoding='big5'?><a/>", "but is not valid: multi-byte encodings are not"),
    ("<html></html>", "expected <annotation> of Pascal VOC, found <html>"),
    (voc("<object><name>cat</name></object>"), "object 1: expected a number as <xmin>, found None"),
    (voc(CAT, voc_object("cat", 1, "?", 2, 2)), "object 2: expected a number as <ymin>, found '?'"),
    (
        voc(voc_object("cat", 5, 1, 4, 2)),
        "object 1: expected a box [left, top, right, bottom] with",
    ),
    (voc(voc_object("cat", 1, 1, "inf", 2)), "object 1: expected finite numbers"),
    *((f"{doctype}<annotation/>", "it has a DOCTYPE, which is refused") for doctype in DOCTYPES),
    # COCO
    (coco(images=None), "expected COCO's list 'images', found None"),
    ({"images": []}, "expected COCO's list 'annotations', found None"),
    (coco(images=[]), "the file lists no images"),
    (coco(images=["a.jpg"]), "images[0]: expected an object, found 'a.jpg'"),
    (coco(images=[{"id": 1}]), "images[0]: expected 'file_name' to be str, found None"),
    (coco(images=[{"file_name": "a", "id": []}]), "expected 'id' to be int or str, found []"),
    (coco(images=[{"file_name": "a", "id": 1}] * 2), "images[1]: image 'a' is listed twice"),
    (
        coco(images=[{"file_name": "a", "id": 1}, {"file_name": "b", "id": 1}]),
        "images[1]: images 'a' and 'b' have the same id",
    ),
    (coco(categories=[{"id": 1}]), "categories[0]: expected 'name' to be str, found None"),
    (coco(categories="cat"), "expected COCO's list 'categories', found 'cat'"),
    (coco(boxed(0, 0, 1, 1, image=8)), "annotations[0]: no image has the id 8"),
    (coco(boxed(0, 0, 1, 1, image=True)), "annotations[0]: expected 'image_id' to be int or str"),
    (coco(boxed(0, 0, 1, 1, category=None)), "annotations[0]: expected 'category_id' to be int or"),
    (coco(drawn([])), "annotations[0]: expected four finite numbers [x, y, width, height], found "),
    (coco(boxed(0, 0, 1)), "expected four finite numbers [x, y, width, height], found [0, 0, 1]"),
    (
        coco(boxed(0, 0, 1, 1), boxed(0, 0, 1, -1)),
        "annotations[1]: expected [x, y, width, height] of a size >= 0, found [0.0, 0.0, 1.0,",
    ),
    (coco(boxed(1e308, 0, 1e308, 1)), "annotations[0]: expected finite numbers"),
]


def pattern(message: str) -> str:
    """Return the pattern of a message in which ``.*`` stands for anything."""
    return ".*".join(map(re.escape, message.split(".*")))


class TestBrokenBoxes:
    @pytest.mark.parametrize(("content", "message"), BROKEN_BOXES)
    def test_message_says_what_is_wrong_where(
        self, tmp_path: Path, content: object, message: str
    ) -> None:
        path = saved(tmp_path, content)
        with pytest.raises(AnnotationError, match=pattern(message)) as caught:
            read_boxes(path)
        assert str(caught.value).startswith(f"annotations {str(path)!r}: ")

    def test_file_in_a_folder_is_named(self, tmp_path: Path) -> None:
        saved(tmp_path, voc(CAT), "1.xml")
        saved(tmp_path, "<annotation>", "bear/2.xml")
        with pytest.raises(AnnotationError, match=r"file 'bear/2.xml': it begins like XML"):
            read_boxes(tmp_path)

    def test_two_files_on_one_image_are_refused(self, tmp_path: Path) -> None:
        saved(tmp_path, voc(CAT), "1.xml")
        saved(tmp_path, voc(CAT), "2.xml")
        message = "file '2.xml': image 'a.jpg' has boxes in two files"
        with pytest.raises(AnnotationError, match=message):
            read_boxes(tmp_path)

    def test_folder_without_xml_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match="the folder has no XML files"):
            read_boxes(tmp_path)

    @pytest.mark.parametrize("read", [read_boxes, read_image_labels, read_masks])
    def test_what_cannot_be_read_is_refused(
        self, tmp_path: Path, read: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(AnnotationError, match=r"missing': there is no such file or folder"):
            read(tmp_path / "missing")
        with pytest.raises(AnnotationError, match=r"it cannot be read: |there is no such file"):
            read(tmp_path / ("x" * 5000))
        with pytest.raises(AnnotationError, match="it cannot be read: embedded null"):
            read("a\0b")
        with pytest.raises(ArgumentError, match="path must be a file or a folder, not None"):
            read(None)

        def refuse(_: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(AnnotationError, match=r"it cannot be read: .*Permission denied"):
            read(saved(tmp_path, "x"))

    def test_home_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        saved(tmp_path, {"a": [0, 0, 1, 1]}, "boxes.json")
        assert read_boxes("~/boxes.json") == {"a": (Box(0, 0, 1, 1),)}


class TestLabels:
    @pytest.mark.parametrize(
        "text",
        [
            "image,label\na.jpg,cat\nb.jpg,281\n",
            "a.jpg,cat\nb.jpg,281\n",
            "Label\tx\tFilename\ncat\t\ta.jpg\n281\t\tb.jpg\n",
            "file_name;class\na.jpg;cat\n\nb.jpg;281",
            "a.jpg cat\nb.jpg 281\n",
            "image label\n a.jpg   cat \n\nb.jpg\t281\n".replace("\t", " "),
            "image,label,x1\na.jpg,cat,1\na.jpg,cat,2\nb.jpg,281,3",
            '"a.jpg","cat"\n"b.jpg","281"',
        ],
    )
    def test_text(self, tmp_path: Path, text: str) -> None:
        expected = {"a.jpg": "cat", "b.jpg": "281"}
        assert read_image_labels(saved(tmp_path, text)) == expected

    def test_label_with_spaces_in_a_table(self, tmp_path: Path) -> None:
        path = saved(tmp_path, 'my photo.jpg,"tiger, Panthera tigris"')
        assert read_image_labels(path) == {"my photo.jpg": "tiger, Panthera tigris"}

    def test_json(self, tmp_path: Path) -> None:
        document = {
            "name": "cat",
            "digits": "007",
            "number": 281,
            "index": {"class_index": 3, "label": "cat"},
            "label": {"class_index": None, "label": "dog"},
            "neither": {"boxes": []},
            "none": None,
        }
        assert read_image_labels(saved(tmp_path, document)) == {
            "name": "cat",
            "digits": "007",
            "number": NamedClass(281, "281"),
            "index": NamedClass(3, "cat"),
            "label": "dog",
        }

    def test_index_and_name_are_kept_both(self, tmp_path: Path) -> None:
        table = "image,label,class_index\na,cat,\nb,tabby,281\nc,,7\n"
        expected = {"a": "cat", "b": NamedClass(281, "tabby"), "c": 7}
        assert read_image_labels(saved(tmp_path, table)) == expected
        assert read_image_labels(saved(tmp_path, "name,class_index\nc,7\n")) == {"c": 7}

    def test_names_of_folders(self, tmp_path: Path) -> None:
        for name in ("n02123045/1.JPEG", "n02123045/deep/2.png", "9/3.jpg", "9/notes.txt"):
            saved(tmp_path, "x", name)
        assert read_image_labels(tmp_path) == {
            "9/3.jpg": "9",
            "n02123045/1.JPEG": "n02123045",
            "n02123045/deep/2.png": "n02123045",
        }

    def test_coco(self, tmp_path: Path) -> None:
        document = coco(
            boxed(0, 0, 1, 1), boxed(0, 0, 2, 2, crowd=1), boxed(0, 0, 1, 1, image=9, category=3)
        )
        assert read_image_labels(saved(tmp_path, document)) == {"a.jpg": "cat", "b.jpg": "Dog"}

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("a,cat\na,dog\nb,cat\na,cat", {"a": ("cat", "dog"), "b": "cat"}),
            ({"a": ["cat", "dog"], "b": []}, {"a": ("cat", "dog"), "b": ()}),
            ({"a": {"labels": ["dog"]}, "b": {"label": "cat"}}, {"a": ("dog",), "b": "cat"}),
            ({"a": [3, 3]}, {"a": (NamedClass(3, "3"),)}),
        ],
    )
    def test_several_labels_an_image(
        self, tmp_path: Path, content: object, expected: object
    ) -> None:
        assert read_image_labels(saved(tmp_path, content)) == expected

    def test_several_labels_of_coco(self, tmp_path: Path) -> None:
        document = coco(*(boxed(0, 0, 1, 1, category=each) for each in (1, 3, 1)))
        names = read_image_labels(saved(tmp_path, document))
        assert names == {"a.jpg": ("cat", "Dog"), "b.jpg": ()}

    def test_the_classes_of_objects_in_other_formats(self, tmp_path: Path) -> None:
        dog = voc_object("dog", 1, 1, 2, 2)
        assert read_image_labels(saved(tmp_path, voc(CAT, dog, CAT), "1.xml")) == {
            "a.jpg": ("cat", "dog")
        }
        folder = tmp_path / "voc"
        saved(tmp_path, voc(CAT), "voc/1.xml")
        assert read_image_labels(folder) == {"a.jpg": "cat"}
        saved(tmp_path, "0 .5 .5 .1 .1\n2 .5 .5 .2 .2\n", "yolo/labels/b.txt")
        assert list(read_image_labels(tmp_path / "yolo").values()) == [("0", "2")]

    def test_long_digits_are_a_name(self, tmp_path: Path) -> None:
        digits = "1" * 5000
        assert read_image_labels(saved(tmp_path, f"a {digits}")) == {"a": digits}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "the file is empty"),
            (b"\xff\xfea", "expected text in UTF-8"),
            ("image,label", "the file has no labels"),
            ('{"a": {}}', "the file has no labels"),
            ("a.jpg cat\nmy photo.jpg cat", "line 2: expected 2 cells, including an image and"),
            ("a b c", "found 3: ['a', 'b', 'c']; use CSV if names or labels contain spaces"),
            ("image,label\na.jpg,", "line 2: expected a label, found an empty cell"),
            ("image,label\n,cat", "line 2: expected the image's name, found an empty cell"),
            ({"a": 1.5}, "image 'a': expected a class's name or index, found 1.5"),
            ({"a": -1}, "image 'a': expected a class's name or index, found -1"),
            ({"a": True}, "expected a class's name or index, found True"),
            (
                {"a": {"class_index": "x"}},
                "expected a class_index, a whole number from 0, found 'x",
            ),
            (
                {"a": {"class_index": True}},
                "expected a class_index, a whole number from 0, found T",
            ),
            ({"a": {"class_index": "9" * 19}}, "expected a class_index, a whole number from 0"),
            ("image,class_index\na,1.5", "line 2: expected a class_index, a whole number from 0"),
            ({"a": {"label": " "}}, "expected a class's name or index, found ' '"),
            ({"a": ["cat", 1.5]}, "image 'a': expected a class's name or index, found 1.5"),
            ({"a": {"label": {}}}, "image 'a': expected a class's name or index, found {}"),
            (
                coco(boxed(0, 0, 1, 1, category=2)),
                "annotations[0]: its category has no name",
            ),
        ],
    )
    def test_broken_file(self, tmp_path: Path, content: object, message: str) -> None:
        path = saved(tmp_path, content)
        with pytest.raises(AnnotationError, match=pattern(message)) as caught:
            read_image_labels(path)
        assert str(caught.value).startswith(f"labels {str(path)!r}: ")

    def test_folder_without_a_folder_for_each_class_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match="the folder has no images, which must be in a"):
            read_image_labels(tmp_path)
        saved(tmp_path, "x", "1.jpg")
        with pytest.raises(AnnotationError, match=r"each class; the image '1\.jpg' is in none"):
            read_image_labels(tmp_path)

    def test_real_labels(self, data: Path) -> None:
        labels = read_image_labels(data / "images" / "boxes.json")
        assert len(labels) == 300
        assert labels["boxes/ILSVRC2012_val_00000363.jpg"] == NamedClass(133, "bittern")
        photos = read_image_labels(data / "images" / "photos.json")
        assert photos["photos/coral_cat.jpg"] == NamedClass(281, "tabby")
        assert photos["photos/coral_owl.jpg"] == "burrowing owl (no exact class)"


SQUARE = np.array([[0, 0, 0], [0, 1, 1]], bool)


def png(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=array.dtype == object)
    return buffer.getvalue()


def colored(mode: str) -> Image.Image:
    """Return the square as an image of a mode, whose two pixels differ from one another."""
    if mode in ("I;16", "I", "F"):
        numbers = SQUARE * np.array([0, 1, 300])
        return Image.fromarray(numbers.astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode]))
    image = Image.fromarray(SQUARE).convert(mode)
    values: dict[str, Any] = {"1": 1, "L": 7, "RGB": (0, 0, 9), "RGBA": (0, 9, 0, 1)}
    image.putpixel((2, 1), values[mode])
    return image


def only(masks: Any) -> Mask:
    (name,) = masks
    mask = masks[name]
    assert isinstance(mask, Mask)
    assert mask.inside.dtype == bool
    return mask


class TestMasks:
    @pytest.mark.parametrize("mode", ["1", "L", "I;16", "I", "F", "RGB", "RGBA"])
    def test_what_is_not_black_is_object(self, tmp_path: Path, mode: str) -> None:
        image = colored(mode)
        assert image.mode == mode
        content = png(image, "TIFF" if mode in ("I", "F") else "PNG")
        masks = read_masks(saved(tmp_path, content, "photo.png"))
        assert list(masks) == ["photo"]
        np.testing.assert_array_equal(only(masks).inside, SQUARE)
        assert only(masks).ignored is None

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparent_pixels_are_background(self, tmp_path: Path, mode: str) -> None:
        image = Image.new(mode, (3, 2), "white")
        image.putalpha(Image.fromarray(SQUARE).convert("L"))
        np.testing.assert_array_equal(only(read_masks(saved(tmp_path, png(image)))).inside, SQUARE)

    def test_palette_has_background_objects_and_ignored(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 1, 255], [20, 0, 254]], np.uint8)).convert("P")
        # All colours black, as a palette may be: it is the indices that count.
        image.putdata([0, 1, 255, 20, 0, 254])
        image.putpalette([0] * 768)
        mask = only(read_masks(saved(tmp_path, png(image))))
        np.testing.assert_array_equal(mask.inside, [[0, 1, 0], [1, 0, 1]])
        np.testing.assert_array_equal(mask.ignored, [[0, 0, 1], [0, 0, 0]])

    def test_palette_without_ignored_pixels(self, tmp_path: Path) -> None:
        image = Image.new("P", (3, 2))
        image.putdata([0, 0, 0, 0, 1, 2])
        mask = only(read_masks(saved(tmp_path, png(image))))
        np.testing.assert_array_equal(mask.inside, SQUARE)
        assert mask.ignored is None

    def test_palette_with_alpha(self) -> None:
        image = Image.new("P", (3, 2))
        image.putdata([0, 0, 0, 255, 1, 2])
        mask = _mask_from_image(image.convert("PA"))
        np.testing.assert_array_equal(mask.inside, SQUARE)
        np.testing.assert_array_equal(mask.ignored, [[0, 0, 0], [1, 0, 0]])

    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64])
    def test_array(self, tmp_path: Path, dtype: type) -> None:
        path = saved(tmp_path, npy(SQUARE.astype(dtype) * dtype(1)), "photo.npy")
        np.testing.assert_array_equal(read_masks(path)["photo"].inside, SQUARE)

    def test_mask_is_upright_as_its_photo_is(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        Image.fromarray(SQUARE).save(tmp_path / "a.png", exif=exif)
        turned = np.rot90(SQUARE, -1)
        np.testing.assert_array_equal(only(read_masks(tmp_path)).inside, turned)

    def test_folder_is_searched_and_read_when_asked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved(tmp_path, png(colored("L")), "1.png")
        saved(tmp_path, png(colored("L"), "BMP"), "bear/1.v2.BMP")
        saved(tmp_path, npy(SQUARE), "bear/2.npy")
        saved(tmp_path, "a photo", "1.jpg")
        saved(tmp_path, "hidden", ".trash/3.png")
        saved(tmp_path, "broken", "4.png")
        opened: list[Path] = []

        def read(path: Path) -> Mask:
            opened.append(path)
            return _read_mask(path)

        monkeypatch.setattr("effcam.images.annotations.masks._read_mask", read)
        masks = read_masks(tmp_path)
        assert sorted(masks) == ["1", "4", "bear/1.v2", "bear/2"]
        assert len(masks) == 4
        assert "1" in masks
        assert "5" not in masks
        assert masks.get("5") is None
        by_name = ByName(masks)
        assert opened == []
        found = by_name.get("photos/bear/1.v2.jpg")
        assert found is not None
        np.testing.assert_array_equal(found.inside, SQUARE)
        assert [path.name for path in opened] == ["1.v2.BMP"]
        with pytest.raises(AnnotationError, match=r"mask '.*4\.png': expected a mask: a PNG or"):
            masks["4"]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.png", b"", "the file is empty"),
            (
                "a.png",
                b"text",
                "expected a mask: a PNG or another lossless image, a .npy array",
            ),
            ("a.png", png(colored("L"))[:45], "it cannot be read: "),
            ("a.png", png(colored("L"), "EPS"), "it cannot be read: cannot identify"),
            ("a.jpg", png(colored("L"), "JPEG"), "JPEG blurs the edges of a mask: save it as PNG"),
            ("a.tif", png(Image.new("CMYK", (2, 2)), "TIFF"), "with a palette, found mode CMYK"),
            ("a.npy", npy(np.ones((2, 2))), "booleans or integers, found float64 of shape 2 x 2"),
            ("a.npy", npy(np.ones((2, 2, 1), int)), "found int64 of shape 2 x 2 x 1"),
            ("a.npy", npy(np.ones((0, 2), bool)), "found bool of shape 0 x 2"),
            ("a.npy", npy(np.array(True)), "found bool of shape ()"),
            ("a.npy", npy(np.array([[{}]])), "Object arrays cannot be loaded"),
            ("a.npy", npy(SQUARE)[:-2], "it cannot be read: "),
            ("a.npy", b"PK", "it cannot be read: "),
        ],
    )
    def test_broken_file(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        path = saved(tmp_path, content, name)
        with pytest.raises(AnnotationError, match=pattern(message)) as caught:
            read_masks(path)
        assert str(caught.value).startswith(f"masks {str(path)!r}: ")

    def test_two_masks_of_one_name_are_refused(self, tmp_path: Path) -> None:
        saved(tmp_path, b"", "a.npy")
        saved(tmp_path, b"", "a.png")
        with pytest.raises(AnnotationError, match=r"image 'a' has two masks, one of them 'a\.png'"):
            read_masks(tmp_path)

    def test_folder_without_masks_is_refused(self, tmp_path: Path) -> None:
        saved(tmp_path, "a photo", "1.jpg")
        with pytest.raises(AnnotationError, match=r"the folder has no masks, which end in \.bmp"):
            read_masks(tmp_path)

    def test_mask_that_is_gone_when_asked_for(self, tmp_path: Path) -> None:
        path = saved(tmp_path, png(colored("L")), "1.png")
        masks = read_masks(tmp_path)
        path.unlink()
        with pytest.raises(AnnotationError, match=r"mask '.*1\.png': there is no such file"):
            masks["1"]


class TestRegions:
    def test_polygon_is_the_pixels_whose_centres_it_holds(self, tmp_path: Path) -> None:
        path = saved(tmp_path, coco(drawn([[1, 1, 4, 1, 4, 3, 1, 3]])))
        masks = read_masks(path)
        expected = np.zeros((4, 6), bool)
        expected[1:3, 1:4] = True
        np.testing.assert_array_equal(masks["a.jpg"].inside, expected)
        assert masks["a.jpg"].ignored is None
        assert not masks["b.jpg"].inside.any()
        assert masks["b.jpg"].inside.shape == (4, 6)

    def test_polygons_and_annotations_of_an_image_are_united(self, tmp_path: Path) -> None:
        parts = [[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]]
        path = saved(tmp_path, coco(drawn(parts), drawn([[5, 0, 6, 0, 6, 1, 5, 1]])))
        assert read_masks(path)["a.jpg"].inside.sum() == 4 + 4 - 1 + 1

    def test_run_lengths_go_down_the_columns(self, tmp_path: Path) -> None:
        expected = np.zeros((4, 6), bool)
        expected[2:, 0] = expected[:1, 1] = expected[3, 5] = True
        runs = {"counts": [2, 3, 18, 1], "size": [4, 6]}
        found = read_masks(saved(tmp_path, coco(drawn(runs))))["a.jpg"]
        np.testing.assert_array_equal(found.inside, expected)
        compressed = {"counts": "23b0N", "size": [4, 6]}
        found = read_masks(saved(tmp_path, coco(drawn(compressed))))["a.jpg"]
        np.testing.assert_array_equal(found.inside, expected)
        runs = {"counts": [0, 24], "size": [4, 6]}
        assert read_masks(saved(tmp_path, coco(drawn(runs))))["a.jpg"].inside.all()

    def test_crowds_are_ignored_but_for_objects(self, tmp_path: Path) -> None:
        square = [[0, 0, 2, 0, 2, 2, 0, 2]]
        crowd = {"counts": [0, 12, 12], "size": [4, 6]}
        mask = read_masks(saved(tmp_path, coco(drawn(square), drawn(crowd, crowd=1))))["a.jpg"]
        assert mask.ignored is not None
        assert (mask.inside.sum(), mask.ignored.sum()) == (4, 8)
        assert not (mask.inside & mask.ignored).any()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"a.jpg": [0, 0, 1, 1]}, "expected COCO JSON, with 'images' and 'annotations'"),
            (coco(images=[]), "the file lists no images"),
            (coco(images=[{"id": 1, "file_name": "a"}]), "image 'a': expected 'height' to be int"),
            (
                coco(images=[{"id": 1, "file_name": "a", "height": 4, "width": 0}]),
                "image 'a': an image cannot be 0 x 4 px",
            ),
            (
                coco(images=[{"id": 1, "file_name": "a", "height": 10**9, "width": 10**9}]),
                "image 'a': an image cannot be 1000000000 x",
            ),
            (
                coco(boxed(0, 0, 1, 1)),
                "annotations[0]: expected a segmentation: a list of polygons",
            ),
            (
                coco(drawn([])),
                "annotations[0]: expected a segmentation: a list of polygons, or run",
            ),
            (
                coco(drawn([0, 0, 1, 1, 2, 2])),
                "expected numbers x, y, x, y, ... as a polygon, found",
            ),
            (coco(drawn([["0"] * 6])), "expected numbers x, y, x, y, ... as a polygon"),
            (coco(drawn([[[0], [1, 2]]])), "expected numbers x, y, x, y, ... as a polygon"),
            (coco(drawn([[10**30] * 6])), "expected numbers x, y, x, y, ... as a polygon"),
            (coco(drawn([[0, 0, 1, 1]])), "three points or more, x and y of each, found 4 numbers"),
            (coco(drawn([[0] * 7])), "three points or more, x and y of each, found 7 numbers"),
            (coco(drawn([[0, 0, 1, 1, 2, float("nan")]])), "expected points in an image, found "),
            (coco(drawn([[0, 0, 1, 1, 2, 1e300]])), "expected points in an image, found "),
            (
                coco(drawn({"counts": "PPYo1", "size": [4, 6]})),
                "annotations[0]: expected run lengths that add up to 24 pixels, found",
            ),
            (
                coco(drawn({"counts": "PPY", "size": [4, 6]})),
                "annotations[0]: expected compressed run lengths, found 'PPY'",
            ),
            (
                coco(drawn({"counts": "23b0N", "size": [6, 4]})),
                "[height, width] = [4, 6], found [6, 4]",
            ),
            (coco(drawn({"size": [4, 6]})), "expected whole numbers as run lengths, found None"),
            (
                coco(drawn({"counts": [1.5], "size": [4, 6]})),
                "expected whole numbers as run lengths",
            ),
            (coco(drawn({"counts": [True], "size": [4, 6]})), "expected whole numbers as run"),
            (
                coco(drawn({"counts": [24], "size": [6, 4]})),
                "[height, width] = [4, 6], found [6, 4]",
            ),
            (coco(drawn({"counts": [23], "size": [4, 6]})), "add up to 24 pixels, found 23"),
            (coco(drawn({"counts": [-1, 25], "size": [4, 6]})), "add up to 24 pixels, found 24"),
            (coco(drawn({"counts": [2**62] * 4 + [24], "size": [4, 6]})), "add up to 24 pixels"),
        ],
    )
    def test_broken_file(self, tmp_path: Path, content: object, message: str) -> None:
        path = saved(tmp_path, content)
        with pytest.raises(AnnotationError, match=pattern(message)) as caught:
            read_masks(path)
        assert str(caught.value).startswith(f"masks {str(path)!r}: ")
