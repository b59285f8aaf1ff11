"""Make a comparison as a visitor asked for it, and the files to show and to download."""

from __future__ import annotations

import itertools
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from effcam.api import compare
from effcam.app.choices import demo_note, is_slow
from effcam.app.incoming import Asked
from effcam.app.limits import Limits
from effcam.app.store import Store
from effcam.comparison.report import Look, Snippet, gather, write_report
from effcam.comparison.report.reproduce import snippets_for
from effcam.demo import MODELS as DEMO_MODELS
from effcam.demo import Scene, scenes
from effcam.errors import ArgumentError, EffcamError
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageRef
from effcam.models.registry import ModelSpec, find_spec
from effcam.text import count

if TYPE_CHECKING:
    from effcam.app.worker import Ticket
    from effcam.comparison.comparison import Comparison

SEED = 0
"""Of the demo scenes."""
BATCH = 4
"""How many images run at once: few, so that progress is seen and cancelling is quick."""
REPORT, ANIMATION, PICTURE = "effcam_report.html", "effcam.gif", "effcam.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A comparison as files.

    Attributes:
        report: The report, a page.
        animation: One frame for each image.
        picture: The grid.
        code: The Python code that makes the same.
        title: What was compared, in a line.
        notes: Warnings about the images.
    """

    report: Path
    animation: Path
    picture: Path
    code: str
    title: str
    notes: tuple[str, ...] = ()


def make(asked: Asked, limits: Limits, store: Store, ticket: Ticket[Made]) -> Made:
    """Make a comparison and its files, in a new folder.

    Raises:
        EffcamError: If the comparison cannot be made; the message names no folder of the page.
        CancelledError: If it is cancelled.
    """
    with store.run(ticket.visitor) as folder:
        try:
            return _make(asked, limits, store, ticket, folder)
        except EffcamError as error:
            raise type(error)(_without(folder, str(error))) from error


def _make(asked: Asked, limits: Limits, store: Store, ticket: Ticket[Made], folder: Path) -> Made:
    began = time.monotonic()
    images = _images(asked, limits, store, folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        comparison = compare(
            images,
            _models(asked, store, folder),
            method=asked.method,
            target=asked.target,
            batch_size=1 if is_slow(asked.method) else BATCH,
        )
    seconds = time.monotonic() - began
    ticket.set_description("Drawing the report")
    snippet = _snippet(comparison, asked)
    material = gather(comparison, snippets=[snippet])
    report = write_report(material, folder / REPORT, Look())
    ticket.set_description("Drawing the picture")
    picture = comparison.save(folder / PICTURE)
    ticket.set_description("Drawing the animation")
    return Made(
        report=report,
        animation=comparison.save(folder / ANIMATION),
        picture=picture,
        code=snippet.code,
        title=_title(comparison, asked, seconds),
        notes=_notes(asked, caught, folder),
    )


def _images(
    asked: Asked, limits: Limits, store: Store, folder: Path
) -> Sequence[Scene] | list[ImageRef]:
    """Return the scenes, or the photos under names that differ; frames count as photos.

    Raises:
        ArgumentError: If animated pictures have too many frames.
    """
    if asked.scenes:
        return scenes(asked.scenes, SEED)
    taken: set[str] = set()
    paths = []
    for number, file in enumerate(asked.photos):
        linked = store.link(file, folder / "photos" / str(number))
        named = folder / "photos" / _free_name(file, taken)
        paths.append(linked.rename(named))
    images = list(islice(iter_images(paths), limits.photos + 1))
    if len(images) > limits.photos:
        raise ArgumentError(
            f"these are more than {limits.photos} images, as an animated picture counts by its "
            "frames: remove some"
        )
    return images


def _free_name(file: Path, taken: set[str]) -> str:
    """Return a file's name, with a number if another file has the same, and mark it as taken."""
    numbered = (f"{file.stem} ({number}){file.suffix}" for number in itertools.count(2))
    name = next(each for each in itertools.chain([file.name], numbered) if each not in taken)
    taken.add(name)
    return name


def _models(asked: Asked, store: Store, folder: Path) -> dict[str, str | ModelSpec]:
    """Return the models by column label, the uploaded weights last."""
    # Beside photos a column must say that its model is a demo model: "demo_resnet", not "resnet".
    demos = DEMO_MODELS.items() if asked.scenes else ()
    short = {name: label for label, name in demos if label not in asked.models}
    found: dict[str, str | ModelSpec] = {short.get(name, name): name for name in asked.models}
    for number, file in enumerate(asked.checkpoints):
        linked = store.link(file, folder / "weights" / str(number))
        base = find_spec(asked.architecture) or ModelSpec(asked.architecture)
        spec = replace(base, checkpoint=linked, pretrained=False)
        found[_free_name(Path(file.stem), set(found))] = spec
    return found


def _snippet(comparison: Comparison, asked: Asked) -> Snippet:
    """Return the Python code that makes the same, with files by their names alone."""
    if asked.scenes:
        images = f"effcam.demo.scenes({asked.scenes}, seed={SEED})"
    else:
        files = dict.fromkeys(_file_of(each).name for each in comparison.images)
        images = f"[{', '.join(map(repr, files))}]"
    (made,) = snippets_for(comparison, images=images)
    return made._replace(code=f"{made.code}\ncomparison.save({ANIMATION!r})", note="")


def _file_of(image: ImageRef) -> Path:
    return image.path or (image.frame.path if image.frame is not None else Path(image.name))


def _title(comparison: Comparison, asked: Asked, seconds: float) -> str:
    kind = "scene" if asked.scenes else "photo"
    return (
        f"{count(len(comparison.images), kind)}, {count(len(comparison.columns), 'model')}, "
        f"{asked.method}, in {seconds:.1f} s"
    )


def _notes(
    asked: Asked, caught: Sequence[warnings.WarningMessage], folder: Path
) -> tuple[str, ...]:
    """Return what demo models beside photos are worth, and what effcam warned of, each once."""
    demos = "" if asked.scenes else demo_note([*asked.models, *map(str, asked.checkpoints)])
    texts = (str(each.message) for each in caught if issubclass(each.category, UserWarning))
    found = (demos, *(_without(folder, text) for text in texts))
    return tuple(dict.fromkeys(text for text in found if text))


def _without(folder: Path, text: str) -> str:
    """Return a text without the folder of this run, which means nothing to a visitor."""
    return re.sub(re.escape(str(folder)) + r"/(photos/|weights/\d+/)?", "", text)
