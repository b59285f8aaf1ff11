"""Everything that callers use documents what it takes, returns and raises."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

import effcam
from effcam import demo, images, metrics

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^    (\*{0,2}\w+)(?: \([^)]*\))?:(?: |$)", re.MULTILINE)


def public() -> Iterator[tuple[str, Any]]:
    """Yield every public function, class and method by its name."""
    homes = {"effcam": effcam, "effcam.metrics": metrics, "effcam.demo": demo}
    homes["effcam.images"] = images
    for home, module in homes.items():
        for name in getattr(module, "__all__", None) or [n for n in dir(module) if n[0] != "_"]:
            value = getattr(module, name)
            if not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            if not value.__module__.startswith("effcam" if hasattr(module, "__all__") else home):
                continue
            yield f"{home}.{name}", value
            if inspect.isclass(value):
                yield from methods(f"{home}.{name}", value)


def methods(name: str, owner: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class has from effcam."""
    for base in owner.__mro__:
        if base.__module__.startswith("effcam"):
            for key, value in vars(base).items():
                plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                if key[0] != "_" and isinstance(plain, FunctionType | property):
                    yield f"{name}.{key}", plain


PUBLIC = dict(public())
FUNCTIONS = {name: value for name, value in PUBLIC.items() if isinstance(value, FunctionType)}
RECORDS = {name: value for name, value in PUBLIC.items() if dataclasses.is_dataclass(value)}


def sections(value: Any) -> dict[str, str]:
    """Return the sections of a docstring by title, and what comes before as ``""``."""
    parts = SECTION.split(inspect.getdoc(value) or "")
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def raises(function: FunctionType) -> bool:
    """Return whether a function has a ``raise`` of its own that it does not catch itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_begin_with_a_sentence(name: str) -> None:
    text = sections(PUBLIC[name])[""].strip()
    first = text.split("\n\n")[0]
    assert re.match(r"[A-Z(].*[.:]$", first, re.DOTALL), text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_described_and_no_others(name: str) -> None:
    signature = inspect.signature(FUNCTIONS[name])
    taken = [each for each in signature.parameters if each not in ("self", "cls")]
    found = sections(FUNCTIONS[name])
    described = [each.lstrip("*") for each in ENTRY.findall(found.get("Args", ""))]
    if described or len(taken) > 1:
        assert described == taken
    elif taken:  # the sentence itself may describe a single argument
        assert taken[0] in found[""] or taken[0].rstrip("s") in found[""].lower()


@pytest.mark.parametrize("name", [name for name, each in FUNCTIONS.items() if raises(each)])
def test_errors_are_listed(name: str) -> None:
    assert ENTRY.findall(sections(FUNCTIONS[name]).get("Raises", ""))


@pytest.mark.parametrize("name", RECORDS)
def test_fields_are_described_and_no_others(name: str) -> None:
    fields = [each.name for each in dataclasses.fields(RECORDS[name]) if each.name[0] != "_"]
    described = ENTRY.findall(sections(RECORDS[name]).get("Attributes", ""))
    assert [each for each in described if each in fields] == fields
