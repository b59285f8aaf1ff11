"""Matching of a file's entries to images, and ambiguous cases."""

from __future__ import annotations

import re

import pytest

from effcam.errors import ArgumentError
from effcam.images.annotations import ByName


class TestByName:
    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("1.jpg", "1.jpg"),
            ("1.jpg", "boxes/1.jpg"),
            ("bear/1.jpg", "1.jpg"),
            ("bear/1.jpg", "JPEGImages/1.jpg"),
            ("bear/1.jpg", "bear/1.jpg"),
            ("/data/bear/1.jpg", "bear/1.jpg"),
            ("bear/1.jpg", "/home/me/bear/1.jpg"),
            ("bear/1.jpg", "1"),
            ("1", "bear/1.jpg"),
            ("1.jpg", "1.JPEG"),
            ("photo.v2.jpg", "photo.v2"),
            ("./bear//1.jpg", "bear/1.jpg"),
            ("bear/1.jpg", "C:\\data\\bear\\1.jpg"),
            (".png", ".png"),
        ],
    )
    def test_same_image(self, name: str, known: str) -> None:
        by_name = ByName({known: "it", "other.jpg": "not it"})
        assert by_name.get(name) == "it"
        assert by_name.find(name) == known

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("1.jpg", "2.jpg"),
            ("1.jpg", "11.jpg"),
            ("bear/1.jpg", "bear/2.jpg"),
            ("bear/1.jpg", "bear"),
            ("photo.jpg", "photo.v2"),
            ("a.jpg", "A.jpg"),
            ("", "1.jpg"),
            ("1.jpg", ""),
        ],
    )
    def test_other_image(self, name: str, known: str) -> None:
        assert ByName({known: "it"}).get(name) is None
        assert ByName({known: "it"}).find(name) is None

    @pytest.mark.parametrize(
        ("name", "known", "found"),
        [
            ("bear/1.jpg", ["1.jpg", "cat/1.jpg", "bear/1.jpg"], "bear/1.jpg"),
            ("x/bear/1.jpg", ["cat/1.jpg", "y/bear/1.jpg"], "y/bear/1.jpg"),
            ("x/bear/1.jpg", ["x/cat/1.jpg", "y/bear/1"], "y/bear/1"),
            ("1.jpg", ["1.png", "1.jpg", "1"], "1.jpg"),
            ("1.jpg", ["cat/1.jpg", "1.jpg"], "1.jpg"),
            ("./1.jpg", ["cat/1.jpg", "1.jpg"], "1.jpg"),
            ("1.jpg", ["cat/1", "1"], "1"),
        ],
    )
    def test_longest_common_end_wins(self, name: str, known: list[str], found: str) -> None:
        assert ByName(dict.fromkeys(known, 0)).find(name) == found
        assert ByName(dict.fromkeys(reversed(known), 0)).find(name) == found

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("1.jpg", ["bear/1.jpg", "cat/1.jpg"]),
            ("dog/1.jpg", ["bear/1.jpg", "cat/1.jpg"]),
            ("1.jpg", ["1.png", "1.bmp"]),
            ("bear/1.jpg", ["x/bear/1.jpg", "y/bear/1.jpg", "1.jpg"]),
        ],
    )
    def test_two_that_are_equally_like_are_refused(self, name: str, known: list[str]) -> None:
        message = f"image {name!r} may be {known[0]!r} or {known[1]!r}: add more folders"
        with pytest.raises(ArgumentError, match=re.escape(message)):
            ByName(dict.fromkeys(known, 0)).get(name)

    def test_nothing_known(self) -> None:
        assert ByName({}).get("1.jpg") is None

    def test_ten_thousand_images_of_one_file_name(self) -> None:
        known = {f"scenes/{number}/mask": number for number in range(10_000)}
        by_name = ByName(known)
        for number in range(10_000):
            assert by_name.get(f"photos/{number}/mask.png") == number
