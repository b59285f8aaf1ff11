"""FiftyOne: heat, boxes of heat, predictions and figures on its samples, and its samples as images.

``pip install 'effcam[fiftyone]'``. Samples may be in a dataset or not; only those in a dataset need
FiftyOne's database.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from effcam.cam.cells import Cells
from effcam.cam.explanation import BOX_THRESHOLD, Explanation
from effcam.comparison.parquet import focus_of
from effcam.errors import ArgumentError, ImageError, OutputError, check_number
from effcam.files import atomic
from effcam.images.decoding import open_file, upright_size
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import NamedClass, Truth
from effcam.metrics.agreement import mean_agreements, pair_agreements
from effcam.text import listed

if TYPE_CHECKING:
    import fiftyone as fo

    from effcam.comparison.comparison import Comparison

LONGEST = 224
"""The longest side of a stored map of heat, in px."""
GROUND_TRUTH = "ground_truth"


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
    for sample in samples:
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
    writer = _Writer(fiftyone, comparison, prefix, threshold, longest, folder)
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
    writer = _Writer(fiftyone, comparison, prefix, threshold, longest, folder)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """Makes the fields of samples.

    Attributes:
        fo: The package `fiftyone`.
        comparison: The comparison.
        prefix: How the fields' names begin.
        threshold: The share of a map's range that a box encloses.
        longest: The longest side of maps in px.
        folder: Where maps are written; ``None`` to store them in samples.
    """

    fo: Any
    comparison: Cells
    prefix: str
    threshold: float
    longest: int
    folder: str | PathLike[str] | None

    def __post_init__(self) -> None:
        check_number("longest", self.longest)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.prefix):
            raise ArgumentError(
                f"prefix must be letters, digits and _, and begin with a letter, not "
                f"{self.prefix!r}"
            )

    def fields(self, at: int) -> dict[str, Any]:
        """Return the fields of an image, by their names."""
        columns = self.comparison.columns
        row = self.comparison.cells[at * len(columns) : (at + 1) * len(columns)]
        found: dict[str, Any] = {}
        for cell, name, focus in zip(row, _field_names(columns), focus_of(row), strict=True):
            start = f"{self.prefix}_{name}"
            found |= {
                f"{start}_heat": self._heatmap(cell, f"{name}/{at:06}.png"),
                f"{start}_box": self._box(cell),
                f"{start}_prediction": self._prediction(cell),
            }
            figures = ("effective_area", "gini", "half_mass_area")
            found |= {f"{start}_{figure}": focus.get(figure) for figure in figures}
        if len(columns) > 1:
            agreement = float(mean_agreements(pair_agreements((row,), "spearman"))[0])
            found[f"{self.prefix}_agreement"] = _number(agreement)
        return found

    def ground_truth(self, row: Sequence[Explanation]) -> dict[str, Any]:
        """Return what is known of an image, by the names of fields."""
        truth, size = row[0].image.truth or Truth(), row[0].size
        found: dict[str, Any] = {}
        names = [self._name(each) for each in truth.classes or ()]
        if truth.label is not None:
            found[GROUND_TRUTH] = self.fo.Classification(label=names[0])
        elif truth.labels is not None:
            each = [self.fo.Classification(label=name) for name in names]
            found[GROUND_TRUTH] = self.fo.Classifications(classifications=each)
        if truth.boxes:
            label = names[0] if len(names) == 1 else "object"
            boxes = [
                self.fo.Detection(label=label, bounding_box=_relative(box, size))
                for box in truth.boxes
            ]
            found[f"{GROUND_TRUTH}_boxes"] = self.fo.Detections(detections=boxes)
        return found

    def _name(self, label: int | str | NamedClass) -> str:
        from effcam.models.facts import class_name

        return str(class_name(label, self.comparison.facts))

    def _heatmap(self, cell: Explanation, name: str) -> Any:
        if cell.state != "ok":
            return None
        scale = min(1.0, self.longest / max(cell.size))
        heat = cell.heat(*(max(1, round(side * scale)) for side in cell.size))
        if self.folder is None:
            # Without a range, FiftyOne stretches a map to its own largest value.
            return self.fo.Heatmap(map=heat, range=[0, 1])
        path = Path(self.folder).expanduser().absolute() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as partial:
            Image.fromarray(np.rint(heat * 255).astype(np.uint8)).save(partial, "png")
        return self.fo.Heatmap(map_path=str(path), range=[0, 255])

    def _box(self, cell: Explanation) -> Any:
        box = cell.box(threshold=self.threshold)
        if box is None:
            return self.fo.Detections(detections=[])
        found = self.fo.Detection(
            label=cell.label,
            bounding_box=_relative(box, cell.size),
            confidence=_number(cell.probability),
        )
        return self.fo.Detections(detections=[found])

    def _prediction(self, cell: Explanation) -> Any:
        if cell.predicted is None:
            return None
        return self.fo.Classification(
            label=cell.predicted_label, confidence=_number(cell.predicted_probability)
        )


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
        return Truth(label=NamedClass(None, value.label))
    if kind == "Classifications":
        names = dict.fromkeys(each.label for each in value.classifications)
        return Truth(labels=tuple(NamedClass(None, name) for name in names))
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
    label = NamedClass(None, names.pop()) if len(names) == 1 else None
    return Truth(label=label, boxes=tuple(boxes))


def _iterated(samples: Any) -> Iterator[Any]:
    """Yield samples; those of a dataset or a view without its progress bar."""
    if isinstance(samples, Mapping) or not isinstance(samples, Iterable):
        raise ArgumentError(
            f"samples must be a dataset, a view or samples, not {type(samples).__name__}"
        )
    iterate = getattr(samples, "iter_samples", None)
    yield from samples if iterate is None else iterate(progress=False)


def _field_names(columns: Sequence[str]) -> list[str]:
    """Return a part of a field's name for each column, each once."""
    found: list[str] = []
    for column in columns:
        stem = name = re.sub(r"[^A-Za-z0-9]+", "_", column).strip("_") or "column"
        number = 1
        while name in found:
            number += 1
            name = f"{stem}_{number}"
        found.append(name)
    return found


def _key(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser().resolve())


def _relative(box: Box, size: tuple[int, int]) -> list[float]:
    """Return FiftyOne's [x, y, width, height] of a box, as shares of the image's sides."""
    inside = box.scale(1 / size[0], 1 / size[1])
    return [float(each) for each in (inside.left, inside.top, inside.width, inside.height)]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
