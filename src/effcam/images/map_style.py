"""Images of torchvision's datasets, and of any whose items are an image and its class."""

from __future__ import annotations

import copy
import random
import reprlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from effcam.errors import ImageError, reason_of
from effcam.images.dataset_labels import class_of, index_of, names_of, truth_of, warn_of_unused
from effcam.images.deferred import Deferred
from effcam.images.refs import ImageRef

if TYPE_CHECKING:
    from effcam.images.truth import NamedClass

TRANSFORMS = ("transform", "transforms", "target_transform")
IMAGE_KEYS = ("image", "img")
LABEL_KEYS = ("label", "labels", "target")
# Datasets are made for one thread in each of several processes, and images are loaded in threads.
_one_at_a_time = threading.Lock()
MOST_READ = 8
"""How many items are read to check a list of classes, beside the first and the last."""


def is_folder_dataset(dataset: Any) -> bool:
    """Return whether a dataset lists paths and classes and has a loader, as ``ImageFolder``."""
    samples = getattr(dataset, "samples", None)
    first = samples[0] if isinstance(samples, list) and samples else None
    return (
        isinstance(first, tuple)
        and len(first) == 2
        and isinstance(first[0], str)
        and callable(getattr(dataset, "loader", None))
    )


class Folder:
    """The files of a dataset as torchvision's ``ImageFolder`` or ``DatasetFolder``."""

    def __init__(self, dataset: Any) -> None:
        self._samples: list[tuple[str, Any]] = dataset.samples
        self._names = names_of(getattr(dataset, "classes", ()))
        self._root = Path(str(getattr(dataset, "root", "")))
        loader: Callable[[str], object] = dataset.loader
        # Its own loader gives the file's picture, but does not turn it upright.
        plain = getattr(loader, "__module__", "") == "torchvision.datasets.folder"
        self._loader = None if plain else loader

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._samples)

    def ref(self, index: int) -> ImageRef:
        """Return a file, named by its path below the dataset's folder."""
        text, value = self._samples[index]
        path = Path(text)
        within = path.is_relative_to(self._root)
        name = path.relative_to(self._root).as_posix() if within else path.name
        take = None if self._loader is None else partial(self._loader, text)
        source = path if take is None else Deferred(take)
        return ImageRef(name, source, truth_of(class_of(value, self._names)))


class MapStyle:
    """The items of a dataset with positions, each an image, or an image and its class."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = _untransformed(dataset)
        self._kind = type(dataset).__name__
        self._count = len(dataset)
        self._names = names_of(
            getattr(dataset, "classes", None) or getattr(dataset, "categories", ())
        )
        self._warned = False
        self._values: Sequence[Any] | None = None
        if self._count:
            self._check_repeats()
            self._values = self._listed_values(dataset)

    def __len__(self) -> int:
        """Return the number of items."""
        return self._count

    def ref(self, index: int) -> ImageRef:
        """Return an item, named by the dataset's type and its position.

        One that cannot be read fails when it is opened.
        """
        source = Deferred(partial(_picture, self._dataset, index))
        truth = truth_of(self._class_of(self._value(index)))
        return ImageRef(f"{self._kind}[{index}]", source, truth)

    def _value(self, index: int) -> object:
        """Return the target of an item; ``None`` if it cannot be read: its picture then fails."""
        if self._values is not None:
            return self._values[index]
        with suppress(ImageError):
            return self._read(index)[1]
        return None

    def _read(self, index: int) -> tuple[object, object]:
        try:
            return _item(self._dataset, index)
        except Exception as error:  # the code of any dataset
            raise ImageError(
                f"item {index} of {self._kind} cannot be read as an image and its class, before "
                f"the dataset's transform: {reason_of(error)}. Give a list of images or of files"
            ) from error

    def _class_of(self, value: object) -> NamedClass | None:
        found = class_of(value, self._names)
        if found is None and value is not None and not self._warned:
            self._warned = True
            is_number = index_of(value) is not None and not self._names
            what = "numbers without names of classes" if is_number else "no classes by name"
            warn_of_unused(
                f"{self._kind}: targets such as {reprlib.repr(value)} are {what}, and are not used",
                "Set dataset.classes to the names, or give labels= to annotate or summary",
            )
        return found

    def _listed_values(self, dataset: Any) -> Sequence[Any] | None:
        """Return the dataset's list of classes, if it is that of its items; it loads no image."""
        for key in ("targets", "labels", "_labels"):
            listed: Any = getattr(dataset, key, None)
            if getattr(listed, "ndim", 1) != 1 or not hasattr(listed, "__getitem__"):
                continue
            values = listed.tolist() if hasattr(listed, "tolist") else listed
            if len(values) == self._count and self._are_of_items(values):
                return list(values)
        return None

    def _are_of_items(self, values: Sequence[Any]) -> bool:
        """Return whether listed classes are those of the items, by some of them.

        The list may be in the order of another dataset, which this one shuffles or filters.
        """
        rng = random.Random(0)  # noqa: S311  # not for cryptography
        some = rng.sample(range(self._count), min(self._count, MOST_READ))
        for at in {0, self._count - 1, *some}:
            index = index_of(values[at])
            if index is None or index != index_of(self._value(at)):
                return False
        return True

    def _check_repeats(self) -> None:
        """Check that an item is the same picture each time.

        Raises:
            ImageError: If it is not, as with random augmentation.
        """
        one, other = (np.asarray(self._read(0)[0]) for _ in range(2))
        if one.shape != other.shape or not np.array_equal(one, other):
            raise ImageError(
                f"item 0 of {self._kind} is another picture each time, as with random "
                "augmentation: give the dataset without it"
            )


def _untransformed(dataset: Any) -> Any:
    """Return a dataset without its transforms, by a shallow copy; itself if it has none.

    Raises:
        ImageError: If they cannot be left out.
    """
    given = [name for name in TRANSFORMS if getattr(dataset, name, None) is not None]
    if not given:
        return dataset
    plain = copy.copy(dataset)
    try:
        for name in given:
            setattr(plain, name, None)
    except AttributeError as error:
        raise ImageError(
            f"the transform of {type(dataset).__name__} cannot be left out: {error}. Make the "
            "dataset without it: what a transform makes is a model's input, and no picture"
        ) from error
    return plain


def _item(dataset: Any, index: int) -> tuple[object, object]:
    """Return the picture and the target of an item, ``None`` without one."""
    with _one_at_a_time:
        item = dataset[index]
    if isinstance(item, Mapping):
        picture = next(item[key] for key in IMAGE_KEYS if key in item)
        return picture, next((item[key] for key in LABEL_KEYS if key in item), None)
    if isinstance(item, tuple | list):
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _picture(dataset: Any, index: int) -> object:
    picture = _item(dataset, index)[0]
    return Path(picture) if isinstance(picture, str) else picture
