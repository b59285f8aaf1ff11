"""Facts of the columns, and notes for the reader of a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from effcam.cam.map_checks import Finding
from effcam.metrics.calibration_result import Calibration
from effcam.metrics.intervals import FEWEST
from effcam.metrics.significance import fewest_units
from effcam.metrics.summary import Fact, Measure
from effcam.metrics.summary.confusions import Confusion, listed_pairs
from effcam.models.architectures import JOINT
from effcam.models.facts import UNKNOWN, ModelFacts
from effcam.text import count

FOCUS_GRIDS_DIFFER = (
    "The grids of the maps differ. Figures of focus bring them to the resolution of the coarsest "
    "one, so they depend on the columns; a larger input still makes heat more concentrated."
)
GRIDS_DIFFER = (
    "The finer a grid is, and the larger the input, the more heat is on the object. So columns "
    "whose grids differ in the size of their cells are not tested and not marked in figures of "
    "localisation; one input size for all (size=, --size) makes many grids equal."
)
MOSAIC_GRIDS_DIFFER = (
    "In GridPG, columns whose grids differ are not tested: a finer grid has more heat on its tile."
)
SHARED_TIME = (
    "The time per image is that of all maps of a model together, not of each method or target."
)
CONFUSED = (
    "Confused pairs are the most frequent of many, so their shares are somewhat too large; each "
    "interval is that of its pair alone."
)
COVERED = 0.9
"""The least share of the input that cells cover without a note."""
UNEQUAL = 0.03
"""The largest difference of the shares that models saw of the images without a note."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The numbers of images of a summary.

    Attributes:
        images: The number of images.
        used: The number of images that figures other than accuracy include.
        comparable: Whether all models predict and explain one class in every image.
        seen: The mean share of the images that each column saw.
        predicts: Whether any model predicts a class in any image; a regression does not.
        calibrated: Whether there are figures of calibration, which use all labelled images.
    """

    images: int
    used: int
    comparable: bool
    seen: Sequence[float]
    predicts: bool = True
    calibrated: bool = False


def facts_of_columns(facts: Sequence[ModelFacts], seen: Sequence[float]) -> tuple[Fact, ...]:
    """Return facts of each column as text; none if the models are unknown."""
    if not facts:
        return ()
    texts = [
        (
            _short(each.target_layer),
            " x ".join(map(str, each.grid)),
            " x ".join(map(str, each.input_size)) + " px",
            f"{100 * share:.0f} %",
        )
        for each, share in zip(facts, seen, strict=True)
    ]
    titles = ("looked at", "grid", "input", "saw")
    return tuple(
        Fact(title, each) for title, each in zip(titles, zip(*texts, strict=True), strict=True)
    )


def notes(
    columns: Sequence[str],
    facts: Sequence[ModelFacts],
    counted: Counted,
    *,
    fair: bool,
    labelled: bool,
) -> list[str]:
    """Return notes on the images and models of a summary.

    Args:
        columns: The columns' labels.
        facts: Facts of their models.
        counted: The numbers of images.
        fair: Whether figures include only images in which the models explain one class.
        labelled: Whether labels are known.
    """
    found = []
    if fair and (counted.predicts or counted.used < counted.images):
        which = "predicts correctly" if labelled else "predicts as the others do"
        others = "accuracy and calibration" if counted.calibrated else "accuracy"
        found.append(
            f"Figures other than {others} use only the {counted.used} of {counted.images} images "
            f"that every model {which}, and that have one explained class; fair=False "
            "(--all-images) uses all images."
        )
    elif len(columns) > 1 and not counted.comparable:
        found.append(
            "In some images the models predict or explain different classes, so their maps do not "
            "compare; leave these images out with fair=True."
        )
    if max(counted.seen) - min(counted.seen) > UNEQUAL:
        found.append(
            "The models saw different shares of the images. Areas are relative to the whole image, "
            "so a model that sees less of it has a smaller area of heat; show the whole image to "
            'all models with view="whole".'
        )
    classless = [
        label for label, each in zip(columns, facts, strict=bool(facts)) if not each.labels
    ]
    if classless:
        found.append(
            f"{', '.join(classless)}: without classes, so with neither accuracy nor confidence."
        )
    names = [label for label, each in zip(columns, facts, strict=bool(facts)) if each.untrained]
    if names:
        found.append(f"{', '.join(names)}: random weights, so the heat means nothing.")
    found += _precision_notes(columns, facts)
    found += [*_cover_notes(columns, facts), *_layer_notes(columns, facts)]
    timed = [(each.name, each.weights) for each in facts if each.seconds is not None]
    if len(set(timed)) < len(timed):
        found.append(SHARED_TIME)
    return found


def _precision_notes(columns: Sequence[str], facts: Sequence[ModelFacts]) -> list[str]:
    """Return a note if models ran in half precision, which moves heat and figures."""
    owners: dict[str, list[str]] = {}
    for label, each in zip(columns, facts, strict=bool(facts)):
        owners.setdefault(each.precision, []).append(label)
    if owners.keys() <= {"fp32", UNKNOWN}:
        return []
    if len(owners) == 1:
        return [f"The models ran in {next(iter(owners))}; in fp32 figures are slightly different."]
    ran = "; ".join(f"{', '.join(labels)} in {name}" for name, labels in owners.items())
    note = (
        f"The models ran in different precisions ({ran}), and a small difference of figures may "
        "come from that; precision= (--precision) is for all."
    )
    return [note]


def _cover_notes(columns: Sequence[str], facts: Sequence[ModelFacts]) -> list[str]:
    """Return a note for each share of the input that cells cover, if it is small."""
    owners: dict[int, list[str]] = {}
    for label, each in zip(columns, facts, strict=bool(facts)):
        if each.covered < COVERED:
            owners.setdefault(round(100 * each.covered), []).append(label)
    return [
        f"{', '.join(labels)}: the cells cover {share} % of the input, and past them heat falls to "
        "0. So heat covers less of an image, and more of it lies on objects in the middle."
        for share, labels in owners.items()
    ]


def _layer_notes(columns: Sequence[str], facts: Sequence[ModelFacts]) -> list[str]:
    """Return what the maps of each model's layer do not show; once for all of its columns."""
    owners: dict[str, list[str]] = {}
    for label, each in zip(columns, facts, strict=bool(facts)):
        for note in each.notes:
            owners.setdefault(note, []).append(label)
    return [f"{', '.join(labels)}: {note}." for note, labels in owners.items()]


def rescaling_notes(images: int) -> list[str]:
    """Return a note on the images whose boxes were recognised as shares of their sides."""
    if not images:
        return []
    note = (
        "The edges of all boxes lie between 0 and 1. So they were read as left, top, right and "
        f"bottom in shares of the width and height of the {count(images, 'image')}, not as px."
    )
    return [note]


def label_notes(
    columns: Sequence[str],
    facts: Sequence[ModelFacts],
    *,
    labelled: bool,
    unmeasured: bool,
    located: bool,
) -> list[str]:
    """Return notes on models of several labels an image.

    Args:
        columns: The columns' labels.
        facts: Facts of their models.
        labelled: Whether labels are known.
        unmeasured: Whether several labels an image are known, and not their probabilities.
        located: Whether boxes or masks of images with several labels are known.
    """
    own = [label for label, each in zip(columns, facts, strict=bool(facts)) if each.multi_label]
    if not own:
        return []
    found = [
        f"{', '.join(own)}: labels do not exclude each other, and each has a probability of its "
        "own. What the model predicts is the label of the highest one"
        + (", and it is right if the image has that label." if labelled else ".")
    ]
    if unmeasured:
        found.append(
            "Average precision of labels needs the probability of every label in every image, "
            "which effcam.metrics.label_probabilities(comparison, models) measures; give its "
            "result to Comparison.summary, label_probabilities=..."
        )
    if located:
        found.append(
            "Figures of localisation use the boxes and masks of all objects of an image, whichever "
            "label its heat is for; to measure one label, give the boxes or masks of its objects."
        )
    return found


def chooser_notes(
    calibration: Mapping[str, Calibration], confusions: Sequence[Confusion]
) -> list[str]:
    """Return notes on the calibration of columns, and on pairs of classes that they confuse."""
    found = []
    unsure = [column for column, each in calibration.items() if each.is_chance]
    if unsure:
        found.append(
            f"ECE of {', '.join(unsure)}: no larger than chance often makes it for a calibrated "
            "model on these images, so it may be noise; more images would show."
        )
    if any(np.isfinite(each.low) for own in listed_pairs(confusions, 1).values() for each in own):
        found.append(CONFUSED)
    return found


def sequence_note(pairs: int) -> str:
    """Return a note on the figures of ``pairs`` of frames."""
    return (
        f"Sequence figures use {pairs} pairs of frames that follow each other in a video. "
        "Stable is not correct: heat should move with its object."
    )


def statistics_notes(measures: Sequence[Measure], videos: int) -> list[str]:
    """Return notes on what the intervals and tests of a summary say, and where there are none.

    Args:
        measures: All measures.
        videos: The number of videos of which any frame is in the summary.
    """
    found = []
    if videos:
        found.append(
            "The frames of a video are alike, so intervals and tests count a video as one image, "
            f"and the summary has frames of {count(videos, 'video')}."
        )
    sampled = [each for each in measures if each.counts.any()]
    small = [each for each in sampled if ((each.units < FEWEST) & (each.counts > 0)).any()]
    if small:
        found.append(
            f"{_named(small, sampled)}: with fewer than {FEWEST} {_units(videos)} there are no "
            "intervals and no tests of differences."
        )
    return found + _powerless(sampled, videos)


def _powerless(sampled: Sequence[Measure], videos: int) -> list[str]:
    """Return a note on figures with too few images for any difference to be significant."""
    found: dict[tuple[int, int], list[Measure]] = {}
    for each in sampled:
        pairs = int(np.isfinite(each.p_values).sum()) // 2
        least, most = fewest_units(max(pairs, 1)), int(each.units.max())
        if each.figure.better and each.figure.tested and pairs and most < least:
            found.setdefault((pairs, most), []).append(each)
    ranked = [each for each in sampled if each.figure.better and each.figure.tested]
    return [
        f"{_named(own, ranked)}: with {most} {_units(videos)} no difference can be significant "
        f"among {pairs} pairs of columns; it takes {fewest_units(pairs)}."
        for (pairs, most), own in found.items()
    ]


def _named(some: Sequence[Measure], every: Sequence[Measure]) -> str:
    """Return the titles of some measures, or that they are all."""
    if len(some) == len(every):
        return "All figures of images"
    return ", ".join(each.figure.title for each in some)


def _units(videos: int) -> str:
    return "images or videos" if videos else "images"


def health_notes(label: str, findings: Sequence[Finding]) -> list[str]:
    """Return a note on each problem of a column's maps."""
    return [f"{label}: {finding}" for finding in findings]


def _short(layers: str) -> str:
    first, *others = layers.split(JOINT)
    return f"{first} + {len(others)} more" if others else first
