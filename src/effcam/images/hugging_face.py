"""Images of datasets of Hugging Face, read from the files or the bytes that these store."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from effcam.errors import ArgumentError, ImageError
from effcam.images.dataset_boxes import find_objects, read_objects
from effcam.images.dataset_labels import class_of, warn_of_unused
from effcam.images.decoding import open_file, upright_size
from effcam.images.deferred import Deferred, FileBytes
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth

LABELS = ("label", "labels")
TEXTS = ("string", "large_string")
_one_at_a_time = threading.Lock()


class HuggingFace:
    """The rows of a dataset with one column of images, and perhaps one of classes and of boxes."""

    def __init__(self, dataset: Any) -> None:
        """Find the columns; no image is read.

        Raises:
            ArgumentError: If it is unclear which column has the images.
        """
        features: Mapping[str, Any] = dataset.features
        column = _image_column(features)
        self._mode: str | None = getattr(features[column], "mode", None)
        # A format or a transform would give inputs of a model.
        plain = dataset.with_format(None)
        self._decoded = plain.select_columns([column])
        undecoded = plain.cast_column(column, replace(features[column], decode=False))
        self._column, self._images = column, undecoded.select_columns([column])
        # Of the stored columns alone: no bytes of images are read.
        paths = self._images.flatten().select_columns([f"{column}.path"])
        self._paths: list[str | None] = paths[:][f"{column}.path"]
        self._root = _common_folder(self._paths)
        self._split = str(getattr(dataset, "split", None) or "row")
        self._count = len(dataset)
        self._label = _label_column(features)
        objects = find_objects(features)
        self._labels = plain.select_columns([self._label]) if self._label else None
        self._names = _names(features.get(self._label)) if self._label else ()
        self._boxes = objects and read_objects(objects, plain, self._size)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    def ref(self, index: int) -> ImageRef:
        """Return the image of a row, named by its path below the folder of all, or its position."""
        path = self._paths[index]
        name = _file_name(path, self._root) or f"{self._split}[{index}]"
        return ImageRef(name, self._source(index, path), self._truth(index))

    def _source(self, index: int, path: str | None) -> Path | Deferred:
        if path and self._mode is None and Path(path).is_absolute() and Path(path).is_file():
            stored = self._images[index][self._column]
            # Bytes beside a path are the picture; the file may have changed, or be another.
            if stored["bytes"] is None:
                return Path(path)
        return Deferred(partial(self._take, index))

    def _take(self, index: int) -> object:
        """Return the picture of a row: its bytes, its file, or what the dataset decodes."""
        with _one_at_a_time:
            stored = self._images[index][self._column]
            if self._mode is None and stored is not None:
                if stored["bytes"] is not None:
                    return FileBytes(stored["bytes"], stored["path"] or "")
                if Path(stored["path"]).is_file():
                    return Path(stored["path"])
            if stored is None:
                raise ImageError(f"row {index} of the dataset has no image")
            # In an archive, at an address, or to be converted to a mode.
            return self._decoded[index][self._column]

    def _size(self, index: int) -> tuple[float, float]:
        """Return the width and height of an upright image in px; infinite if it cannot be read."""
        with suppress(ImageError, OSError):
            source = Deferred(partial(self._take, index)).load()
            if isinstance(source, Path | FileBytes):
                with open_file(source) as image:
                    return upright_size(image)
            size: tuple[int, int] = source.size  # type: ignore[attr-defined]  # of Pillow
            return size
        return math.inf, math.inf

    def _truth(self, index: int) -> Truth | None:
        truth = Truth()
        if self._labels is not None:
            truth = self._labelled(self._labels[index][self._label])
        if self._boxes:
            boxes, classes = self._boxes[index]
            truth = replace(truth, boxes=boxes)
            if truth.classes is None and len(classes) == 1:
                truth = replace(truth, label=classes[0])
        return truth if truth.boxes or truth.classes is not None else None

    def _labelled(self, value: Any) -> Truth:
        if isinstance(value, list):
            found = [class_of(each, self._names) for each in value]
            labels = tuple(dict.fromkeys(each for each in found if each is not None))
            return Truth(labels=labels) if None not in found else Truth()
        return Truth(label=class_of(value, self._names))


def _image_column(features: Mapping[str, Any]) -> str:
    """Return the column of images.

    Raises:
        ArgumentError: If there is none, or it is unclear which it is.
    """
    found = [name for name, feature in features.items() if _is_image(feature)]
    if len(found) == 1:
        return found[0]
    if "image" in found:
        return "image"
    if not found:
        raise ArgumentError(
            f"the dataset has no column of images: its columns are {', '.join(features)}; make one "
            "with dataset.cast_column(name, datasets.Image())"
        )
    raise ArgumentError(
        f"the dataset has {len(found)} columns of images: choose one with "
        f"dataset.select_columns(...); it has {', '.join(found)}"
    )


def _is_image(feature: object) -> bool:
    return type(feature).__name__ == "Image" and hasattr(feature, "decode")


def _label_column(features: Mapping[str, Any]) -> str | None:
    """Return the column of classes, ``None`` without one that has names."""
    found = [name for name, feature in features.items() if _names(feature)]
    called = [name for name in LABELS if name in features]
    usable = [name for name in called if name in found or _kind(features[name]) in TEXTS]
    if usable or len(found) == 1:
        # Another column of few values may be the split, or an attribute.
        return (usable or found)[0]
    if found:
        warn_of_unused(
            f"the dataset has {len(found)} columns of classes, {', '.join(found)}, which are not "
            "used",
            "Leave one with dataset.remove_columns(...)",
        )
    elif called:
        warn_of_unused(
            f"the dataset's column {called[0]!r} is of numbers without names of classes, and is "
            "not used",
            f"Name them: dataset.cast_column({called[0]!r}, datasets.ClassLabel(names=[...]))",
        )
    return None


def _names(feature: Any) -> tuple[str, ...]:
    """Return the names of the classes of a column, one or a list of them in each row; else none."""
    inner = getattr(feature, "feature", feature)
    names = getattr(inner, "names", None) if hasattr(type(inner), "int2str") else None
    return tuple(map(str, names or ()))


def _kind(feature: Any) -> str:
    """Return the type of a column's values, or of those of its lists."""
    return str(getattr(getattr(feature, "feature", feature), "dtype", ""))


def _common_folder(paths: Iterable[str | None]) -> str:
    """Return the folder that holds all files with absolute paths; empty without one."""
    folders = {str(Path(each).parent) for each in paths if each and Path(each).is_absolute()}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return ""


def _file_name(path: str | None, root: str) -> str:
    """Return the name of a file in a folder or an archive, as ``zip://1.png::/photos.zip``."""
    if not path:
        return ""
    if root and Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    inside = path.split("::")[0].rpartition("://")[2]
    return inside if inside and not Path(inside).is_absolute() else Path(path).name
