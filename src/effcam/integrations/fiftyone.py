"""FiftyOne: heat, boxes of heat, predictions and figures on its samples, and its samples as images.

``pip install 'effcam[fiftyone]'``. Samples may be in a dataset or not; only those in a dataset need
FiftyOne's database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.cam.explanation import BOX_THRESHOLD
from effcam.errors import ArgumentError, ImageError, OutputError
from effcam.images.decoding import open_file, upright_size
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import NamedClass, Truth
from effcam.integrations.fiftyone_fields import GROUND_TRUTH, FieldWriter
from effcam.text import listed

if TYPE_CHECKING:
    import fiftyone as fo

    from effcam.comparison.comparison import Comparison

LONGEST = 224
"""The longest side of a stored map of heat, in px."""


def images_of(
    samples: Iterable[fo.Sample], *, ground_truth: str | None = GROUND_TRUTH
) -> list[ImageRef]:
    """Return the images of samples, to give to `effcam.compare`, with what is known of them.

    A ``Classification`` becomes the class, ``Classifications`` all labels, ``Detections`` the boxes
    and, if these are of one class, the class. Classes are compared by their names.

    Args:
        samples: A dataset, a view, or samples.
        ground_truth: The field of labels; ``None`` for none.

    Raises:
        ArgumentError: If a sample is no image, or has no such field.
        ImageError: If the size of an image with boxes cannot be read.
    """
    refs = []
    for sample in _iterated(samples):
        if sample.media_type != "image":
            raise ArgumentError(
                f"sample {sample.filepath!r} is of media type {sample.media_type!r}: give samples "
                "of images; effcam.compare reads the frames of videos by their paths"
            )
        path = Path(sample.filepath)
        truth = None if ground_truth is None else _truth(sample, ground_truth, path)
        refs.append(ImageRef(path.name, path, truth))
    return refs


def add_to_samples(
    comparison: Comparison,
    samples: Iterable[fo.Sample],
    *,
    prefix: str = "effcam",
    threshold: float = BOX_THRESHOLD,
    longest: int = LONGEST,
    folder: str | PathLike[str] | None = None,
) -> tuple[str, ...]:
    """Add the cells of a comparison to the samples of the same files, and return the new fields.

    For each column, ``<prefix>_<column>_heat`` is a ``Heatmap`` over the whole photo, 0 where the
    model saw nothing; ``_box`` the ``Detections`` of the box of heat, with the class explained and
    its probability; ``_prediction`` the ``Classification``; ``_effective_area``, ``_gini`` and
    ``_half_mass_area`` the figures of focus at the map's own resolution, in [0, 1].
    ``<prefix>_agreement`` is the mean rank correlation of the columns' maps, in [-1, 1]. What is
    not known is ``None``. Samples in a dataset are saved; samples of other files are left alone.

    Args:
        comparison: The comparison, of image files.
        samples: A dataset, a view, or samples.
        prefix: How the fields' names begin.
        threshold: As in `effcam.Explanation.box`.
        longest: The longest side of the maps in px.
        folder: Where to write the maps as PNG files of 8 bits, to which the samples refer; ``None``
            stores them in the samples.

    Raises:
        ArgumentError: If no sample is of an image of the comparison, or an argument is impossible.
        OutputError: If FiftyOne is not installed, or a map cannot be written.
    """
    fiftyone = require_fiftyone()
    writer = FieldWriter(fiftyone, comparison, prefix, threshold, longest, folder)
    rows = {_key(row[0].image.path): at for at, row in enumerate(comparison.rows())}
    rows.pop(None, None)
    names: dict[str, None] = {}
    for sample in _iterated(samples):
        at = rows.get(_key(Path(sample.filepath)))
        if at is None:
            continue
        fields = writer.fields(at)
        names |= dict.fromkeys(fields)
        for name, value in fields.items():
            # FiftyOne cannot tell the type of a new field from None, which it is without a value.
            if value is not None or sample.has_field(name):
                sample[name] = value
        if sample.in_dataset:
            sample.save()
    if not names:
        images = listed([image.name for image in comparison.images])
        raise ArgumentError(
            f"no sample is of a file of the comparison, whose images are {images}: compare the "
            "samples' own files, effcam.compare(images_of(samples), ...)"
        )
    return tuple(names)


def to_samples(
    comparison: Comparison,
    *,
    prefix: str = "effcam",
    threshold: float = BOX_THRESHOLD,
    longest: int = LONGEST,
    folder: str | PathLike[str] | None = None,
) -> list[fo.Sample]:
    """Return new samples of the images of a comparison, as `add_to_samples` fills them.

    They also have the ``ground_truth``: the class, and the boxes as ``ground_truth_boxes``.
    ``dataset.add_samples`` puts them into a dataset.

    Args:
        comparison: As in `add_to_samples`.
        prefix: As in `add_to_samples`.
        threshold: As in `add_to_samples`.
        longest: As in `add_to_samples`.
        folder: As in `add_to_samples`.

    Raises:
        ArgumentError: If an image is not a file, or an argument is impossible.
        OutputError: If FiftyOne is not installed, or a map cannot be written.
    """
    fiftyone = require_fiftyone()
    writer = FieldWriter(fiftyone, comparison, prefix, threshold, longest, folder)
    samples = []
    for at, row in enumerate(comparison.rows()):
        image = row[0].image
        if image.path is None:
            raise ArgumentError(
                f"image {image.name!r} is not a file, and a sample of FiftyOne is one: write it "
                "as a file, and compare that"
            )
        sample = fiftyone.Sample(filepath=str(image.path.absolute()))
        for name, value in (writer.ground_truth(row) | writer.fields(at)).items():
            if value is not None:
                sample[name] = value
        samples.append(sample)
    return samples


def require_fiftyone() -> Any:
    """Return the package `fiftyone`, which takes some seconds to import.

    Raises:
        OutputError: If it is not installed.
    """
    try:
        import fiftyone
    except ImportError as error:
        raise OutputError(
            "samples of FiftyOne need fiftyone: pip install 'effcam[fiftyone]'"
        ) from error
    return fiftyone


def _truth(sample: Any, field: str, path: Path) -> Truth | None:
    """Return what a field of labels says of an image.

    Raises:
        ArgumentError: If there is no such field, or it has no labels of an image.
    """
    if not sample.has_field(field):
        raise ArgumentError(
            f"sample {sample.filepath!r} has no field {field!r}: give ground_truth= one of "
            f"{listed(list(sample.field_names))}, or None"
        )
    value = sample[field]
    if value is None:
        return None
    kind = type(value).__name__
    if kind == "Classification":
        return Truth(label=NamedClass(None, value.label)) if value.label else None
    if kind == "Classifications":
        names = dict.fromkeys(each.label for each in value.classifications)
        # With one that has no label, it is unknown which they are.
        known = all(names)
        return Truth(labels=tuple(NamedClass(None, name) for name in names)) if known else None
    if kind != "Detections":
        raise ArgumentError(
            f"field {field!r} is of {kind}: ground_truth= takes Classification, Classifications or "
            "Detections"
        )
    return _located(value.detections, path)


def _located(detections: Sequence[Any], path: Path) -> Truth | None:
    if not detections:
        return None
    try:
        with open_file(path) as image:
            width, height = upright_size(image)
    except OSError as error:
        raise ImageError(f"image {str(path)!r} cannot be read: {error}") from error
    boxes = []
    for each in detections:
        x, y, across, down = each.bounding_box
        boxes.append(Box(x, y, x + across, y + down).scale(width, height))
    names = {each.label for each in detections}
    label = NamedClass(None, names.pop()) if len(names) == 1 and all(names) else None
    return Truth(label=label, boxes=tuple(boxes))


def _iterated(samples: Any) -> Iterator[Any]:
    """Yield samples; those of a dataset or a view without its progress bar."""
    single = isinstance(samples, Mapping) or hasattr(samples, "filepath")
    if single or not isinstance(samples, Iterable):
        raise ArgumentError(
            f"samples must be a dataset, a view or a list of samples, not {type(samples).__name__}"
        )
    iterate = getattr(samples, "iter_samples", None)
    yield from samples if iterate is None else iterate(progress=False)


def _key(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser().resolve())
