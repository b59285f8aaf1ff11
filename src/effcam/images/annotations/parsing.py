"""Read untrusted bytes, JSON and XML, with errors that name the location."""

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

YAML_BYTES = 2**20
"""The largest YAML file: its parser takes a second for a megabyte."""


def as_path(path: str | PathLike[str]) -> Path:
    """Return a path, with ``~`` expanded to the home folder."""
    try:
        return Path(path).expanduser()
    except (TypeError, RuntimeError) as error:  # not a path, or an unknown home folder
        raise ArgumentError(f"path must be a file or a folder, not {path!r}: {error}") from error


def files_below(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files with one of the suffixes below a folder, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


@contextmanager
def locating(where: str) -> Iterator[None]:
    """Put the location before the message of an error in the block."""
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
    """Return a value for a message, shortened if it is long."""
    return reprlib.repr(value)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, which must not be empty, without a byte order mark."""
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except ValueError as error:  # a path with a NUL character
        raise AnnotationError(f"it cannot be read: {error}") from error
    if not data.strip():
        raise AnnotationError("the file is empty")
    return data


def as_text(data: bytes) -> str:
    """Decode UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise AnnotationError(f"expected text in UTF-8: {error}") from error


def is_json(data: bytes) -> bool:
    """Return whether bytes begin like a JSON object or list."""
    return data.lstrip()[:1] in (b"{", b"[")


def parse_json(data: bytes) -> dict[str, Any]:
    """Parse a JSON file that contains an object."""
    document = load_json(data)
    if not isinstance(document, dict):
        raise AnnotationError(f"expected a JSON object, found {shown(document)}")
    return document


def load_json(data: bytes) -> Any:
    """Parse a JSON file."""
    text = as_text(data)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise AnnotationError("its JSON is nested too deeply") from error
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise AnnotationError(f"it begins like JSON, but is not valid: {error}") from error


def load_yaml(data: bytes) -> Any:
    """Parse a YAML file of plain values; no object of Python is made."""
    import yaml

    if len(data) > YAML_BYTES:
        raise AnnotationError(f"the file has {len(data)} bytes; expected {YAML_BYTES} at most")
    try:
        return yaml.safe_load(as_text(data))
    except RecursionError as error:
        raise AnnotationError("its YAML is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # the latter: a date that does not exist
        reason = " ".join(str(error).split())
        raise AnnotationError(f"it is not valid YAML: {reason}") from error


def parse_xml(data: bytes) -> Element:
    """Parse an XML document, and return its root."""
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
    except (
        expat.ExpatError,
        LookupError,
        ValueError,
    ) as error:  # latter: encoding
        raise AnnotationError(f"it begins like XML, but is not valid: {error}") from error
    return builder.close()


def _refuse_doctype(*_: object) -> None:
    # Only a DOCTYPE can declare entities, which can expand a small file to gigabytes ("billion
    # laughs") or include other files. Annotations need none, so parsing stops before any is
    # declared.
    raise AnnotationError("it has a DOCTYPE, which is refused: remove it")
