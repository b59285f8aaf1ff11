"""Read what a visitor asks for: every value from the browser is checked here, none is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from effcam.app.choices import NAMED, QUESTIONS, SECOND, check_model, method_choices
from effcam.app.limits import MEGABYTE, Limits
from effcam.app.store import Store
from effcam.errors import ArgumentError, TargetError, UnknownModelError, did_you_mean
from effcam.images.file_search import SUFFIXES as PHOTOS
from effcam.text import count

SCENES, OWN = "scenes", "photos"
WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors")
"""The suffixes of files of weights."""
LONGEST = 200
"""The most characters of a class's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a visitor asks for, checked.

    Attributes:
        photos: The uploaded photos; empty for demo scenes.
        scenes: The number of demo scenes; 0 for photos.
        models: The names of models.
        checkpoints: Uploaded files of weights.
        architecture: The model into which these are loaded; empty without any.
        method: The method's name.
        target: ``None``, ``"top2"`` or the name of a class.
    """

    photos: tuple[Path, ...] = ()
    scenes: int = 0
    models: tuple[str, ...] = ()
    checkpoints: tuple[Path, ...] = ()
    architecture: str = ""
    method: str = "gradcam"
    target: str | None = None


def read(values: Mapping[str, object], limits: Limits, store: Store, visitor: str) -> Asked:
    """Return what a visitor asks for.

    Args:
        values: The values of the page's fields, as the browser sent them: ``images``, ``scenes``,
            ``photos``, ``models``, ``checkpoints``, ``architecture``, ``method``, ``question`` and
            ``class_name``.
        limits: What the page accepts.
        store: The files of the page.
        visitor: The visitor.

    Raises:
        ArgumentError: If something is missing, too much or impossible.
        UnknownModelError: If the page has no model of a name.
        TargetError: If a class is to be named, and is not.
    """
    photos: tuple[Path, ...] = ()
    scenes = 0
    if _one_of("images", values.get("images"), (SCENES, OWN)) == SCENES:
        scenes = _number(values.get("scenes"), limits.photos)
    else:
        photos = read_photos(values.get("photos"), limits, store, visitor)
        if not photos:
            raise ArgumentError("there are no photos yet: add some, or choose the demo scenes")
    names = [check_model(each, limits) for each in dict.fromkeys(_texts(values.get("models")))]
    files = read_checkpoints(values.get("checkpoints"), limits, store, visitor)
    _check_number_of_models(len(names) + len(files), limits)
    return Asked(
        photos=photos,
        scenes=scenes,
        models=tuple(names),
        checkpoints=files,
        architecture=_architecture(values.get("architecture"), limits) if files else "",
        method=_method(values.get("method"), limits),
        target=_target(values.get("question"), values.get("class_name")),
    )


def read_photos(given: object, limits: Limits, store: Store, visitor: str) -> tuple[Path, ...]:
    """Return the paths of uploaded photos.

    Raises:
        ArgumentError: If there are too many, or one is too large, no photo or no upload.
    """
    files = _uploads(given, store, visitor)
    if len(files) > limits.photos:
        raise ArgumentError(
            f"{count(len(files), 'photo')} are too many: at most {limits.photos} are compared at "
            "once. Remove some"
        )
    for file in files:
        if file.suffix.lower() not in PHOTOS:
            raise ArgumentError(
                f"{file.name} is not an image: its name ends in none of {', '.join(sorted(PHOTOS))}"
            )
        _check_size(file, limits.photo_bytes)
    return files


def read_checkpoints(given: object, limits: Limits, store: Store, visitor: str) -> tuple[Path, ...]:
    """Return the paths of uploaded files of weights.

    Raises:
        ArgumentError: If one is too large, of another kind or no upload, or none is accepted.
    """
    files = _uploads(given, store, visitor)
    if files and not limits.checkpoint_bytes:
        raise ArgumentError("this page takes no checkpoints: run effcam on your own machine")
    for file in files:
        if file.suffix.lower() not in WEIGHTS:
            raise ArgumentError(
                f"{file.name} is no checkpoint: its name ends in none of {', '.join(WEIGHTS)}"
            )
        _check_size(file, limits.checkpoint_bytes)
    return files


def _uploads(given: object, store: Store, visitor: str) -> tuple[Path, ...]:
    """Return the paths in what the browser sent of a field of files."""
    entries = given if isinstance(given, list) else [] if given is None else [given]
    paths = [each.get("path") if isinstance(each, Mapping) else None for each in entries]
    return tuple(dict.fromkeys(store.upload(path, visitor) for path in paths))


def _check_size(file: Path, most: int) -> None:
    size = file.stat().st_size
    if size > most:
        raise ArgumentError(
            f"{file.name} has {size / MEGABYTE:.1f} MB: at most {most / MEGABYTE:g} MB are accepted"
        )
    if not size:
        raise ArgumentError(f"{file.name} is empty")


def _check_number_of_models(number: int, limits: Limits) -> None:
    if not number:
        raise ArgumentError("there are no models yet: choose at least one")
    if number > limits.models:
        raise ArgumentError(
            f"{number} models are too many: at most {limits.models} are compared at once. Remove "
            "some"
        )


def _architecture(value: object, limits: Limits) -> str:
    if not value:
        raise UnknownModelError(
            "choose the architecture of your checkpoint: the model that it was trained as"
        )
    return check_model(value, limits)


def _method(value: object, limits: Limits) -> str:
    return _one_of("method", value, [name for _, name in method_choices(limits)])


def _target(question: object, class_name: object) -> str | None:
    chosen = _one_of("target", question, [value for _, value in QUESTIONS])
    if chosen != NAMED:
        return "top2" if chosen == SECOND else None
    name = class_name.strip() if isinstance(class_name, str) else ""
    if not name or len(name) > LONGEST:
        raise TargetError("write the name of a class that the models know, such as: tabby")
    return name


def _number(value: object, most: int) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= most:
        raise ArgumentError(f"the number of scenes must be from 1 to {most}")
    return int(value)


def _texts(value: object) -> Sequence[str]:
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return [each if isinstance(each, str) else "" for each in entries]


def _one_of(name: str, value: object, known: Sequence[str]) -> str:
    if isinstance(value, str) and value in known:
        return value
    text = str(value)[:LONGEST]
    raise ArgumentError(f"this page has no {name} {text!r}.{did_you_mean(text, known)}")
