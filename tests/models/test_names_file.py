"""Class names from files in the forms in which tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from effcam.errors import AnnotationError
from effcam.models.names_file import read_class_names

NAMES = ("rose", "tulip, wild", "daisy")


def saved(folder: Path, content: object, name: str) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("rose\ntulip, wild\n daisy \n\n", "classes.txt"),
        ("\ufeffrose\r\ntulip, wild\r\ndaisy", "obj.names"),
        (list(NAMES), "names.json"),
        ({"0": "rose", "2": "daisy", "1": "tulip, wild"}, "names.json"),
        ({"rose": 0, "daisy": 2, "tulip, wild": 1}, "class_to_idx.json"),
        ({"0": ["n1", "rose"], "1": ["n2", "tulip, wild"], "2": ["n3", "daisy"]}, "keras.json"),
        ({"model_type": "vit", "id2label": dict(enumerate(NAMES))}, "config.json"),
        ("train: images\nnames:\n  0: rose\n  1: tulip, wild\n  2: daisy\n", "data.yaml"),
        ("names: [rose, 'tulip, wild', daisy]", "data.yml"),
        ("- rose\n- tulip, wild\n- daisy\n", "names.yaml"),
        ('index,name\n2,daisy\n0,rose\n1,"tulip, wild"\n', "names.csv"),
        ("Label;note;class_index\nrose;;0\ndaisy;x;2\n\ntulip, wild;;1", "names.csv"),
    ],
)
def test_names_come_in_the_order_of_the_indices(tmp_path: Path, content: object, name: str) -> None:
    assert read_class_names(saved(tmp_path, content, name)) == NAMES


def test_names_may_be_numbers_or_equal(tmp_path: Path) -> None:
    assert read_class_names(saved(tmp_path, "3\n7\n", "a.txt")) == ("3", "7")
    assert read_class_names(saved(tmp_path, "crane\ncrane\n", "a.txt")) == ("crane", "crane")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "a.txt", "the file is empty"),
        ("rose\n\ndaisy\n", "a.txt", "line 2: expected a name, found ''"),
        (["rose", ""], "a.json", "name 1: expected a name, found ''"),
        ([1, 2], "a.json", "expected a list of names, or an object from each index, .* found"),
        ({"0": "rose", "2": "daisy"}, "a.json", "expected a list of names, or an object"),
        ("{", "a.json", "it begins like JSON, but is not valid"),
        ("index,name\n0,rose\n2,daisy", "a.csv", "expected each of the indices 0 to 1 once, found"),
        ("index,name\n0,rose\n0,daisy", "a.csv", "line 3: index 0 is 'rose' above"),
        ("index,name\n0", "a.csv", "line 2: expected 2 cells, found 1"),
        ("names: 3", "data.yaml", "expected a list of names, or an object"),
        ("a: [", "data.yaml", "it is not valid YAML"),
    ],
)
def test_broken_files(tmp_path: Path, content: object, name: str, message: str) -> None:
    path = saved(tmp_path, content, name)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_class_names(path)
    assert str(caught.value).startswith(f"names {str(path)!r}: ")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"gone': there is no such file or folder"):
        read_class_names(tmp_path / "gone")
