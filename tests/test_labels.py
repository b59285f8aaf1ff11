"""Class names, in whichever form others keep them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from effcam.labels import read_labels

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
    ],
)
def test_what_names_no_classes_is_told(names: object) -> None:
    assert read_labels(names) is None


def test_hugging_faces_placeholders_are_no_names() -> None:
    assert read_labels({0: "LABEL_0", 1: "LABEL_1"}) is None
    assert read_labels(["LABEL_0", "LABEL_1"]) is None
    assert read_labels(["LABEL_0", "cat"]) == ("LABEL_0", "cat")
