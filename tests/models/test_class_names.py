"""Class names, in the forms in which other tools store them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from effcam.errors import TargetError
from effcam.models.class_names import find_class, numbered, read_labels

NAMES = ("ant", "bee", "cow")


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        list(NAMES),
        {0: "ant", 1: "bee", 2: "cow"},
        {2: "cow", 0: "ant", 1: "bee"},
        {"0": "ant", "1": "bee", "2": "cow"},
        {"bee": 1, "ant": 0, "cow": 2},
    ],
)
def test_names_come_in_the_order_of_their_indices(names: object) -> None:
    assert read_labels(names) == NAMES


def test_ten_and_more_indices_in_text_are_in_the_order_of_numbers() -> None:
    names = {str(index): f"name {index}" for index in range(12)}
    assert read_labels(dict(sorted(names.items()))) == tuple(names.values())


def test_classes_may_be_called_by_numbers() -> None:
    assert read_labels({3: 0, 7: 1}) == ("3", "7")
    assert read_labels({0: "0", 1: "1"}) == ("0", "1")


def test_labels_are_plain_text() -> None:
    labels = read_labels(list(np.array(NAMES)))
    assert labels == NAMES
    assert {type(label) for label in labels} == {str}


@pytest.mark.parametrize(
    "names",
    [
        None,
        5,
        "ant",
        b"ant",
        [],
        {},
        {*NAMES},
        [0, 1, 2],
        ["ant", None],
        [["n01", "ant"], ["n02", "bee"]],
        torch.arange(3),
        {1: "ant", 2: "bee"},
        {0: "ant", 2: "cow"},
        {"ant": 0, "emmet": 0, "bee": 1},
        {"ant": "bee"},
        {"ant": True, "bee": False},
        {"ant": [0], "bee": [1]},
        {"0": ["n01", "ant"], "1": ["n02", "bee"]},
        {None: "ant"},
        {float("inf"): "ant"},
    ],
)
def test_values_that_name_no_classes_are_reported(names: object) -> None:
    assert read_labels(names) is None


def test_hugging_faces_placeholders_are_no_names() -> None:
    assert read_labels({0: "LABEL_0", 1: "LABEL_1"}) is None
    assert read_labels(["LABEL_0", "LABEL_1"]) is None
    assert read_labels(["LABEL_0", "cat"]) == ("LABEL_0", "cat")


# look up


SYNONYMS = (("ant", "emmet"), ("bee", "drone"), ("cow", "ant"))


@pytest.mark.parametrize(
    ("target", "index"),
    [(0, 0), (2, 2), (np.int64(1), 1), ("bee", 1), (" BEE\n", 1), ("Emmet", 0), ("drone", 1)],
)
def test_a_class_is_found_by_index_and_by_every_name(target: int | str, index: int) -> None:
    found = find_class(target, NAMES, SYNONYMS, owner="net")
    assert found == index
    assert type(found) is int


def test_a_name_that_is_shown_goes_before_another_classs_synonym() -> None:
    assert find_class("ant", NAMES, SYNONYMS, owner="net") == 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "^class 3 is out of range: net has the 3 classes 0 to 2$"),
        (-1, "^class -1 is out of range"),
        ("drones", r"^net has no class called 'drones'\. Did you mean 'drone'\?$"),
        ("whale", r"^net has no class called 'whale'\.$"),
        ("", r"^net has no class called ''\.$"),
    ],
)
def test_a_class_that_is_not_there_is_an_error(target: int | str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        find_class(target, NAMES, SYNONYMS, owner="net")


def test_a_synonym_of_two_classes_names_both() -> None:
    shared = (("ant", "insect"), ("bee", "insect"), ("cow",))
    message = r"'Insect' stands for 2 classes of net: 0 \(ant\), 1 \(bee\); give one of these ind"
    with pytest.raises(TargetError, match=message):
        find_class("Insect", NAMES, shared, owner="net")


def test_where_classes_have_no_names_an_index_is_asked_for() -> None:
    names = numbered(3)
    assert names == ("class 0", "class 1", "class 2")
    synonyms = tuple((name,) for name in names)
    with pytest.raises(TargetError, match=r"Its classes have no names: give an index, or load it"):
        find_class("ant", names, synonyms, owner="net")
