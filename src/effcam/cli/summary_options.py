"""The options for the summary, and the summary that they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.drawing.formats import REPORT_SUFFIXES
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from effcam.cam.methods.table import Method
    from effcam.comparison.comparison import Comparison
    from effcam.dataset import DatasetRun
    from effcam.images.refs import ImageRef
    from effcam.metrics.summary import Summary
    from effcam.models.registry import ModelSpec


def is_report(path: Path) -> bool:
    """Return whether a file to write is a report, which contains the summary."""
    return path.suffix.lower() in REPORT_SUFFIXES


def check_different(flag: str, files: Sequence[Path]) -> None:
    """Check that no file is to be written twice.

    Args:
        flag: The option, for messages.
        files: The files that it names.

    Raises:
        ArgumentError: If one is named twice.
    """
    seen: dict[Path, Path] = {}
    for file in files:
        place = file.expanduser().resolve()
        if place in seen:
            same = "" if file == seen[place] else f", once as {seen[place]}"
            raise ArgumentError(f"{flag} names {file} twice{same}: each file is written once")
        seen[place] = file


def add_summary_options(
    parser: argparse.ArgumentParser, description: str | None = None, *, faithfulness: bool
) -> None:
    """Add the options for the summary to a command.

    Args:
        parser: The parser of the command.
        description: The description of the group.
        faithfulness: Whether the command can run the models again.
    """
    group = parser.add_argument_group("summary", description)
    group.add_argument(
        "--summary",
        action="store_true",
        help="measure the maps, and print a table with 95 %% intervals",
    )
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="the class of each image, by image name: CSV, JSON or COCO, or a folder with a "
        "subfolder for each class",
    )
    group.add_argument(
        "--boxes",
        metavar="FILE",
        help="boxes around the objects: COCO, Pascal VOC or YOLO (a file or a folder), Label "
        "Studio's JSON, CVAT's XML, JSON or CSV",
    )
    group.add_argument(
        "--masks",
        metavar="FOLDER",
        help="masks of the objects: files with the names of the images, or outlines of COCO, YOLO, "
        "Label Studio or CVAT",
    )
    if faithfulness:
        group.add_argument(
            "--faithfulness",
            action="store_true",
            help="run the models again on images with parts removed (about forty passes per image)",
        )
    else:
        parser.set_defaults(faithfulness=False)
    group.add_argument(
        "--all-images",
        action="store_true",
        help="measure on all images, not only on those that every model classifies correctly",
    )
    group.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="FILE",
        help="add what one of timm's files of results says of the models, such as "
        "results-imagenet.csv; repeatable",
    )
    group.add_argument(
        "--save-summary",
        action="append",
        default=[],
        metavar="FILE",
        help="write the summary to a file: .txt .md .tex .csv .json or .html; repeatable",
    )


@dataclass(frozen=True, slots=True)
class SummaryOptions:
    """The summary that the options ask for.

    Attributes:
        known: The annotations of the images, by argument of `Comparison.summary`.
        fair: As in `Comparison.summary`.
        faithfulness: Whether to measure faithfulness.
        outputs: The files to write the summary to.
        results: Files of published results.
    """

    known: Mapping[str, Any]
    fair: bool | None
    faithfulness: bool
    outputs: tuple[Path, ...]
    results: tuple[str, ...] = ()

    @classmethod
    def read(cls, options: argparse.Namespace) -> SummaryOptions | None:
        """Read the options and the files that they name; return ``None`` without a summary.

        Raises:
            AnnotationError: If a file is missing or broken.
            OutputError: If the summary cannot be written to a file.
            ArgumentError: If a file is given twice.
        """
        files = {name: getattr(options, name) for name in ("labels", "boxes", "masks")}
        outputs = tuple(map(Path, options.save_summary))
        flags = (options.summary, options.faithfulness, options.all_images)
        asked = outputs or options.results
        if not asked and not any(flags) and not any(files.values()):
            return None
        from effcam.images.annotations import read_boxes, read_image_labels, read_masks
        from effcam.metrics.summary.summary import check_summary_output
        from effcam.models.result_tables import read_results

        for output in outputs:
            check_summary_output(output)
        check_different("--save-summary", outputs)
        read_results(options.results)  # a broken file must not fail after a long run
        readers: dict[str, Callable[[str], Mapping[str, Any]]] = {
            "labels": read_image_labels,
            "boxes": read_boxes,
            "masks": read_masks,
        }
        known = {name: readers[name](file) for name, file in files.items() if file is not None}
        fair = False if options.all_images else None
        return cls(known, fair, options.faithfulness, outputs, tuple(options.results))

    def annotate(
        self, images: Sequence[ImageRef], specs: Mapping[str, ModelSpec]
    ) -> list[ImageRef]:
        """Return the images with their labels, which pictures show.

        Checks that the annotations fit the images and the models. `measure` checks the rest, which
        needs the models to be built and run.

        Args:
            images: The images.
            specs: The models by label.

        Raises:
            AnnotationError: If no image has an annotation.
            TargetError: If a label is not a class of a model.
            UnknownModelError: If no model has that name.
        """
        from effcam.images.annotations.truths import GroundTruth
        from effcam.models.sources import check_classes

        truths = GroundTruth(len(images), **self.known)
        truths.check(image.name for image in images)
        known = truths.with_labels(images)
        wanted = list(dict.fromkeys(label for each in known for label in each.classes or ()))
        for spec in specs.values() if wanted else ():
            check_classes(spec, wanted)
        # Boxes and masks may be large: what measures them reads them.
        return [replace(image, truth=truth) for image, truth in zip(images, known, strict=True)]

    def measure(
        self,
        comparison: Comparison,
        specs: Mapping[str, ModelSpec],
        *,
        method: Method | Sequence[Method],
        device: str | None,
        progress: bool | None,
    ) -> Summary:
        """Measure a comparison, with faithfulness if asked; see `summarize`."""
        from effcam.cam.precision import undecided
        from effcam.metrics import faithfulness, label_probabilities

        again: Any = {"method": method, "device": device, "progress": progress}
        measured: dict[str, Any] = {}
        if self.faithfulness:
            precision = undecided(comparison.settings.precision)
            measured["faithfulness"] = faithfulness(comparison, specs, precision=precision, **again)
        labelled = any(image.truth and image.truth.labels for image in comparison.images)
        if labelled and any(each.multi_label for each in comparison.facts):
            measured["label_probabilities"] = label_probabilities(comparison, specs, **again)
        return self.summarize(comparison, **measured)

    def summarize(self, compared: Comparison | DatasetRun, **measured: Any) -> Summary:
        """Return the summary of a comparison or a run, after writing it to its files if any."""
        summary: Summary = compared.summary(
            **self.known, fair=self.fair, results=self.results, **measured
        )
        for output in self.outputs:
            summary.save(output)
        return summary

    def save_report(
        self, comparison: Comparison, summary: Summary, path: Path, style: Mapping[str, Any]
    ) -> Path:
        """Write a report with a measured summary, and return its path.

        Args:
            comparison: The comparison.
            summary: Its summary.
            path: The file to write.
            style: Its style, by argument of `Comparison.report`.

        Raises:
            OutputError: If the file cannot be written.
        """
        from effcam.comparison.report import Look, gather, write_report
        from effcam.images.annotations.truths import find_truths

        given: dict[str, Any] = {"boxes": None, "masks": None, "labels": None}
        sizes = [row[0].size for row in comparison.rows()]
        truths = find_truths(comparison.images, **{**given, **self.known}, sizes=sizes)
        return write_report(gather(comparison, truths=truths, summary=summary), path, Look(**style))
