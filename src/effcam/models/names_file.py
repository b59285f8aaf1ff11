"""Read the names of a model's classes from a file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from effcam.errors import AnnotationError
from effcam.images.annotations.csv_tables import CLASS_COLUMNS, find_columns, full_row, table_rows
from effcam.images.annotations.parsing import (
    as_path,
    as_text,
    is_json,
    load_json,
    load_yaml,
    locating,
    read_bytes,
    shown,
)
from effcam.models.checkpoint_settings import LABELS
from effcam.models.class_names import read_labels

INDEX_COLUMNS = ("class_index", "index", "id")
NAME_COLUMNS = ("name", "class_name", *CLASS_COLUMNS)
KEYS = (*LABELS, "names")
"""Where larger JSON and YAML files have the names: config.json, data.yaml."""
YAML_SUFFIXES = (".yaml", ".yml")


def read_class_names(path: str | PathLike[str]) -> tuple[str, ...]:
    """Return the names of classes in the order of their indices.

    Args:
        path: One of

            - A text file, one name a line, in the order of the indices. A name may contain commas.
            - JSON: a list of names, or an object from index to name or from name to index. The
              object may be in another under a usual key, such as ``id2label`` in a
              ``config.json``. Of a pair, as in Keras's ``["n01440764", "tench"]``, the last is
              the name.
            - YAML, by its suffix, with the same content, such as ``names`` in a ``data.yaml``.
            - A table of comma, semicolon or tab separated values, whose header has an index
              (``class_index``, ``index``, ``id``) and a name (``name``, ``class_name``, ``label``,
              ``class``, ``category``).

    Raises:
        AnnotationError: If the file is missing, broken, or does not name every class once.
    """
    with locating(f"names {str(path)!r}"):
        file = as_path(path)
        data = read_bytes(file)
        if file.suffix.lower() in YAML_SUFFIXES:
            return _names_in(load_yaml(data))
        return _names_in(load_json(data)) if is_json(data) else _names_of_lines(as_text(data))


def _names_in(document: object) -> tuple[str, ...]:
    """Return the names of a list, of an object, or of the object under a usual key."""
    found = read_labels(_last_of_pairs(document))
    if found is None and isinstance(document, Mapping):
        known = (document[key] for key in KEYS if key in document)
        found = next(filter(None, map(read_labels, map(_last_of_pairs, known))), None)
    if found is None:
        raise AnnotationError(
            "expected a list of names, or an object from each index, 0, 1, 2 and so on, to its "
            f"name, or from each name to its index; found {shown(document)}"
        )
    return _checked([(f"name {index}", name) for index, name in enumerate(found)])


def _last_of_pairs(document: object) -> object:
    if not isinstance(document, Mapping):
        return document
    pairs = all(isinstance(value, list) and len(value) == 2 for value in document.values())
    return {key: value[-1] for key, value in document.items()} if pairs else document


def _names_of_lines(text: str) -> tuple[str, ...]:
    """Return the names of a table whose header has an index and a name, else those of the lines."""
    (_, header), *rows = table_rows(text)
    indices, names = find_columns(header, INDEX_COLUMNS), find_columns(header, NAME_COLUMNS)
    if not (indices and names and len(header) > 1):
        return _checked([(f"line {at}", line) for at, line in enumerate(_lines(text), 1)])
    named: dict[str, str] = {}
    for number, row in rows:
        with locating(f"line {number}"):
            cells = full_row(row, len(header))
            index, name = cells[indices[0]], cells[names[0]]
            if index in named:
                raise AnnotationError(f"index {index} is {shown(named[index])} above")
            named[index] = name
    found = read_labels(named)
    if found is None:
        raise AnnotationError(
            f"expected each of the indices 0 to {max(len(named) - 1, 0)} once, found "
            f"{shown(list(named))}"
        )
    return _checked([(f"index {index}", name) for index, name in enumerate(found)])


def _lines(text: str) -> list[str]:
    """Return the lines, without empty ones at the end."""
    return text.rstrip().splitlines()


def _checked(named: list[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names without spaces around them; none may be empty."""
    for where, name in named:
        if not name.strip():
            raise AnnotationError(f"{where}: expected a name, found {shown(name)}")
    return tuple(name.strip() for _, name in named)
