"""Datasets of Hugging Face as images, with their classes and boxes as truth."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from effcam import Box, Preprocess, compare, load_model
from effcam.errors import ArgumentError, ImageError, ImageWarning
from effcam.images import ImageRef, iter_images
from effcam.images.truth import NamedClass
from tests.nets import ColourNet

pytestmark = pytest.mark.integrations


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what datasets writes in a folder of the test."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, colour)


def encoded(image: Image.Image, form: str = "PNG", **more: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **more)
    return stream.getvalue()


def make(images: list[Any], **columns: tuple[list[Any], Any]) -> Any:
    """Return a dataset of images and other columns, each of values and a feature."""
    from datasets import Dataset, Features
    from datasets import Image as Pictures

    values = {"image": images} | {name: given for name, (given, _) in columns.items()}
    features = {"image": Pictures()} | {name: kind for name, (_, kind) in columns.items()}
    return Dataset.from_dict(values, features=Features(features))


def classes(*names: str) -> Any:
    from datasets import ClassLabel

    return ClassLabel(names=list(names))


def refs(dataset: Any) -> list[ImageRef]:
    return list(iter_images(dataset))


def labels(dataset: Any) -> list[object]:
    return [ref.truth and ref.truth.label for ref in refs(dataset)]


def test_images_are_files_bytes_or_what_an_archive_holds(tmp_path: Path) -> None:
    picture((9, 0, 0)).save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "b.png")
    opened = Image.open(tmp_path / "a.png")  # stored as its path
    stored = [
        str(tmp_path / "a.png"),
        opened,
        {"bytes": encoded(picture((8, 0, 0))), "path": "folder/c.png"},
        picture((7, 0, 0)),
        f"zip://b.png::{tmp_path / 'b.zip'}",
    ]
    with opened:
        found = refs(make(stored))
    assert [ref.path for ref in found] == [tmp_path / "a.png"] * 2 + [None] * 3
    assert [ref.name for ref in found[2:]] == ["folder/c.png", "row[3]", "b.png"]
    assert [ref.open().getpixel((0, 0))[0] for ref in found] == [9, 9, 8, 7, 9]  # type: ignore[index]


def test_bytes_beside_the_path_of_a_file_are_the_picture(tmp_path: Path) -> None:
    import pyarrow as pa
    from datasets import Dataset
    from datasets import Image as Pictures

    picture((9, 0, 0)).save(tmp_path / "a.png")
    stored = {"bytes": encoded(picture((8, 0, 0))), "path": str(tmp_path / "a.png")}
    (found,) = refs(
        Dataset(pa.table({"image": pa.array([stored])})).cast_column("image", Pictures())
    )
    assert found.open().getpixel((0, 0)) == (8, 0, 0)


def test_files_of_several_folders_are_named_below_the_common_one(tmp_path: Path) -> None:
    paths = [tmp_path / "photos" / name / "1.png" for name in ("cat", "dog")]
    for path in paths:
        path.parent.mkdir(parents=True)
        picture((0, 0, 0)).save(path)
    assert [ref.name for ref in refs(make(list(map(str, paths))))] == ["cat/1.png", "dog/1.png"]


def test_formats_and_transforms_are_left_out() -> None:
    data = make([picture((9, 0, 0))], label=([0], classes("cat")))
    for changed in (data.with_format("torch"), data.with_transform(lambda _: {"x": [0]})):
        (ref,) = refs(changed)
        assert ref.open().getpixel((0, 0)) == (9, 0, 0)
        assert ref.truth is not None
        assert ref.truth.label == NamedClass(None, "cat")


def test_rows_follow_a_selection_and_a_split() -> None:
    from datasets import NamedSplit

    data = make([picture((at, 0, 0)) for at in range(4)])
    data = type(data)(data.data, split=NamedSplit("train")).select([3, 1])
    found = refs(data)
    assert [ref.name for ref in found] == ["train[0]", "train[1]"]
    assert [ref.open().getpixel((0, 0))[0] for ref in found] == [3, 1]  # type: ignore[index]


def test_pictures_are_read_as_files_are() -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    jpeg = {"bytes": encoded(picture((0, 0, 0), (20, 10)), "JPEG", exif=turned), "path": None}
    cmyk = {"bytes": encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF"), "path": None}
    wide = {"bytes": encoded(Image.fromarray(np.full((4, 4), 40000, np.uint16))), "path": None}
    found = refs(make([jpeg, cmyk, wide]))
    assert found[0].open().size == (10, 20)
    assert found[1].open().getpixel((0, 0)) == (255, 0, 0)
    assert found[2].open().getpixel((0, 0)) == (156, 156, 156)


def test_broken_and_missing_pictures_raise_when_they_are_opened(tmp_path: Path) -> None:
    broken = {"bytes": b"nothing", "path": "x.png"}
    found = refs(make([broken, None, str(tmp_path / "gone.png")]))
    for ref, said in zip(found, ("not an image", "has no image", "gone.png"), strict=True):
        with pytest.raises(ImageError, match=said):
            ref.open()


def test_classes_are_names() -> None:
    from datasets import List, Value

    three = [picture((0, 0, 0))] * 3
    assert labels(make(three, label=([1, 0, None], classes("cat", "dog")))) == [
        NamedClass(None, "dog"),
        NamedClass(None, "cat"),
        None,
    ]
    assert labels(make(three, label=(["cat", "", "7"], Value("string")))) == [
        NamedClass(None, "cat"),
        None,
        NamedClass(None, "7"),
    ]
    several = make(three, tags=([[0, 1], [], [1]], List(classes("cat", "dog"))))
    assert [ref.truth and ref.truth.labels for ref in refs(several)] == [
        (NamedClass(None, "cat"), NamedClass(None, "dog")),
        (),
        (NamedClass(None, "dog"),),
    ]


def test_a_column_called_label_has_priority_over_other_classes() -> None:
    from datasets import Value

    text, split = (["cat"], Value("string")), ([0], classes("train", "test"))
    plain = picture((9, 0, 0))
    assert labels(make([plain], label=text, split=split)) == [NamedClass(None, "cat")]
    assert labels(make([plain], kind=split)) == [NamedClass(None, "train")]
    # Numbers without names are no classes.
    number = ([1], Value("int64"))
    assert labels(make([plain], label=number, kind=split)) == [NamedClass(None, "train")]


def test_objects_without_any_box_are_no_reason_to_warn() -> None:
    from datasets import List, Value

    objects = ([[]], List({"bbox": List(Value("float32"))}))
    assert refs(make([picture((9, 0, 0))], objects=objects))[0].truth is None


def test_what_is_no_certain_class_is_not_used() -> None:
    from datasets import Value

    one = [picture((0, 0, 0))]
    with pytest.warns(ImageWarning, match="numbers without names of classes, and is not used"):
        assert labels(make(one, label=([3], Value("int64")))) == [None]
    fine, coarse = ([0], classes("tabby")), ([0], classes("cat"))
    with pytest.warns(ImageWarning, match="2 columns of classes, fine, coarse"):
        assert labels(make(one, fine=fine, coarse=coarse)) == [None]
    assert labels(make(one, label=fine, coarse=coarse)) == [NamedClass(None, "tabby")]


def test_accuracy_is_by_name_and_not_by_index() -> None:
    plain = Preprocess(size=32, resize=32, mean=0, std=1)
    model = load_model(ColourNet(), preprocess=plain, labels=["red", "green", "blue"])
    data = make([picture((9, 99, 9)), picture((99, 9, 9))], label=([0, 1], classes("green", "red")))
    assert compare(data, model, progress=False).summary()[0, "accuracy"] == 1


def located(boxes: list[list[list[float]]]) -> Any:
    from datasets import List, Value

    kind = {"bbox": List(List(Value("float32"), length=4)), "category": List(classes("cat", "dog"))}
    objects = [{"bbox": each, "category": [1] * len(each)} for each in boxes]
    return make([picture((0, 0, 0), (60, 40))] * len(boxes), objects=(objects, kind))


def test_boxes_are_used_if_their_convention_is_certain() -> None:
    # The first box is no pair of corners, the second no corner with a size.
    coco = refs(located([[[30, 10, 20, 25]], [[2, 3, 4, 5]], []]))
    assert [ref.truth and ref.truth.boxes for ref in coco] == [
        (Box(30, 10, 50, 35),),
        (Box(2, 3, 6, 8),),
        None,
    ]
    assert coco[0].truth is not None
    assert coco[0].truth.label == NamedClass(None, "dog")
    edges = refs(located([[[30, 10, 55, 35], [2, 3, 4, 5]]]))
    assert edges[0].truth is not None
    assert edges[0].truth.boxes == (Box(30, 10, 55, 35), Box(2, 3, 4, 5))


def test_a_broken_image_is_no_evidence_for_a_convention() -> None:
    data = located([[[30, 10, 20, 25]], [[2, 3, 4, 5]]])
    broken = {"bytes": b"nothing", "path": None}
    pictures = [{"bytes": encoded(picture((0, 0, 0), (60, 40))), "path": None}, broken]
    kind = data.features["objects"]
    found = refs(make(pictures, objects=(data["objects"][:], kind)))
    assert found[1].truth is not None
    assert found[1].truth.boxes == (Box(2, 3, 6, 8),)
    with pytest.raises(ImageError):
        found[1].open()


@pytest.mark.parametrize(
    "boxes",
    [[[2, 3, 4, 5]], [[0.1, 0.2, 0.5, 0.5]], [[30, 10, 33, 25]], [[90, 90, 95, 95]]],
    ids=["either", "shares", "one that leaves the image a little", "neither"],
)
def test_boxes_of_no_certain_convention_are_not_used(boxes: list[list[float]]) -> None:
    with pytest.warns(ImageWarning, match="and are not used. Give boxes="):
        (ref,) = refs(located([boxes]))
    assert ref.truth is None


def test_what_is_no_single_set_of_images_is_refused() -> None:
    from datasets import DatasetDict
    from datasets import Image as Pictures

    data = make([picture((0, 0, 0))])
    for given, said in (
        (DatasetDict(train=data, test=data), r"images\['train'\]; it has 'train', 'test'"),
        (data.to_iterable_dataset(), r"list\(stream.take\(100\)\)"),
        (data.add_column("x", [1]).remove_columns("image"), "no column of images"),
        (
            make([None], mask=([None], Pictures())).rename_column("image", "photo"),
            "2 columns of images",
        ),
    ):
        with pytest.raises(ArgumentError, match=said):
            refs(given)


def test_the_remedy_for_a_stream_works() -> None:
    from datasets import Dataset

    stream = make([picture((at, 0, 0)) for at in range(3)]).to_iterable_dataset()
    taken = Dataset.from_list(list(stream.take(2)), features=stream.features)
    assert [ref.open().getpixel((0, 0))[0] for ref in refs(taken)] == [0, 1]  # type: ignore[index]


def test_columns_of_paths_are_images(tmp_path: Path) -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    path = tmp_path / "a.png"
    picture((9, 0, 0)).save(path)
    for column in (
        pa.table({"path": [str(path)]})["path"],
        pa.array([str(path)]),
        pd.Series([str(path)]),
        pd.Series([str(path)], dtype="string[pyarrow]"),
        pd.Series([str(path)], dtype=object),
        pd.DataFrame({"path": [path]})["path"],
        pl.Series([str(path)]),
        make([None]).add_column("path", [str(path)])["path"],
    ):
        assert [ref.path for ref in refs(column)] == [path]


def test_tables_and_rows_are_refused() -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    columns = {"label": ["cat"], "path": ["a.png"]}
    for table, name in (
        (pd.DataFrame(columns), "DataFrame"),
        (pl.DataFrame(columns), "DataFrame"),
        (pa.table(columns), "Table"),
        (pa.RecordBatch.from_pydict(columns), "RecordBatch"),
        (columns, "dict"),
    ):
        with pytest.raises(
            ArgumentError, match=rf"a {name} with 'label', 'path': give .*\['path'\]"
        ):
            refs(table)
    with pytest.raises(ArgumentError, match=r"images\.collect\(\)\['path'\]"):
        refs(pl.LazyFrame(columns))
    row = make([picture((9, 0, 0))])[0]
    with pytest.raises(ArgumentError, match=r"a dict with 'image': .* images\['image'\]"):
        refs([row])
    with pytest.raises(ArgumentError, match="an empty DataFrame"):
        refs(pd.DataFrame())


def test_a_table_is_no_list_of_labels(sample: Any) -> None:
    import pandas as pd
    import pyarrow as pa

    comparison = sample(2)
    # As a list, it is 0 and 1, the names of its columns.
    with pytest.raises(ArgumentError, match=r"labels is a DataFrame with 0, 1: give the labels t"):
        comparison.annotate(labels=pd.DataFrame([[5, 6], [7, 8]]))
    named = pd.DataFrame({"path": ["a", "b"], "label": [1, 0]})
    with pytest.raises(ArgumentError, match=r"as labels\['label'\]"):
        comparison.annotate(labels=named)
    for labels in (named["label"], pa.table({"label": [1, 0]})["label"]):
        found = comparison.annotate(labels=labels)
        assert [image.truth.label for image in found.images] == [1, 0]
