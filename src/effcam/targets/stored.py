"""Targets in the types of JSON, as dataset runs and settings hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from effcam.errors import TargetError
from effcam.targets.classes import Above, Contrast, Sum
from effcam.targets.outputs import Function, Similar, Text, Value
from effcam.targets.plain import PlainTarget, Single, plain, singles


def check_stored(target: PlainTarget) -> None:
    """Check that a target can be read again from its JSON.

    Raises:
        TargetError: If it holds a function, or an image in memory.
    """
    for each in singles(target):
        if isinstance(each, Function):
            raise TargetError(
                f"the function {each.name!r} cannot be kept on disk, so a dataset run cannot "
                "resume with it: use effcam.compare"
            )
        if isinstance(each, Similar) and None in each.files:
            raise TargetError(
                "a dataset run keeps the files that Similar compares with, not images in memory: "
                "give their paths"
            )


def to_json(target: PlainTarget) -> object:
    """Return a target in the types of JSON; of a function the name alone."""
    match target:
        case Contrast() | Sum() | Above() | Value() | Text() | Similar() | Function():
            return target.stored
        case Mapping():
            return {"columns": {name: to_json(each) for name, each in target.items()}}
        case tuple():
            return [to_json(each) for each in target]
    return target


def from_json(found: object) -> PlainTarget:
    """Return the target that `to_json` returned.

    Raises:
        TargetError: If it is none.
    """
    match found:
        case {"columns": dict(columns)}:
            return plain({name: from_json(each) for name, each in columns.items()})
        case dict():
            return _read(found)
        case list():
            return plain([from_json(each) for each in found])
    return plain(found)


def _read(found: Mapping[str, Any]) -> Single:
    match found:
        case {"contrast": [of, *against], "strength": strength, "weights": weights}:
            return Contrast(of, against, strength, weights)
        case {"sum": list(classes)}:
            return Sum(*classes)
        case {"above": threshold}:
            return Above(threshold)
        case {"value": output, "unit": unit, "lowers": lowers, "name": name}:
            return Value(output, unit, lowers, name)
        case {"text": text}:
            return Text(text)
        case {"similar": list(files), "region": region, "name": name}:
            return Similar(*files, region=region, name=name)
    raise TargetError(f"{dict(found)!r} is no target that can be read")
