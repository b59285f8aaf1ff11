"""Images of datasets with their classes: of torchvision, Hugging Face, or any with positions.

Datasets are recognised by what they offer, so that none of their packages is imported. Pictures are
taken before any transform, and one at a time, when they are needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from effcam.errors import ArgumentError
from effcam.images.refs import ImageRef


class Items(Protocol):
    """The images of a dataset, by position."""

    def __len__(self) -> int:
        """Return the number of images."""

    def ref(self, index: int) -> ImageRef:
        """Return an image, with its class if the dataset names it."""


def is_dataset(value: object) -> bool:
    """Return whether a value is a dataset of images, or a mapping or a loader of datasets.

    It is a dataset of torch or of Hugging Face, or has a length and positions, but no iterator:
    whatever has one is taken for an iterable of images.
    """
    if isinstance(value, Mapping):
        return bool(value) and all(map(is_dataset, value.values()))
    if is_hugging_face(value) or is_streamed(value) or _is_of_torch(value):
        return True
    kind = type(value)
    return hasattr(kind, "__getitem__") and hasattr(kind, "__len__") and not _iterates(kind)


def is_hugging_face(value: object) -> bool:
    """Return whether a value offers what ``datasets.Dataset`` does."""
    offers = ("features", "column_names", "cast_column", "with_format", "flatten")
    return all(hasattr(type(value), name) for name in (*offers, "__len__"))


def is_streamed(value: object) -> bool:
    """Return whether a value is a ``datasets.IterableDataset``, or a mapping's value like it."""
    offers = ("features", "cast_column", "with_format", "take")
    has_length = hasattr(type(value), "__len__")
    return not has_length and all(hasattr(type(value), name) for name in offers)


def refs_of_dataset(dataset: Any) -> Iterator[ImageRef]:
    """Yield the images of a dataset, with the names of their classes where it has them.

    Raises:
        ArgumentError: If it has several splits, is a loader of batches or a stream, or it is
            unclear which of its columns is the image.
        ImageError: If an item cannot be read without the dataset's transform, or is no picture.
    """
    if isinstance(dataset, Mapping):
        splits = list(dataset)
        raise ArgumentError(
            f"images is a mapping of {len(splits)} datasets: give one, as "
            f"images[{splits[0]!r}]; it has {', '.join(map(repr, splits))}"
        )
    items = items_of(dataset)
    for index in range(len(items)):
        yield items.ref(index)


def items_of(dataset: Any) -> Items:
    """Return the images of a dataset by position.

    Raises:
        ArgumentError: As `refs_of_dataset`.
    """
    name = type(dataset).__name__
    if _has_base(dataset, "DataLoader"):
        raise ArgumentError(
            f"images is a {name}, whose batches are inputs of a model: give its dataset, "
            "loader.dataset, whose pictures are taken before its transform"
        )
    if is_streamed(dataset):
        raise ArgumentError(
            f"images is a {name}, a stream without length: take the images that you need, as "
            "datasets.Dataset.from_list(list(stream.take(100)), features=stream.features)"
        )
    # Comparisons of files do not need these.
    if is_hugging_face(dataset):
        from effcam.images.hugging_face import HuggingFace

        return HuggingFace(dataset)
    if _has_base(dataset, "ConcatDataset"):
        return _Several([items_of(each) for each in dataset.datasets])
    if _has_base(dataset, "Subset"):
        return _chosen(items_of(dataset.dataset), dataset.indices)
    if not hasattr(type(dataset), "__len__"):
        raise ArgumentError(
            f"images is a {name} without length: give a dataset with positions, or a list of images"
        )
    from effcam.images.map_style import Folder, MapStyle, is_folder_dataset

    return Folder(dataset) if is_folder_dataset(dataset) else MapStyle(dataset)


class _Chosen:
    """Some images of a dataset."""

    def __init__(self, items: Items, indices: Sequence[int]) -> None:
        self._items = items
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def ref(self, index: int) -> ImageRef:
        """Return an image under the name that it has in the whole dataset."""
        return self._items.ref(self._indices[index] % len(self._items))


def _chosen(items: Items, indices: Iterable[Any]) -> _Chosen:
    """Return some images of a dataset.

    Raises:
        ArgumentError: If an index is none: a truth value, as in a mask of the images to take, would
            be taken for 0 or 1, and one beyond the end for another image.
    """
    given = [index.item() if hasattr(index, "item") else index for index in indices]
    count = len(items)
    for index in given:
        if isinstance(index, bool) or not isinstance(index, int):
            raise ArgumentError(
                f"a Subset has the index {index!r}: expected whole numbers; for a mask, give the "
                "indices at which it is true, as numpy.flatnonzero(mask)"
            )
        if not -count <= index < count:
            raise ArgumentError(
                f"a Subset has the index {index}, and its dataset has {count} images"
            )
    return _Chosen(items, given)


class _Several:
    """The images of several datasets, one after another."""

    def __init__(self, parts: list[Items]) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def ref(self, index: int) -> ImageRef:
        """Return an image of one of them."""
        part = bisect_right(self._ends, index)
        return self._parts[part].ref(index - (self._ends[part - 1] if part else 0))


def _is_of_torch(value: object) -> bool:
    return any(_has_base(value, name) for name in ("Dataset", "DataLoader"))


def _has_base(value: object, name: str) -> bool:
    # By name, so that torch is not imported.
    return any(
        base.__name__ == name and base.__module__.startswith("torch.utils.data.")
        for base in type(value).__mro__
    )


def _iterates(kind: type) -> bool:
    return hasattr(kind, "__iter__")
