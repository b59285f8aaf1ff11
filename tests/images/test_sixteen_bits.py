"""Values of more than 8 bits: what is white, what is transparent, and what is only a guess."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from effcam.errors import ImageError, ImageWarning
from effcam.images.refs import ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS_PER_SAMPLE, MAX_SAMPLE_VALUE = 258, 281


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(path: Path, values: NDArray[Any], transparent: Any = None) -> Path:
    """Write a PNG of 16 bits; Pillow writes grey ones only."""
    values = np.atleast_3d(values)
    height, width, channels = values.shape
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    key = b"" if transparent is None else chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    body = chunk(b"IHDR", header) + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def tiff(
    path: Path,
    values: NDArray[Any],
    *,
    order: str = "<",
    planes: bool = False,
    squeeze: bool = False,
) -> Path:
    """Write a TIFF of 16-bit colours; Pillow writes none."""
    height, width, channels = values.shape
    stored = values.astype(f"{order}u2")
    parts = [stored[:, :, at].tobytes() for at in range(channels)] if planes else [stored.tobytes()]
    parts = [zlib.compress(each) for each in parts] if squeeze else parts
    extra = [(338, [2])] if channels == 4 else []
    at, offsets = 400, []
    for each in parts:
        offsets.append(at)
        at += len(each)
    entries: list[tuple[int, list[int]]] = [
        (256, [width]), (257, [height]), (BITS_PER_SAMPLE, [16] * channels),
        (259, [8 if squeeze else 1]), (262, [2]), (273, offsets), (277, [channels]),
        (278, [height]), (279, [len(each) for each in parts]), (284, [2 if planes else 1]), *extra,
    ]  # fmt: skip
    listed, far, spare = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, numbers in entries:
        data = b"".join(struct.pack(f"{order}L", each) for each in numbers)
        if len(data) > 4:
            far, data = far + data, struct.pack(f"{order}L", spare + len(far))
        listed += struct.pack(f"{order}HHL", tag, 4, len(numbers)) + data
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}LH", 8, len(entries)) + listed + bytes(4) + far
    path.write_bytes(head.ljust(400, b"\0") + b"".join(parts))
    return path


def ramp(count: int, channels: int = 1) -> NDArray[np.uint16]:
    """All values below a count, from left to right, in some channels."""
    row = np.arange(count, dtype=np.uint16)
    return np.broadcast_to(row[None, :, None], (4, count, channels)).copy()


def read(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the pixels of a file, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = np.asarray(ImageRef(path.name, path).open())
    assert all(each.category is ImageWarning for each in caught)
    return pixels, [str(each.message) for each in caught]


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_fewer_bits_in_a_png_of_16_are_noticed(tmp_path: Path, bits: int, channels: int) -> None:
    values = ramp(2**bits, channels)
    if channels in (2, 4):
        values[:, :, -1] = 65535
    pixels, (warning,) = read(png(tmp_path / "a.png", values))
    expected = np.round(values[:, :, 0] * (255 / (2**bits - 1)))
    assert np.array_equal(pixels, np.repeat(expected[:, :, None], 3, axis=2))
    assert f"taken for {bits}-bit ones, of which {2**bits - 1} is white" in warning


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_fewer_bits_in_a_tiff_of_16_are_noticed(
    tmp_path: Path, order: str, planes: bool, channels: int
) -> None:
    pixels, (warning,) = read(
        tiff(tmp_path / "a.tif", ramp(4096, channels), order=order, planes=planes)
    )
    assert "12-bit" in warning
    if channels == 3:
        assert np.array_equal(pixels[0, :, 1], np.round(np.arange(4096) * (255 / 4095)))
    else:  # on white: what is darkest is transparent
        share = np.arange(4096) / 4095
        assert np.abs(pixels[0, :, 1] - 255 * (share**2 + 1 - share)).max() < 2


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("squeeze", [False, True])
def test_planes_of_16_bits_are_read_as_values_not_as_bytes(
    tmp_path: Path, order: str, squeeze: bool
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    path = tiff(tmp_path / "a.tif", values, order=order, planes=True, squeeze=squeeze)
    assert np.array_equal(read(path)[0], values >> 8)


def test_compressed_planes_of_fewer_bits_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", ramp(4096, 3), planes=True, squeeze=True)
    with pytest.raises(ImageError, match="compressed, and hold fewer bits"):
        read(path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("most", [16384, 30000, 65535])
def test_what_reaches_a_quarter_of_white_is_read_as_it_is(
    tmp_path: Path, most: int, channels: int
) -> None:
    pixels, said = read(png(tmp_path / "a.png", np.array([[[0] * channels, [most] * channels]])))
    assert said == []
    assert pixels.max() in (most >> 8, round(most / 257))


@pytest.mark.parametrize(
    ("most", "white"), [(900, 4095), (3000, 4095), (9000, 65535), (15000, 65535)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_dark_image_is_never_read_silently(
    tmp_path: Path, most: int, white: int, channels: int
) -> None:
    pixels, (warning,) = read(
        png(tmp_path / "a.png", np.array([[[0] * channels, [most] * channels]]))
    )
    assert pixels.max() == round(255 * most / white)
    assert f"its largest value is {most} of 65535" in warning


def test_a_black_image_is_black(tmp_path: Path) -> None:
    for channels in (1, 3):
        pixels, said = read(png(tmp_path / "a.png", np.zeros((3, 4, channels), np.uint16)))
        assert not pixels.any()
        assert said == []


@pytest.mark.parametrize("tag", [{MAX_SAMPLE_VALUE: 4095}, {MAX_SAMPLE_VALUE: 2999}])
def test_a_tiff_may_state_its_bits(tmp_path: Path, tag: dict[int, int]) -> None:
    image = Image.fromarray(ramp(3000)[:, :, 0])
    image.save(tmp_path / "a.tif", tiffinfo=tag)
    pixels, said = read(tmp_path / "a.tif")
    assert pixels.max() == round(255 * 2999 / 4095)
    # The tag is for statistics: only the maximum of a depth states one.
    assert bool(said) is (tag[MAX_SAMPLE_VALUE] == 2999)


def test_packed_values_of_12_bits_are_what_they_are(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 2000, 2500]])
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.reshape(-1, 2).tolist()
    )
    entries = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 200, 277: 1, 278: 1, 279: len(packed)}
    listed = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in entries.items())
    head = b"II*\0" + struct.pack("<LH", 8, len(entries)) + listed + bytes(4)
    (tmp_path / "a.tif").write_bytes(head.ljust(200, b"\0") + packed)
    pixels, said = read(tmp_path / "a.tif")
    assert said == []
    assert np.array_equal(pixels[:, :, 0], np.round(values * 255 / 4095))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_unknown_range_are_stretched_and_this_is_said(mode: str) -> None:
    values = np.array([[-100, 0, 100]], np.int32 if mode == "I" else np.float32)
    with pytest.warns(ImageWarning, match="from -100 to 100, were stretched from black to white"):
        pixels = ImageRef("a", Image.fromarray(values)).open()
    assert np.asarray(pixels)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_colour_of_16_bits_is_white(tmp_path: Path, channels: int) -> None:
    row = [0x1234, 0x1235, 0x1134, 0x3412, 0xFFFF, 0]
    values = np.repeat(np.array([row])[:, :, None], channels, axis=2)
    pixels, _ = read(png(tmp_path / "a.png", values, [0x1234] * channels))
    assert pixels[0, :, 0].tolist() == [255, 18, 17, 52, 255, 0]


def test_a_colour_is_transparent_only_if_all_its_values_are_equal(tmp_path: Path) -> None:
    values = np.array([[[0x1200, 0x3400, 0x5600], [0x1200, 0x3400, 0x5601], [0x5600, 0x3400, 0]]])
    pixels, _ = read(png(tmp_path / "a.png", values, [0x1200, 0x3400, 0x5600]))
    assert pixels[0].tolist() == [[255, 255, 255], [18, 52, 86], [86, 52, 0]]
