"""Class names, in the forms in which other tools store them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from effcam.errors import TargetError
from effcam.images.truth import NamedClass
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


# names before numbers


DIGITS = tuple(sorted(map(str, range(12))))  # "0", "1", "10", "11", "2", ...


def find(target: int | str | NamedClass, labels: tuple[str, ...], *more: tuple[str, ...]) -> int:
    synonyms = more or tuple((label,) for label in labels)
    return find_class(target, labels, synonyms, owner="net")


def test_text_of_digits_is_a_name_first_and_a_number_an_index() -> None:
    assert [find(name, DIGITS) for name in DIGITS] == list(range(12))
    assert find(10, DIGITS) == 10
    assert (find("2", NAMES), find(" 1 ", numbered(3))) == (2, 1)


def test_where_classes_are_called_by_numbers_no_text_is_an_index() -> None:
    message = r"no class called '12'. Its classes are called by numbers, such as '0', so a number"
    with pytest.raises(TargetError, match=message):
        find("12", DIGITS)
    with pytest.raises(TargetError, match=r"no class called '0'. Its classes are called by"):
        find("0", ("1", "2", "3"))


def test_index_and_name_must_agree() -> None:
    assert find(NamedClass(2, "Cow"), NAMES) == 2
    assert find(NamedClass(2, "animal in a field"), NAMES) == 2
    assert find(NamedClass(2, "10"), DIGITS) == 2
    message = (
        r"class_index 1 and label 'cow' are different classes of net: index 1 is 'bee', 'cow' is 2 "
        r"\(cow\); correct one"
    )
    with pytest.raises(TargetError, match=message):
        find(NamedClass(1, "cow"), NAMES)
    with pytest.raises(TargetError, match="index 7 is out of range, 'cow' is 2"):
        find(NamedClass(7, "cow"), NAMES)


def test_a_bare_number_of_a_file_that_names_another_class_is_refused_with_both_meanings() -> None:
    assert find(NamedClass(1, "1"), DIGITS) == find(NamedClass(1, "1"), NAMES) == 1
    message = (
        r"label 10 has two meanings in net: the class called '10' is 2 \(10\), the class of index "
        r"10 is '8'; write the label as text \(\"10\"\) for the name, or as \"class_index\""
    )
    with pytest.raises(TargetError, match=message):
        find(NamedClass(10, "10"), DIGITS)


# spelling


def test_an_exact_spelling_goes_before_another_case() -> None:
    labels = ("Cardigan", "cardigan", "cow")
    assert [find(label, labels) for label in labels] == [0, 1, 2]
    with pytest.raises(TargetError, match=r"'CARDIGAN' stands for 2 classes of net: 0 \(Card.*, 1"):
        find("CARDIGAN", labels)
    assert find("Cow", labels) == 2
    # Also of a name that is not shown.
    assert find("Welsh", ("welsh", "corgi"), ("welsh",), ("corgi", "Welsh")) == 1


def test_letters_and_their_accents_may_be_separate_characters() -> None:
    assert find("cafe\u0301", ("tea", "caf\u00e9")) == 1


def test_a_bird_does_not_become_a_machine() -> None:
    labels, synonyms = ("crane bird", "crane"), (("crane bird", "crane"), ("crane",))
    for name in ("crane", "Crane"):
        with pytest.raises(TargetError, match=r"stands for 2 classes .* 0 \(crane bird\), 1 \(c"):
            find(name, labels, *synonyms)
    assert find("crane bird", labels, *synonyms) == 0


# suggestions


def test_words_inside_of_labels_are_suggested_and_cats_before_others() -> None:
    labels = ("cat bear", "tabby", "tiger cat", "polecat", "catamaran")
    synonyms = (("cat bear",), ("tabby", "tabby cat"), ("tiger cat",), ("polecat",), ("catamaran",))
    message = r"no class called 'cat'. Did you mean 'tabby' or 'tiger cat' or 'cat bear'\?$"
    with pytest.raises(TargetError, match=message):
        find("cat", labels, *synonyms)
    with pytest.raises(TargetError, match=r"'Cats'. Did you mean 'tabby' or 'tiger cat'"):
        find("Cats", labels, *synonyms)
    with pytest.raises(TargetError, match=r"'tiger_cats'. Did you mean 'tiger cat'\?"):
        find("tiger_cats", labels, *synonyms)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tench, Tinca tinca", 0),
        ("tiger_cat", 2),
        ("ruffed grouse, partridge", 3),  # the second is another class
        ("Tinca tinca", 0),
    ],
)
def test_names_of_datasets_are_found_by_synonyms_and_without_underscores(
    name: str, index: int
) -> None:
    names = ("tench", "partridge", "tiger cat", "ruffed grouse")
    synonyms = (("tench", "Tinca tinca"), *((each,) for each in names[1:]))
    assert find_class(NamedClass(None, name), names, synonyms, owner="m") == index


@pytest.mark.parametrize("name", ["1", "crane", "stork, heron"])
def test_a_name_of_a_dataset_is_no_index_and_of_no_two_classes(name: str) -> None:
    names = ("crane", "crane bird", "egret")
    synonyms = (("crane",), ("crane bird", "crane"), ("egret",))
    with pytest.raises(TargetError, match="m has no class, or several, called"):
        find_class(NamedClass(None, name), names, synonyms, owner="m")
