"""The exception tree: what each error also is, what it says, and which names are close."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from effcam import errors
from effcam.errors import EffcamError, OutputError, UnknownModelError, did_you_mean

BUILTINS = {
    "ArgumentError": ValueError,
    "ImageError": ValueError,
    "UnknownModelError": KeyError,
    "DuplicateModelError": ValueError,
    "ModelError": RuntimeError,
    "WeightsError": OSError,
    "LayerError": ValueError,
    "TargetError": ValueError,
    "AnnotationError": ValueError,
    "CellError": LookupError,
    "OutputError": OSError,
}


def subclasses() -> dict[str, type[EffcamError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, EffcamError) and value is not EffcamError
    }


def test_every_error_is_an_effcam_error_and_the_builtin_that_it_refines() -> None:
    assert set(subclasses()) == set(BUILTINS)
    for name, error in subclasses().items():
        assert issubclass(error, BUILTINS[name]), name


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"[├└]── (\w+) +\((\w+)\)", errors.__doc__ or "")
    assert {name: builtin.__name__ for name, builtin in BUILTINS.items()} == dict(drawn)


@pytest.mark.parametrize("error", subclasses().values())
def test_the_message_is_shown_as_it_was_written(error: type[EffcamError]) -> None:
    # A bare KeyError shows the repr of its message.
    assert str(error("no model is called 'x'")) == "no model is called 'x'"
    assert str(error()) == ""


@pytest.mark.parametrize("error", [UnknownModelError, OutputError])
def test_errors_can_be_sent_to_another_process(error: type[EffcamError]) -> None:
    received = pickle.loads(pickle.dumps(error("what is wrong")))  # noqa: S301 - our own bytes
    assert type(received) is error
    assert str(received) == "what is wrong"


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("resnet5", ["resnet50", "vgg16"], " Did you mean 'resnet50'?"),
        ("ResNet50", ["vgg16", "resnet50"], " Did you mean 'resnet50'?"),
        ("tabby", ["Tabby", "tiger"], " Did you mean 'Tabby'?"),
        ("zebra", ["vgg16"], ""),
        ("vgg16", [], ""),
    ],
)
def test_close_names_are_offered_whatever_their_case(
    name: str, known: list[str], hint: str
) -> None:
    assert did_you_mean(name, known) == hint


def test_no_more_close_names_than_asked_for() -> None:
    known = [f"resnet{depth}" for depth in range(10)]
    assert did_you_mean("resnet", known, most=2).count("'resnet") == 2
    assert did_you_mean("resnet", known).count("'resnet") == 3
    assert " or " in did_you_mean("resnet", known)
