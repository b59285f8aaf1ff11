"""Formats of images that effcam does not read, by their names and first bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from effcam.images.deferred import FileBytes

EXPORT = "export it as PNG or TIFF"
DNG_VERSION = 50706
"""The tag of TIFF that every DNG has."""
MOST_BYTES = 512
"""How many bytes at the beginning of a file show its format."""


class OtherFormat(NamedTuple):
    """A format of images that effcam does not read.

    Attributes:
        name: Its name.
        suffixes: The suffixes of its files.
        magic: The bytes with which its files begin, after `offset` bytes; any one of them.
        remedy: What to do with a file.
        offset: Where the bytes are.
        plugin: What Pillow calls the format, if a plugin can read it.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...] = ()
    remedy: str = EXPORT
    offset: int = 0
    plugin: str = ""


RAW = OtherFormat(
    "camera raw",
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef"),
        *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf"),
        *(".srw", ".x3f"),
    ),
    (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS"),
    "develop it to TIFF, PNG or JPEG",
)
FORMATS = (
    OtherFormat(
        "HEIC",
        (".heic", ".heics", ".heif", ".heifs", ".hif"),
        tuple(b"ftyp" + each for each in (b"hei", b"hev", b"mif1", b"msf1")),
        "convert it to JPEG or PNG; or, in Python, install pillow-heif and call "
        "pillow_heif.register_heif_opener() first",
        offset=4,
        plugin="HEIF",
    ),
    OtherFormat(
        "JPEG XL",
        (".jxl",),
        (b"\xff\x0a", b"\0\0\0\x0cJXL "),
        "convert it to PNG; or, in Python, install pillow-jxl-plugin and import pillow_jxl first",
        plugin="JXL",
    ),
    RAW,
    OtherFormat(
        "DICOM",
        (".dcm", ".dicom"),
        (b"DICM",),
        "read it with pydicom, and pass its pixels as an array of floats in [0, 1]",
        offset=128,
    ),
    OtherFormat("NIfTI", (".nii",), (), "pass a slice of it as an array of floats in [0, 1]"),
    OtherFormat("Photoshop", (".psd", ".psb"), (b"8BPS",)),
    OtherFormat("GIMP", (".xcf",), (b"gimp xcf",)),
    OtherFormat("Krita", (".kra",)),
    OtherFormat("SVG", (".svg", ".svgz"), (b"<svg",), "draw it as PNG"),
    OtherFormat("PDF", (".pdf",), (b"%PDF",), "export its pages as PNG"),
    OtherFormat("PostScript", (".eps", ".ps"), (b"%!PS", b"\xc5\xd0\xd3\xc6"), "draw it as PNG"),
    OtherFormat("Windows metafile", (".emf", ".wmf"), (b"\xd7\xcd\xc6\x9a",), "draw it as PNG"),
    OtherFormat("OpenEXR", (".exr",), (b"\x76\x2f\x31\x01",)),
    OtherFormat("Radiance HDR", (".hdr", ".pic"), (b"#?RADIANCE", b"#?RGBE")),
    OtherFormat("JPEG XR", (".jxr", ".hdp", ".wdp"), (b"II\xbc\x01",)),
    OtherFormat("JPEG-LS", (".jls",), (b"\xff\xd8\xff\xf7",)),
    OtherFormat("icon", (".cur", ".ico", ".icns"), (b"\0\0\1\0", b"\0\0\2\0", b"icns")),
    OtherFormat("FITS", (".fit", ".fits", ".fts"), (b"SIMPLE  =",)),
    OtherFormat("DirectDraw Surface", (".dds",), (b"DDS ",)),
    OtherFormat("QOI", (".qoi",), (b"qoif",)),
    OtherFormat("PCX", (".pcx", ".dcx")),
    OtherFormat("SGI", (".bw", ".rgb", ".rgba", ".sgi"), (b"\x01\xda",)),
    OtherFormat("Sun raster", (".ras",), (b"\x59\xa6\x6a\x95",)),
    OtherFormat("X pixmap", (".xbm", ".xpm"), (b"/* XPM */",)),
    OtherFormat("portable float map", (".pfm",), (b"PF\n", b"Pf\n")),
    OtherFormat("portable arbitrary map", (".pam",), (b"P7\n",)),
    OtherFormat(
        "NumPy",
        (".npy", ".npz"),
        (b"\x93NUMPY",),
        "load it with numpy, and pass the array: uint8, or floats in [0, 1]",
    ),
)
BY_SUFFIX = {suffix: each for each in FORMATS for suffix in each.suffixes}
COUNTED = frozenset(BY_SUFFIX) - {".npy", ".npz", ".pdf", ".pic", ".ps", ".raw"}
"""Suffixes that are counted in folders; the others are often of files that are not photos."""


def plugin_suffixes() -> frozenset[str]:
    """Return the suffixes of formats that effcam reads by plugins that were added to Pillow."""
    Image.init()
    return frozenset(
        suffix for each in FORMATS if each.plugin in Image.OPEN for suffix in each.suffixes
    )


def describe_format(path: Path | FileBytes) -> str:
    """Return which known format a file that cannot be read has, and what to do; else nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(MOST_BYTES)
    except OSError:
        return ""
    begun = (each for each in FORMATS if head[each.offset :].startswith(each.magic))
    found = next(begun, None) or BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        return ""
    return f"; it seems to be {found.name}, which effcam does not read: {found.remedy}"


def check_raw(path: Path | FileBytes, image: Image.Image) -> str:
    """Return why an image that Pillow opened is only the preview of a camera's raw file."""
    tags = getattr(image, "tag_v2", {})
    if DNG_VERSION in tags or (image.format == "TIFF" and path.suffix.lower() in RAW.suffixes):
        return f"it is a camera's raw file, of which only a preview could be read: {RAW.remedy}"
    return ""


def count_formats(paths: Iterable[Path]) -> Counter[str]:
    """Count the files that have the suffix of an image that effcam does not read, by format."""
    known = COUNTED - plugin_suffixes()
    suffixes = (path.suffix.lower() for path in paths)
    return Counter(BY_SUFFIX[each].name for each in suffixes if each in known)


def describe_counts(counts: Counter[str]) -> str:
    """Return what was counted, in words.

    >>> describe_counts(Counter({"HEIC": 12, "Photoshop": 1}))
    '13 files of formats that effcam does not read: 12 HEIC, 1 Photoshop'
    """
    listed = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    total = sum(counts.values())
    files = "1 file of a format" if total == 1 else f"{total} files of formats"
    return f"{files} that effcam does not read: {listed}"
