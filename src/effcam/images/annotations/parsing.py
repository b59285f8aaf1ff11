"""Reads bytes, JSON and XML without trusting them, and tells where something is wrong."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from effcam.errors import AnnotationError, ArgumentError


def as_path(path: str | PathLike[str]) -> Path:
    """Return a path, whose home folder may be written ``~``."""
    try:
        return Path(path).expanduser()
    except (TypeError, RuntimeError) as error:  # no path, no such home
        raise ArgumentError(f"path must be a file or a folder, not {path!r}: {error}") from error


def files_below(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files below a folder that end in one of the suffixes, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


@contextmanager
def telling(where: str) -> Iterator[None]:
    """Put the place before the message of what goes wrong with a file there."""
    try:
        yield
    except AnnotationError as error:
        raise AnnotationError(f"{where}: {error}") from error.__cause__
    except FileNotFoundError as error:
        raise AnnotationError(f"{where}: there is no such file or folder") from error
    except IsADirectoryError as error:
        raise AnnotationError(f"{where}: expected a file, found a folder") from error
    except OSError as error:
        raise AnnotationError(f"{where}: it cannot be read: {error}") from error


def shown(value: object) -> str:
    """Return a value as a message shows it, of a long one the beginning."""
    return reprlib.repr(value)


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, without a byte order mark; an empty file is refused."""
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except ValueError as error:  # a path with a null character
        raise AnnotationError(f"it cannot be read: {error}") from error
    if not data.strip():
        raise AnnotationError("the file is empty")
    return data


def as_text(data: bytes) -> str:
    """Return the text that bytes in UTF-8 are."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise AnnotationError(f"expected text in UTF-8: {error}") from error


def is_json(data: bytes) -> bool:
    """Return whether bytes begin as a JSON object or list does."""
    return data.lstrip()[:1] in (b"{", b"[")


def parse_json(data: bytes) -> dict[str, Any]:
    """Return the object that a JSON file holds."""
    text = as_text(data)
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise AnnotationError("its JSON is nested too deep") from error
    except ValueError as error:  # no JSON, or a number of thousands of digits
        raise AnnotationError(f"it begins as JSON does, but is none: {error}") from error
    if not isinstance(document, dict):
        raise AnnotationError(f"expected a JSON object, found {shown(document)}")
    return document


def parse_xml(data: bytes) -> Element:
    """Return the root of an XML document."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data.lstrip(), True)
    except AnnotationError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: its encoding
        raise AnnotationError(f"it begins as XML does, but is none: {error}") from error
    return builder.close()


def _refuse_doctype(*_: object) -> None:
    # Only a DOCTYPE can declare entities, which make a small file grow to gigabytes ("billion
    # laughs") or pull in other files. Annotations need none, so reading stops before any is
    # declared.
    raise AnnotationError("it has a DOCTYPE, which annotations do not need: remove it")
