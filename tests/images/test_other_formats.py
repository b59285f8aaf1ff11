"""Formats that are not read are named, and what Pillow remarks is one warning or none."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from effcam.errors import ImageError, ImageWarning
from effcam.images import notes
from effcam.images.discovery import from_folders, iter_images
from effcam.images.loader import Loader
from effcam.images.notes import pillow_silenced
from effcam.images.preprocess import Preprocess

HEIC = b"\0\0\0\x20ftypheic" + bytes(99)
CONTENTS = {
    "HEIC": HEIC,
    "JPEG XL": b"\xff\x0a" + bytes(99),
    "DICOM": bytes(128) + b"DICM" + bytes(99),
    "Photoshop": b"8BPS\0\1" + bytes(99),
    "PDF": b"%PDF-1.7",
    "OpenEXR": b"\x76\x2f\x31\x01" + bytes(99),
    "FITS": b"SIMPLE  =                    T",
    "NumPy": b"\x93NUMPY\1\0",
}


def photo(size: tuple[int, int] = (20, 10)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


@pytest.mark.parametrize("name", CONTENTS)
def test_a_format_that_is_not_read_is_named_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(CONTENTS[name])
    (ref,) = iter_images(path)
    with pytest.raises(ImageError, match=f"seems to be {name}, which effcam does not read: .* "):
        ref.open()


def test_a_format_without_a_signature_is_named_by_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "photo.nef").write_bytes(b"something else")
    (ref,) = iter_images(tmp_path / "photo.nef")
    with pytest.raises(ImageError, match=r"seems to be camera raw.*: develop it"):
        ref.open()


@pytest.mark.parametrize(("name", "tags"), [("a.dng", {}), ("a.tif", {50706: b"\1\4\0\0"})])
def test_the_preview_of_a_raw_file_is_not_taken_for_the_photo(
    tmp_path: Path, name: str, tags: dict[int, bytes]
) -> None:
    photo().save(tmp_path / name, "TIFF", tiffinfo=tags)
    (ref,) = iter_images(tmp_path / name)
    with pytest.raises(ImageError, match="raw file, of which only a preview could be read"):
        ref.open()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of two photos, and files that are not read."""
    for name in ("bear/a.png", "cat/b.png"):
        (tmp_path / name).parent.mkdir()
        photo().save(tmp_path / name)
    for name in ("bear/c.heic", "cat/d.HEIC", "cat/e.psd", "cat/notes.txt", "cat/boxes.json"):
        (tmp_path / name).write_bytes(b"...")
    return tmp_path


def test_what_is_left_out_of_a_folder_is_counted_in_one_line(mixed: Path) -> None:
    expected = "left out: 3 files of formats that effcam does not read: 2 HEIC, 1 Photoshop"
    for search in (iter_images, from_folders):
        with pytest.warns(ImageWarning, match=expected) as caught:
            found = list(search(mixed))
        assert len(caught) == 1
        assert [ref.name for ref in found] == ["bear/a.png", "cat/b.png"]
    with pytest.warns(ImageWarning, match="left out: 1 file of a format"):
        assert [ref.name for ref in iter_images(str(mixed / "bear" / "*"))] == ["a.png"]


def test_where_all_is_left_out_the_error_says_so(mixed: Path) -> None:
    (mixed / "bear" / "a.png").unlink()
    with pytest.raises(ImageError, match=r"has no images .*, but 1 file of a format .*: 1 HEIC"):
        list(iter_images(mixed / "bear"))
    with pytest.raises(ImageError, match=r"no image file matches .*, but 2 files .*: 2 HEIC"):
        list(iter_images(str(mixed / "**" / "*.[hH]*")))


def test_a_plugin_of_pillow_adds_its_suffixes(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
    with pytest.warns(ImageWarning, match="1 file of a format .*: 1 Photoshop"):
        names = [ref.name for ref in iter_images(mixed)]
    assert names == ["bear/a.png", "bear/c.heic", "cat/b.png", "cat/d.HEIC"]


# what Pillow remarks


def exif(*entries: tuple[int, int, int, int]) -> bytes:
    listed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + listed + bytes(4)


def remarkable(folder: Path, count: int) -> None:
    """Write photos on which Pillow has remarks, each with another text."""
    for at in range(count):
        damaged = exif((ExifTags.Base.ImageDescription, 2, 10**6 + at, 99))
        photo().save(folder / f"exif{at}.jpg", exif=b"Exif\0\0" + damaged)
        palette: Any = photo().quantize(9)
        palette.save(folder / f"palette{at}.png", transparency=bytes(range(at, at + 9)))
        png = (folder / f"palette{at}.png").read_bytes()
        frames = struct.pack(">II", 0, at)
        control = struct.pack(">I", 8) + b"acTL" + frames
        control += struct.pack(">I", zlib.crc32(b"acTL" + frames))
        (folder / f"apng{at}.png").write_bytes(png[:33] + control + png[33:])
        photo().save(folder / f"tag{at}.tif")
        tags = exif((256, 4, 2, 500 + at), (257, 4, 1, 10))
        (folder / f"broken{at}.png").write_bytes(
            png[:33] + struct.pack(">I", len(tags)) + b"eXIf" + tags
            + struct.pack(">I", zlib.crc32(b"eXIf" + tags)) + png[33:]
        )  # fmt: skip


def look_by_pillow(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.load()
            image.getexif()


def load(folder: Path) -> int:
    refs = list(iter_images(folder))
    return sum(len(batch.positions) for batch in Loader(refs).batches(Preprocess(size=8), 16))


def test_pillows_remarks_on_metadata_are_silent(tmp_path: Path) -> None:
    remarkable(tmp_path, 3)
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert load(tmp_path) == 15
        assert warnings.filters == before
    assert ours == []
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        look_by_pillow(tmp_path)
    texts = {str(each.message) for each in theirs}
    for remark in ("Invalid APNG", "Truncated File Read", "Tag data larger than file"):
        assert any(remark in text for text in texts), texts


def test_large_images_are_one_warning_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(5):
        photo((20, 10 + at)).save(tmp_path / f"{at}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 210)
    with pytest.warns(Image.DecompressionBombWarning) as caught:
        assert load(tmp_path) == 5
    (warning,) = caught
    assert "image '1.png': it has 220 pixels, more than 210" in str(warning.message)
    assert "(and 3 other images likewise)" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match="too large: Image size"):
            load(tmp_path)


def test_many_images_of_few_bits_are_one_warning(tmp_path: Path) -> None:
    for at in range(4):
        Image.new("I;16", (8, 8), 4090 + at).save(tmp_path / f"{at}.png")
    Image.new("I;16", (8, 8), 9000).save(tmp_path / "dark.png")
    refs = list(iter_images(tmp_path))
    loader = Loader(refs, [Preprocess(size=8)] * 2)
    with pytest.warns(ImageWarning) as caught:
        assert len(list(loader.batches(Preprocess(size=8), 2))) == 3
    texts = [str(each.message) for each in caught]
    assert len(texts) == 2
    assert "image '0.png': its largest value is 4090" in texts[0]
    assert texts[0].endswith("(and 3 other images likewise)")
    assert "dark.png" in texts[1]
    assert len(list(loader.batches(Preprocess(size=8), 2))) == 3  # said once, or an error here


def test_silence_leaves_the_filters_of_other_threads_alone() -> None:
    before = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with pillow_silenced(sizes=True):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with pillow_silenced():
        warnings.warn_explicit("remark", UserWarning, "a.py", 1, module="PIL.TiffImagePlugin")
        with pytest.warns(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
    assert notes._REMARKS in warnings.filters
    leave.set()
    thread.join()
    assert list(warnings.filters) == before
