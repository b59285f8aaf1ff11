"""Files made to do harm: each gives an image or an `ImageError`, in bounded time and memory."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import textwrap
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor, nn

from effcam import Preprocess, compare, load_model
from effcam.cli import program
from effcam.errors import ImageError
from effcam.images import decoding
from effcam.images.discovery import from_folders, iter_images
from effcam.images.file_search import SUFFIXES
from effcam.images.refs import ImageRef
from tests.tiers import core

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and limits of POSIX")

LINK = Path.symlink_to
SECONDS = 120
"""How long a process that opens hostile files may take: far more than it does, far below ever."""


class BrightNet(nn.Module):
    """Two classes, bright and dark; its map is how bright each 8 x 8 block is."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 2, 1))
        with torch.no_grad():
            self.features[1].weight.copy_(torch.tensor([1.0, -1.0])[:, None, None, None])

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.features(images).mean((2, 3))
        return scores


def photo(width: int = 40, height: int = 30) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([5 * x, 7 * y, x * y], axis=2).astype(np.uint8))


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or photo()).save(buffer, kind, **options)
    return buffer.getvalue()


def attempt(path: Path) -> str:
    """Return the mode in which a file was opened, or the reason why not; anything else is raised.

    What Pillow remarks on damaged metadata is not what is tested.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            return ImageRef(path.name, path).open().mode
        except ImageError as error:
            return plain(str(error), path.name)


def plain(message: str, name: str) -> str:
    """Return the reason in a message that is fit to be printed: one line, with the name first."""
    assert message.isprintable()
    assert len(message) < 1000
    start = f"image {name!r}: "
    assert message.startswith(start)
    return message.removeprefix(start)


# the formats


def moving(kind: str, **options: Any) -> bytes:
    frames = [photo().rotate(90 * turn) for turn in range(1, 4)]
    return encoded(kind, save_all=True, append_images=frames, duration=90, **options)


FORMATS = {
    ".png": lambda: encoded("PNG"),
    "-animated.png": lambda: moving("PNG"),
    ".jpg": lambda: encoded("JPEG"),
    "-progressive.jpg": lambda: encoded("JPEG", progressive=True),
    ".gif": lambda: moving("GIF"),
    ".webp": lambda: encoded("WEBP"),
    "-animated.webp": lambda: moving("WEBP"),
    ".tif": lambda: encoded("TIFF"),
    "-lzw.tif": lambda: encoded("TIFF", compression="tiff_lzw"),
    "-deflate.tif": lambda: encoded("TIFF", compression="tiff_adobe_deflate"),
    "-jpeg.tif": lambda: encoded("TIFF", compression="jpeg"),
    "-fax.tif": lambda: encoded("TIFF", photo().convert("1"), compression="group4"),
    ".bmp": lambda: encoded("BMP"),
    ".dib": lambda: encoded("DIB"),
    ".ppm": lambda: encoded("PPM"),
    ".pgm": lambda: encoded("PPM", photo().convert("L")),
    ".pbm": lambda: encoded("PPM", photo().convert("1")),
    ".tga": lambda: encoded("TGA"),
    "-rle.tga": lambda: encoded("TGA", compression="tga_rle"),
    ".jp2": lambda: encoded("JPEG2000"),
    ".avif": lambda: encoded("AVIF"),
}


@pytest.mark.hostile
@pytest.mark.parametrize("kind", core(FORMATS, every=4))
def test_every_format_is_read_whole_and_cut_anywhere_it_is_read_or_refused(
    kind: str, tmp_path: Path
) -> None:
    try:
        data = FORMATS[kind]()
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no such file: {error}")
    path = tmp_path / f"cut{kind}"
    assert path.suffix in SUFFIXES
    path.write_bytes(data)
    assert attempt(path) == "RGB"
    outcomes = []
    for part in range(16):
        path.write_bytes(data[: len(data) * part // 16])
        outcomes.append(attempt(path))
    assert outcomes[0] == "the file is empty"
    assert outcomes[1] != "RGB"


def test_every_suffix_is_of_a_format_that_is_read() -> None:
    Image.init()
    named = {Image.EXTENSION.get(suffix) for suffix in SUFFIXES - {".avif"}}
    assert named <= set(decoding.readable(decoding.FORMATS))


# contents: what is refused, and what only looks odd


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(*chunks: bytes, size: tuple[int, int] = (8, 4), pixels: bytes | None = None) -> bytes:
    """Return a greyscale PNG file with extra chunks, whatever its size says its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(size[1] * (size[0] + 1))) if pixels is None else pixels
    end = chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + end


@cache
def zeros(mebibytes: int) -> bytes:
    """Return that many MiB of zeros compressed, a thousandth of that."""
    squeeze = zlib.compressobj(9)
    block = bytes(2**20)
    return b"".join(squeeze.compress(block) for _ in range(mebibytes)) + squeeze.flush()


def exif(*entries: tuple[int, int, int, int], stated: int | None = None) -> bytes:
    """Return metadata of (tag, type, count, value) entries; the list of them begins at byte 8."""
    count = struct.pack("<H", len(entries) if stated is None else stated)
    listed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<L", 8) + count + listed + struct.pack("<L", 8)


def gif(size: tuple[int, int], *frames: bytes) -> bytes:
    colours = b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + struct.pack("<HH", *size) + b"\x80\0\0" + colours + b"".join(frames) + b";"


DOT = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
"""One black pixel, as a frame of a GIF."""


def tiff(**changes: int) -> bytes:
    """Return a greyscale TIFF file of one strip in which some entries say something else."""
    said = {
        "ImageWidth": 8,
        "ImageLength": 4,
        "BitsPerSample": 8,
        "Compression": 1,
        "PhotometricInterpretation": 1,
        "StripOffsets": 200,
        "SamplesPerPixel": 1,
        "RowsPerStrip": 4,
        "StripByteCounts": 32,
    } | changes
    entries = [(int(ExifTags.Base[name]), 4, 1, value) for name, value in said.items()]
    return exif(*entries)[:-4].ljust(200, b"\0") + bytes(32)


def tga(width: int, height: int) -> bytes:
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, height, 24, 0)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("cat.png", encoded("PNG"))
    return buffer.getvalue()


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
0 0 10 10 rectfill showpage
%%EOF
"""
TURNED = (ExifTags.Base.Orientation, 3, 1, 6)
NONE = "the file is not an image that can be read"
LARGE = r"the image is too large: Image size \(\d+ pixels\) exceeds limit"
BROKEN = "the (image cannot be decoded|file cannot be read as an image|file cannot be read): ."
MUCH = "the file cannot be read as an image: .*[Tt]oo [Ll]arge"

REFUSED: dict[str, tuple[bytes, str]] = {
    # what it says it is not
    "empty.png": (b"", "the file is empty"),
    "text.png": (b"hello", NONE),
    "program.png": (b"\x7fELF\x02\x01\x01" + bytes(99), NONE),
    "archive.png": (archive(), NONE),
    "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", NONE),
    "page.jpg": (b"<!DOCTYPE html><html><script>1</script></html>", NONE),
    "page.png": (b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\n", NONE),
    "eps.png": (EPS, NONE),
    "zeros.tga": (bytes(999), NONE),
    "escapes.ppm": (b"P6 \x1b[31mred\x07 10 255\n", BROKEN),
    # more pixels than memory
    "giant.png": (png(size=(65535, 65535), pixels=b""), LARGE),
    "largest.png": (png(size=(2**31 - 1, 2**31 - 1), pixels=b""), LARGE),
    "giant.gif": (gif((65535, 65535), DOT), LARGE),
    "giant.tga": (tga(65535, 65535), LARGE),
    "giant.ppm": (b"P6 999999 999999 255\n", LARGE),
    "giant.tif": (tiff(ImageWidth=2**31 - 1, ImageLength=2**31 - 1), LARGE),
    # more text than memory
    "ztxt.png": (png(chunk(b"zTXt", b"c\0\0" + zeros(64))), MUCH),
    "itxt.png": (png(chunk(b"iTXt", b"c\0\1\0\0\0" + zeros(64))), MUCH),
    "iccp.png": (png(chunk(b"iCCP", b"c\0\0" + zeros(64))), MUCH),
    # counts that are not so
    "none.gif": (gif((9, 9)), NONE),
    "strips.tif": (tiff(StripOffsets=2**32 - 1, StripByteCounts=2**32 - 1), BROKEN),
    "rows.tif": (tiff(RowsPerStrip=0), BROKEN),
    "samples.tif": (tiff(SamplesPerPixel=2**32 - 1), NONE),
    "token.pgm": (b"P2 9 9 255\n" + b"1" * 10**6, BROKEN),
    "no-rows.png": (png(size=(9, 9), pixels=b""), BROKEN),
    "no-rows.bmp": (encoded("BMP")[:54], BROKEN),
}

ODD: dict[str, bytes] = {
    "png.jpg": encoded("PNG"),
    "jpg.png": encoded("JPEG"),
    "text-after.png": encoded("PNG") + b"<script>1</script>" * 999,
    "text.png": png(chunk(b"tEXt", b"c\0" + b"x" * 10**7)),
    "apng-none.png": png(chunk(b"acTL", struct.pack(">II", 0, 0))),
    "apng-many.png": png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "many.gif": gif((9, 9), *[DOT] * 9999),
    "exif-noise.png": png(chunk(b"eXIf", bytes(range(256)))),
    "exif-noise.jpg": encoded("JPEG", exif=b"Exif\0\0" + bytes(range(256))),
    "exif-short.jpg": encoded("JPEG", exif=b"Exif\0\0" + exif(TURNED, stated=999)),
    "exif-huge.png": png(chunk(b"eXIf", exif(TURNED) + bytes(10**7))),
    "exif-overlapping.png": png(
        chunk(b"eXIf", exif(*[(tag, 7, 10**5, 8) for tag in range(1000, 9000)]))
    ),
    "exif-in-itself.png": png(chunk(b"eXIf", exif(TURNED, (ExifTags.IFD.Exif, 4, 1, 8)))),
    "exif-in-itself.jpg": encoded(
        "JPEG", exif=b"Exif\0\0" + exif(TURNED, (ExifTags.IFD.Exif, 4, 1, 8))
    ),
    "xmp.png": png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x>" * 10**6)),
    "xmp.jpg": encoded("JPEG", xmp=b"<x:xmpmeta>" * 5000),
    "icc-noise.jpg": encoded("JPEG", icc_profile=bytes(range(256)) * 9),
    "icc-huge.jpg": encoded("JPEG", icc_profile=bytes(5 * 10**6)),
    "icc-noise.png": png(chunk(b"iCCP", b"c\0\0" + zlib.compress(bytes(range(256))))),
    "icc-noise.webp": encoded("WEBP", icc_profile=bytes(range(256)) * 9),
    "icc-noise.tif": encoded("TIFF", icc_profile=bytes(range(256)) * 9),
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", core(REFUSED, every=3))
def test_hostile_contents_are_refused_for_what_they_are(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert re.match(reason, attempt(path)), attempt(path)


@pytest.mark.hostile
@pytest.mark.parametrize("name", core(ODD, every=3))
def test_odd_contents_around_a_whole_picture_do_not_keep_it_from_being_read(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(ODD[name])
    assert attempt(path) == "RGB"


def test_what_pillow_quotes_of_a_file_is_fit_to_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("\x1b[31mred\n\udcff \u202eé")

    path = tmp_path / "photo.png"
    path.write_bytes(encoded("PNG"))
    monkeypatch.setattr(Image, "open", fail)
    reason = r"the file cannot be read as an image: \x1b[31mred \udcff \u202eé"
    assert attempt(path) == reason


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
@pytest.mark.hostile
@pytest.mark.parametrize("kind", core(["JPEG", "PNG", "TIFF", "WEBP"], {"JPEG"}))
def test_an_orientation_that_there_is_not_is_upright(
    orientation: int, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "photo.img"
    metadata = Image.Exif()
    metadata[ExifTags.Base.Orientation] = orientation
    path.write_bytes(encoded(kind, exif=metadata))
    assert ImageRef("photo", path).open().size == photo().size


@pytest.mark.hostile
@pytest.mark.parametrize("kind", core([2, 5, 7, 11, 12], {2}))
def test_an_orientation_that_is_not_a_number_is_upright(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(chunk(b"eXIf", exif((ExifTags.Base.Orientation, kind, 1, 6)))))
    with warnings.catch_warnings(action="ignore"):
        assert ImageRef("photo", path).open().size == (8, 4)


def test_orientation_is_heeded_beside_what_is_damaged(tmp_path: Path) -> None:
    for name in ("exif-short.jpg", "exif-huge.png", "exif-in-itself.png", "exif-in-itself.jpg"):
        path = tmp_path / name
        path.write_bytes(ODD[name])
        with warnings.catch_warnings(action="ignore"):
            picture = ImageRef(name, path).open()
        assert picture.height > picture.width, name


def test_what_was_read_holds_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    text = chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(10**6)))
    for content in (png(*[text] * 9), encoded("JPEG", comment=b"x" * 10**4, xmp=b"x" * 10**4)):
        path.write_bytes(content)
        picture = ImageRef("text", path).open()
        assert picture.info == {}
        assert not hasattr(picture, "text")


def test_ghostscript_is_never_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{started}'\necho 10.0\n")
    program.chmod(0o755)
    path = tmp_path / "eps.png"
    path.write_bytes(EPS)
    for opens, expected in (
        ("ImageRef('eps', path).open()", False),
        # That it would be, else.
        ("Image.open(path).load()", True),
    ):
        code = f"""
            from pathlib import Path
            from PIL import Image
            from effcam.images import ImageRef
            path = Path({str(path)!r})
            try:
                {opens}
            except Exception as error:
                print(type(error).__name__)
        """
        environment = {**os.environ, "PATH": str(tmp_path) + os.pathsep + os.environ["PATH"]}
        assert child(code, env=environment).strip()
        assert started.exists() == expected


# pixels, memory and time


def child(code: str, **options: Any) -> str:
    """Return what a Python process prints; it must end by itself, and well."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outcomes_within(mebibytes: int, paths: list[Path]) -> list[str]:
    """Return how files are opened, each in a new process that may take so much more memory."""
    code = f"""
        import json, resource, sys, warnings
        from pathlib import Path
        from PIL import Image
        from effcam.errors import ImageError
        from effcam.images import ImageRef
        import PIL.ImageCms
        warnings.simplefilter("ignore")
        Image.init()
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = taken + {mebibytes} * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        found = []
        for path in map(Path, json.loads(sys.stdin.read())):
            try:
                found.append(ImageRef(path.name, path).open().mode)
            except ImageError as error:
                found.append(str(error))
        print(json.dumps(found))
    """
    # One arena: else each allocation of another thread would reserve addresses.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    printed = child(code, input=json.dumps(list(map(str, paths))), env=environment)
    found: list[str] = json.loads(printed)
    return found


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
def test_all_of_them_take_little_memory_and_time(tmp_path: Path) -> None:
    paths = []
    for number, (name, content) in enumerate([*REFUSED.items(), *ODD.items()]):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(content if isinstance(content, bytes) else content[0])
        paths.append(path)
    found = outcomes_within(150, paths)
    assert found[len(REFUSED) :] == ["RGB"] * len(ODD)
    for (name, (_, reason)), message in zip(REFUSED.items(), found, strict=False):
        assert re.match(reason, plain(message, name)), message


@linux
def test_a_giant_that_is_really_there_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "giant.png"
    path.write_bytes(png(size=(20000, 20000), pixels=zeros(382)))
    (found,) = outcomes_within(50, [path])
    assert re.match(LARGE, plain(found, path.name))


def large(mode: str, width: int = 3000, height: int = 2000) -> bytes:
    grey = Image.new("L", (width, height), 90)
    if mode == "RGB turned":
        metadata = Image.Exif()
        metadata[ExifTags.Base.Orientation] = 6
        return encoded("JPEG", grey.convert("RGB"), exif=metadata)
    if mode == "P":
        return encoded("PNG", grey.quantize(2), transparency=0)
    if mode in ("F", "LAB"):
        return encoded("TIFF", Image.new(mode, grey.size))
    if mode == "CMYK":
        return encoded("JPEG", grey.convert("CMYK"))
    if mode == "I;16":
        return encoded("PNG", Image.new("I;16", grey.size))
    return encoded("PNG", grey.convert(mode), compress_level=1)


@linux
@pytest.mark.hostile
@pytest.mark.parametrize(
    "mode",
    core(
        ["1", "L", "LA", "P", "RGB", "RGB turned", "RGBA", "CMYK", "LAB", "I;16", "F"],
        {"RGB turned", "CMYK"},
    ),
)
def test_decoding_takes_at_most_13_bytes_a_pixel(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "large.img"
    path.write_bytes(large(mode))
    # 6 million pixels, and what converting a strip of a million takes.
    strip = {"F": 36, "I;16": 36}.get(mode, 16)
    assert outcomes_within(6 * 13 + strip, [path]) == ["RGB"]


@linux
def test_too_little_memory_for_an_image_is_said(tmp_path: Path) -> None:
    path, small = tmp_path / "large.png", tmp_path / "small.png"
    path.write_bytes(large("RGB"))
    small.write_bytes(encoded("PNG"))
    found = outcomes_within(12, [path, small])
    assert plain(found[0], path.name).endswith("there is not enough memory")
    assert found[1] == "RGB"


@pytest.mark.filterwarnings("ignore::effcam.errors.ImageWarning")  # see test_sixteen_bits.py
@pytest.mark.parametrize("size", [(700, 1), (1, 700), (50, 40), (64, 64)])
def test_what_is_converted_in_strips_is_what_is_converted_at_once(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = photo(*size)
    values = np.asarray(base.convert("L")).astype(np.float32)
    images = [base.convert(mode) for mode in ("1", "L", "LA", "La", "RGBA", "RGBa", "CMYK", "HSV")]
    images += [Image.fromarray(values - 40), Image.fromarray(values.astype(np.int32) * 999)]
    images += [Image.fromarray(values.astype(np.uint16) * 99), base.quantize(9)]
    images[-1].info["transparency"] = 3
    images[4].putalpha(base.convert("L"))
    at_once = [np.asarray(ImageRef("image", image).open()) for image in images]
    monkeypatch.setattr(decoding, "STRIP_PIXELS", 150)
    for image, expected in zip(images, at_once, strict=True):
        assert np.array_equal(ImageRef("image", image).open(), expected), image.mode


def test_pillows_bounds_warn_then_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded("PNG"))
    ref = ImageRef("photo.png", path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30 - 1)
    with pytest.warns(Image.DecompressionBombWarning, match="1200 pixels"):
        assert ref.open().size == (40, 30)
    with warnings.catch_warnings(action="error"):
        with pytest.raises(ImageError, match=LARGE):
            ref.open()
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30 // 2 - 1)
        with pytest.raises(ImageError, match=LARGE):
            ref.open()
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert ref.open().size == (40, 30)


# anything but a file


@pytest.fixture
def special(tmp_path: Path) -> Iterator[Path]:
    """A folder of what is named as an image and is none, or cannot be had."""
    folder = tmp_path / "special"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    here = Path.cwd()
    os.chdir(folder)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket.png")
            yield_ready(folder)
            yield folder
    finally:
        os.chdir(here)


def yield_ready(folder: Path) -> None:
    outside = folder.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "photo.png").write_bytes(encoded("PNG"))
    (outside / "deep" / "unseen.png").write_bytes(encoded("PNG"))
    for device in ("zero", "null", "full"):
        LINK(folder / f"{device}.png", f"/dev/{device}")
    LINK(folder / "dangling.png", "nothing.png")
    LINK(folder / "loop.png", "loop.png")
    LINK(folder / "photo.png", outside / "photo.png")
    LINK(folder / "deep.png", outside / "deep")
    LINK(folder / "back", folder)
    LINK(folder / "back-too", "..")
    (folder / "folder.png").mkdir()


NO_FILE = "it is not a regular file"
SPECIAL = {
    "dangling.png": "the file does not exist",
    "full.png": NO_FILE,
    "loop.png": "the file cannot be read: .*symbolic links",
    "null.png": NO_FILE,
    "pipe.png": NO_FILE,
    "socket.png": NO_FILE,
    "zero.png": NO_FILE,
}


@pytest.mark.parametrize("name", [*SPECIAL, "folder.png", "deep.png"])
def test_anything_but_a_regular_file_is_refused_before_it_is_opened(
    name: str, special: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("it was opened")

    monkeypatch.setattr(Image, "open", refuse)
    assert re.match(SPECIAL.get(name, NO_FILE), attempt(special / name))


def test_a_link_to_a_file_is_that_file(special: Path) -> None:
    assert attempt(special / "photo.png") == "RGB"


@pytest.mark.parametrize("device", ["zero", "null", "full"])
def test_a_device_is_refused_when_it_is_named(device: str) -> None:
    (ref,) = iter_images(f"/dev/{device}")
    with pytest.raises(ImageError, match=f"image '{device}': {NO_FILE}"):
        ref.open()


def test_a_folder_gives_all_that_is_named_as_an_image_and_follows_no_link_to_a_folder(
    special: Path,
) -> None:
    assert [ref.name for ref in iter_images(special)] == sorted([*SPECIAL, "photo.png"])


def test_links_that_lead_back_do_not_keep_a_glob_going(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        LINK(tmp_path / name, tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "1.png").write_bytes(encoded("PNG"))
    (tmp_path / "2.png").write_bytes(encoded("PNG"))
    code = f"""
        from effcam.images import iter_images
        for pattern in ("**/*.png", "**", "**/deep/**/[12].png", "*/er/*.png", "d*/**"):
            print(*(ref.name for ref in iter_images({str(tmp_path)!r} + "/" + pattern)))
    """
    assert child(code).splitlines() == ["2.png 1.png"] * 2 + ["1.png"] * 3


def test_a_thousand_folders_in_one_another_are_searched(tmp_path: Path) -> None:
    depth = 1200
    code = f"""
        import os
        from effcam.images import iter_images
        for _ in range({depth}):
            os.mkdir("d")
            os.chdir("d")
        open("1.png", "w").close()
        os.chdir({str(tmp_path)!r})
        (ref,) = iter_images("d")
        print(ref.name.count("/"))
    """
    try:
        assert int(child(code, cwd=tmp_path)) == depth - 1
    finally:
        # pytest's own clean-up would fail at that depth.
        subprocess.run(["/bin/rm", "-rf", str(tmp_path / "d")], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another")
def test_what_may_not_be_read_is_said_and_the_rest_is_found(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for folder in ("open", "closed", "listed"):
        (root / folder).mkdir(parents=True)
        (root / folder / "1.png").write_bytes(encoded("PNG"))
    (root / "open" / "2.png").write_bytes(encoded("PNG"))
    (root / "open" / "2.png").chmod(0)
    (root / "closed").chmod(0)
    (root / "listed").chmod(0o744)
    code = f"""
        import json, os
        from PIL import Image
        from effcam.errors import ImageError
        from effcam.images import from_folders, iter_images
        Image.init()
        os.chdir({str(root)!r})
        os.setuid(65534)
        def tried(give):
            try:
                return [(ref.name, tried(lambda: ref.open().mode)) for ref in give()]
            except ImageError as error:
                return str(error)
            except AttributeError:
                return give()
        print(json.dumps([
            tried(lambda: iter_images(".")),
            tried(lambda: iter_images("*/1.png")),
            tried(lambda: iter_images("closed")),
            tried(lambda: iter_images("closed/1.png")),
            tried(lambda: iter_images("closed/1.png", missing_ok=True)),
            tried(lambda: from_folders(".")),
        ]))
    """
    walked, matched, folder, named, skipped, classes = json.loads(child(code))
    denied = r"image '{}': the file cannot be read: \[Errno 13\] Permission denied"
    assert [name for name, _ in walked] == ["listed/1.png", "open/1.png", "open/2.png"]
    assert re.match(denied.format("listed/1.png"), walked[0][1])
    assert walked[1][1] == "RGB"
    assert re.match(denied.format("open/2.png"), walked[2][1])
    assert ["1.png", "RGB"] in matched
    assert re.match(r"folder 'closed' cannot be read: \[Errno 13\]", folder)
    assert re.match(r"image 'closed/1\.png' cannot be reached: \[Errno 13\]", named)
    assert re.match(denied.format("1.png"), skipped[0][1])
    assert re.match(r"folder 'closed' cannot be read: \[Errno 13\]", classes)


def test_class_folders_may_hold_anything(special: Path) -> None:
    assert [ref.name for ref in from_folders(special.parent, categories=["special"])] == [
        f"special/{name}" for name in sorted([*SPECIAL, "photo.png"])
    ]


# names

NAMES = (
    *("line\nbreak.png", "tab\t.png", "\x1b[31mred.png", "<script>alert(1)<!--.png"),
    *("-rf.png", "--help.png", " .png", "~nobody.png", "$(id).png", "%s{0}.png", "[a.png", "*.png"),
    *("\udcff\udcfe.png", "\u202egnp.png", "e\u0301.png", "x" * 251 + ".png", "'\".png"),
)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).write_bytes(encoded("PNG"))
    except OSError as error:
        pytest.skip(f"no such name on this file system: {error}")
    for source in (name, tmp_path, tmp_path / name):
        (ref,) = iter_images(source)
        assert ref.name == name
        assert ref.open().mode == "RGB"
    Path(name).write_bytes(b"no image")
    assert attempt(tmp_path / name) == NONE


@pytest.mark.parametrize(
    "name",
    [
        "nul\0.png",
        "nul\0*.png",
        "nul\0/*.png",
        "x" * 5000,
        "\ud800.png",
        "~nobody/x.png",
        "/" * 9999,
    ],
)
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        list(iter_images(name.replace("/" * 9999, "/" * 9999 + "nothing.png")))
    assert str(caught.value).isprintable()
    if not name.startswith("/"):
        (ref,) = iter_images(name, missing_ok=True)
        with pytest.raises(ImageError) as caught:
            ref.open()
        assert str(caught.value).isprintable()


# all at once


@pytest.fixture
def corpus(special: Path) -> Path:
    """All of it in one folder."""
    for name, content in ODD.items():
        (special / f"odd-{name}").write_bytes(content)
    for name, (content, _) in REFUSED.items():
        (special / f"bad-{name}").write_bytes(content)
    for name in NAMES:
        (special / f"named-{name}"[-255:]).write_bytes(b"no image")
    return special


def expected_reasons() -> dict[str, str]:
    bad = {f"bad-{name}": reason for name, (_, reason) in REFUSED.items()}
    return SPECIAL | bad | {f"named-{name}"[-255:]: NONE for name in NAMES}


def test_a_comparison_of_all_of_them_skips_the_bad_ones_and_says_why(corpus: Path) -> None:
    model = load_model(BrightNet(), preprocess=Preprocess(size=32))
    with warnings.catch_warnings(action="ignore"):
        compared = compare(corpus, {"bright": model}, on_error="skip", progress=False)
    expected = expected_reasons()
    assert {ref.name for ref in compared.images} == {"photo.png"} | {f"odd-{name}" for name in ODD}
    assert {each.image for each in compared.skipped} == set(expected)
    for name, reason in ((each.image, each.reason) for each in compared.skipped):
        assert re.match(expected[name], plain(reason, name)), reason


def test_bad_paths_that_are_named_are_skipped_too(tmp_path: Path) -> None:
    names = ["nul\0.png", "nul\0/*.png", "x" * 5000, str(tmp_path / "missing.png"), "/dev/zero"]
    model = load_model(BrightNet(), preprocess=Preprocess(size=32))
    compared = compare([photo(), *names], {"bright": model}, on_error="skip", progress=False)
    assert len(compared.images) == 1
    assert len(compared.skipped) == len(names)


@pytest.mark.parametrize("quiet", [True, False])
def test_the_command_line_prints_no_control_characters(
    quiet: bool, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.parent)
    options = ["-m", "demo_resnet", "--size", "32", "-o", "out.csv", "--skip-bad"]
    code = program.main(["compare", str(corpus), *options, *["--quiet"] * quiet])
    printed = "".join(capsys.readouterr())
    assert code == 0, printed
    assert quiet or printed.count("skipped") == len(expected_reasons())
    assert all(line.isprintable() for line in printed.splitlines())


@pytest.mark.parametrize("name", ["\x1b[31mred.png", "line\nbreak.png", "\udcff.png"])
def test_the_command_lines_error_is_one_clean_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"no image")
    for path in (tmp_path, tmp_path / name, tmp_path / f"missing-{name}"):
        assert program.main(["compare", str(path), "-m", "demo_resnet"]) == 1
        error = capsys.readouterr().err
        assert error.endswith("\n")
        assert error[:-1].isprintable()
