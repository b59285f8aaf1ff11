"""Load thousands of damaged images and checkpoints, and keep those that break effcam.

``python tools/fuzz.py --minutes 10`` makes valid files of every kind, damages them, and loads each
in a worker process. A file must load or raise an ``EffcamError`` of one line, within a time and a
memory limit, and must never write a file. Anything else is a finding: the file is kept with the
reason, and the exit code is 1. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import collections
import io
import itertools
import json
import os
import pickle
import pickletools
import random
import re
import resource
import selectors
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 20.0
"""Time limit of a file; the machine may be busy."""
MEMORY = 1024 * 2**20
"""Memory limit of a file in bytes. Pillow accepts images of 178 megapixels."""
ROOM = 6 * 2**30
"""Address space of a worker in bytes, to protect the machine from a file."""
SHOWN = 200
LONGEST = 5000
"""The most characters of a message: a file must not fill the screen."""
CANARY = "ran"
KINDS = ("images", "checkpoints")
SIZE = (32, 24)
MODES = ("RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F")
VALID = ("safetensors", "zip plain", "legacy plain", "zip wrapped", "zip evaluated")
LARGE_SEED = 50_000
"""The most bytes of a seed: in a large file, most changes hit pixels."""

Mutation = Callable[[random.Random, bytes, bytes], bytes]


# the worker


def load_image(path: Path) -> None:
    """Open an image, or each frame of a video, in full and reduced."""
    from effcam import Preprocess
    from effcam.images.discovery import iter_images

    for ref in iter_images(path):
        ref.open()
        ref.photo(Preprocess(size=8).resized)


def load_checkpoint(path: Path) -> None:
    """Read a checkpoint, and load it into a network as `effcam.load_model` does."""
    from effcam.models.checkpoint import read_checkpoint
    from effcam.models.registry import ModelSpec
    from effcam.models.sources import resolve

    read_checkpoint(path)
    spec = ModelSpec("tiny", constructor=tiny, checkpoint=path)
    resolve(spec).build(device="cpu", change_preprocess=lambda own: own)


def load_folder(path: Path) -> None:
    """Build the model of a folder, with and without its weights."""
    from effcam.models.registry import ModelSpec
    from effcam.models.sources import resolve

    for trained in (False, True):
        spec = ModelSpec(f"local-dir:{path}", pretrained=trained)
        resolve(spec).build(device="cpu", change_preprocess=lambda own: own)


def tiny() -> Any:
    """Return a network whose state dict has weights, statistics and a counter."""
    from torch import nn

    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4, 3))


LOADERS = {"image": load_image, "checkpoint": load_checkpoint, "folder": load_folder}


def serve() -> None:
    """Load the file of each line of standard input, a path and its kind, and print the result."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keep the prints of libraries out of the results
    import timm
    import torch

    import effcam.images.discovery
    import effcam.models.checkpoint

    torch.set_num_threads(1)
    assert timm
    assert effcam
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    print("{}", file=answers)
    for line in sys.stdin:
        print(json.dumps(attempt(**json.loads(line))), file=answers)


def attempt(kind: str, path: str) -> dict[str, Any]:
    """Load a file, and return the outcome, the fault if any, time and memory."""
    from effcam.errors import EffcamError

    Path("/proc/self/clear_refs").write_text("5", "ascii")  # reset the peak
    before, start = _peak(), time.perf_counter()
    outcome, message, fault = "loaded", "", ""
    try:
        LOADERS[kind](Path(path))
    except EffcamError as error:
        outcome, message = type(error).__name__, str(error)
        if len(message) > LONGEST:
            fault = f"message of {len(message)} characters: {message[:SHOWN]!r}"
        elif not message.isprintable():
            fault = f"message of several lines, or with control characters: {message!r}"
    except BaseException as error:  # noqa: BLE001  # any other exception is a finding
        outcome, message = type(error).__name__, str(error)
        fault = "".join(traceback.format_exception(error)[-12:])
    taken = _peak() - before
    if not fault and taken > MEMORY:
        fault = f"memory: {taken / 2**20:.0f} MiB"
    return {
        "outcome": outcome,
        "message": message[:LONGEST].encode("ascii", "backslashreplace").decode(),
        "fault": fault.encode("ascii", "backslashreplace").decode(),
        "seconds": time.perf_counter() - start,
        "taken": taken,
    }


def _peak() -> int:
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


# its owner


@dataclass(slots=True)
class Result:
    """The result of one file.

    Attributes:
        outcome: "loaded", or the name of the exception, or "crash" or "timeout".
        message: The exception's message.
        fault: The reason why this is a finding, empty if it is none.
        seconds: The time it took.
        taken: Its peak memory in bytes.
    """

    outcome: str
    message: str = ""
    fault: str = ""
    seconds: float = 0.0
    taken: int = 0


class Worker:
    """A process that loads files under limits, restarted when a file ends it."""

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        self.folder, self.seconds = folder, seconds
        self.process: subprocess.Popen[str] | None = None

    def load(self, kind: str, path: Path) -> Result:
        """Load a file or a folder, and return the result; new files in it are a fault."""
        process = self._started()
        held = set(self.folder.rglob("*"))
        ended = self._ask(process, {"kind": kind, "path": str(path)})
        new = sorted(str(each) for each in set(self.folder.rglob("*")) - held)
        if new:
            ended.fault = f"wrote {', '.join(new)}"
        return ended

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self.folder,
                text=True,
            )
            if self._answer(self.process, 300) is None:
                raise RuntimeError("the worker did not start: run tools/fuzz.py --serve to see why")
        return self.process

    def _ask(self, process: subprocess.Popen[str], question: dict[str, str]) -> Result:
        assert process.stdin is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        answer = self._answer(process, self.seconds)
        if answer is not None:
            return Result(**answer)
        code = process.poll()
        self.stop()
        if code is None:
            return Result("timeout", fault=f"timeout: more than {self.seconds:g} s")
        return Result("crash", fault=f"crash: exit code {code}")

    @staticmethod
    def _answer(process: subprocess.Popen[str], seconds: float) -> dict[str, Any] | None:
        """Return the next line of the process, ``None`` if it ended or took too long."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(seconds) else None
        if line == "":  # wait until its end is visible
            process.wait(5)
        found: dict[str, Any] | None = json.loads(line) if line else None
        return found


# the seeds


@dataclass(frozen=True, slots=True)
class Seed:
    """A valid file.

    Attributes:
        name: Its name in the report.
        kind: "image", "checkpoint" or "folder".
        suffix: The suffix of its name; for a folder, the name of the file to damage.
        data: Its bytes.
        beside: The other files of the folder.
    """

    name: str
    kind: str
    suffix: str
    data: bytes
    beside: dict[str, bytes] = field(default_factory=dict)


def image_seeds() -> list[Seed]:
    """Return an image of every format and mode that Pillow can write and read."""
    from PIL import Image

    Image.init()
    seeds = []
    for kind in sorted(Image.SAVE):
        for mode in MODES:
            data = _written(mode, kind)
            if data is not None:
                seeds.append(Seed(f"{kind} {mode}", "image", f".{kind.lower()}", data))
    return [*seeds, *_special_images()]


def _picture(mode: str) -> Any:
    from PIL import Image

    # Smooth, so that codecs have structure to encode, and the same on every machine.
    places = itertools.product(range(SIZE[1]), range(SIZE[0]), (0, 80, 160))
    pixels = bytes((3 * x + 5 * y + shift) % 256 for y, x, shift in places)
    picture = Image.frombytes("RGB", SIZE, pixels)
    if mode == "I;16":
        return Image.frombytes("I;16", SIZE, pixels[: 2 * SIZE[0] * SIZE[1]])
    return picture.convert(mode)


def _written(mode: str, kind: str, **options: Any) -> bytes | None:
    """Return an image file, ``None`` if the format lacks the mode or cannot be read."""
    from PIL import Image

    file = io.BytesIO()
    try:
        # Formats that warn are seeds too, even if warnings are errors.
        with warnings.catch_warnings(action="ignore"):
            _picture(mode).save(file, kind, **options)
            with Image.open(file) as image:
                image.load()
    except Exception:  # noqa: BLE001  # plugins raise many types for modes that they cannot write
        return None
    data = _timeless(file.getvalue())
    return data if len(data) <= LARGE_SEED else None


def _timeless(data: bytes) -> bytes:
    """Return a file without the time of writing, which animations in AVIF contain."""
    for box in (b"mvhd\1", b"tkhd\1", b"mdhd\1"):
        before, found, after = data.partition(box)
        data = before + found + after[:3] + bytes(16) + after[19:] if found else data
    return data


def _special_images() -> Iterator[Seed]:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    animated = {"save_all": True, "append_images": [_picture("RGB").rotate(90)] * 2}
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        ("JPEG", "RGB", {"progressive": True, "exif": exif, "icc_profile": b"profile" * 9}),
        ("PNG", "RGBA", {"exif": exif, "icc_profile": b"profile" * 9, "dpi": (72, 72)}),
        ("PNG", "P", {"transparency": 3}),
        ("WEBP", "RGBA", {"lossless": True, "exif": exif}),
        ("GIF", "RGB", animated),
        ("PNG", "RGB", animated),
        ("WEBP", "RGB", animated),
        ("AVIF", "RGB", animated),
        ("TIFF", "RGB", animated),
        ("TGA", "RGB", {"compression": "tga_rle"}),
        *(("TIFF", "RGB", {"compression": f"tiff_{each}"}) for each in ("lzw", "jpeg", "deflate")),
        *(("TIFF", "RGB", {"compression": each}) for each in ("packbits", "zstd", "lzma")),
        *(("TIFF", "1", {"compression": each}) for each in ("group3", "group4", "tiff_ccitt")),
    ]
    for kind, mode, options in wanted:
        data = _written(mode, kind, **options)
        if data is not None:
            name = f"{kind} {mode} {' '.join(map(str, options))}"
            yield Seed(name, "image", f".{kind.lower()}", data)


class Payload:
    """An object whose unpickling runs code that writes the canary."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {CANARY}",)


class Evaluated:
    """An object whose unpickling runs code through a builtin."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({CANARY!r}).touch()",)


def checkpoint_seeds() -> list[Seed]:
    """Return checkpoints in every container, with and without code to run."""
    import torch
    from safetensors.torch import save

    torch.manual_seed(0)
    state = tiny().state_dict()
    contents: dict[str, Any] = {
        "plain": state,
        "wrapped": {
            "epoch": 3,
            "state_dict": {f"model.{name}": value for name, value in state.items()},
            "hyper_parameters": {"root": Path("data"), "class_names": ["ant", "bee", "cat"]},
            "optimizer": torch.optim.Adam(tiny().parameters()).state_dict(),
        },
        "parameters": collections.OrderedDict(tiny().named_parameters()),
        "types": {str(each): torch.zeros(2, 3, dtype=each) for each in (torch.half, torch.int64)},
        "payload": {"state_dict": state, "more": Payload()},
        "evaluated": {"state_dict": state, "more": [Evaluated(), Path("x")]},
    }
    seeds = [Seed("safetensors", "checkpoint", ".safetensors", save(state))]
    for name, content in contents.items():
        file = io.BytesIO()
        torch.save(content, file)
        seeds.append(Seed(f"zip {name}", "checkpoint", ".pt", file.getvalue()))
    flat = _in_one_storage(state)
    for name, content in {"plain": flat, "payload": {"model": flat, "more": Payload()}}.items():
        seeds.append(Seed(f"legacy {name}", "checkpoint", ".pt", _legacy(content)))
    for protocol in (0, 2, 4):
        data = pickle.dumps({"more": Payload()}, protocol=protocol)
        seeds.append(Seed(f"pickle {protocol}", "checkpoint", ".pt", data))
    # Files that load reach more code than those that are refused at once.
    valid = [each for each in seeds if each.name in VALID]
    return [*seeds, *valid * 3, *list(_folder_seeds()) * 3]


def _in_one_storage(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights of a state dict as parts of one tensor."""
    import torch

    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    parts = torch.cat([value.flatten() for value in floats.values()]).split(
        [value.numel() for value in floats.values()]
    )
    shapes = [value.shape for value in floats.values()]
    views = (part.view(shape) for part, shape in zip(parts, shapes, strict=True))
    return dict(zip(floats, views, strict=True))


def _legacy(content: Any) -> bytes:
    """Return a file in torch's format until 2020, the same in each run.

    torch names storages by their addresses in memory, and sorts by these.
    """
    import torch

    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return re.sub(rb"X.\0\0\0\d{12,}", b"X\x01\0\0\x000", file.getvalue(), flags=re.DOTALL)


def _folder_seeds() -> Iterator[Seed]:
    import timm
    import torch
    from safetensors.torch import save

    module = timm.create_model("test_resnet", num_classes=3)
    state = module.state_dict()
    config = {
        "architecture": "test_resnet",
        "num_classes": 3,
        "label_names": ["ant", "bee", "cat"],
        "model_args": {"num_classes": 3, "drop_rate": 0.1},
        "pretrained_cfg": {
            "input_size": [3, 160, 160],
            "interpolation": "bicubic",
            "crop_pct": 0.95,
            "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "classifier": "fc",
            "first_conv": "conv1",
        },
    }
    text, weights = json.dumps(config).encode(), save(state)
    beside = {"model.safetensors": weights}
    yield Seed("config.json", "folder", "config.json", text, beside)
    file = io.BytesIO()
    torch.save({"state_dict": state, "more": Payload()}, file)
    payload = {"config.json": text}
    yield Seed("folder payload", "folder", "pytorch_model.bin", file.getvalue(), payload)


# the damage


def flip(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Flip some bits."""
    changed = bytearray(data)
    for _each in range(draw.choice((1, 1, 2, 4, 16))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def insert(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Insert random bytes."""
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.randbytes(draw.choice((1, 2, 4, 100))) + data[at:]


def delete(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Delete some bytes."""
    start, end = _span(draw, data)
    return data[:start] + data[end:]


def duplicate(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Repeat some bytes."""
    start, end = _span(draw, data)
    return data[:end] + data[start:end] * draw.choice((1, 2, 50)) + data[end:]


def swap(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Swap two chunks."""
    first, second = sorted((_span(draw, data), _span(draw, data)))
    middle = max(first[1], second[0])
    cuts = (0, first[0], first[1], middle, max(middle, second[1]), len(data))
    parts = [data[low:high] for low, high in itertools.pairwise(cuts)]
    return b"".join(parts[index] for index in (0, 3, 2, 1, 4))


def truncate(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Cut off the end."""
    return data[: draw.randrange(len(data))]


def splice(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Continue with another file."""
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other) + 1) :]


def inflate(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Overwrite some bytes with a large or negative number, as a length or size."""
    changed = bytearray(data)
    # Most lengths are at the beginning, those of archives at the end.
    near = min(len(data), draw.choice((32, 128, len(data))))
    at = draw.choice((draw.randrange(near), len(data) - 1 - draw.randrange(near)))
    width = draw.choice((1, 2, 4, 8))
    number = draw.choice((2 ** (8 * width) - 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 0))
    number = draw.choice((number, draw.randrange(2 ** (8 * width))))
    changed[at : at + width] = number.to_bytes(width, draw.choice(("little", "big")))
    return bytes(changed)


def _span(draw: random.Random, data: bytes) -> tuple[int, int]:
    start = draw.randrange(len(data))
    return start, min(len(data), start + draw.choice((1, 2, 4, 16, 200, len(data))))


PLAIN: tuple[Mutation, ...] = (
    *(flip, flip, insert, delete, duplicate, swap, truncate, splice, inflate, inflate),
)
GLOBALS = (
    *("builtins bytearray", "builtins set", "builtins eval", "os system", "_codecs encode"),
    *("torch._utils _rebuild_tensor", "torch._utils _rebuild_sparse_tensor", "torch Size"),
    *("torch._utils _rebuild_qtensor", "torch._utils _rebuild_meta_tensor_no_storage"),
    *("torch FloatTensor", "torch DoubleStorage", "torch UntypedStorage", "torch device"),
    *("torch._tensor _rebuild_from_type_v2", "collections Counter", "argparse Namespace"),
)
"""Objects that weights_only accepts, and some that it refuses."""
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.0, 1, 10**9, 10**30, 1e308, -1e-308, float("nan"), float("inf")),
    *("", "x" * 10**5, "\n\r\x00\x1b[31m", "\ud800", "<script>alert(1)</script>", "../../x"),
    *([], {}, [[]], {"0": "a"}, [1, 2, 3], [10**6] * 3, ["a"] * 10**4, {"a": {"b": {}}}),
)


def damage(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Return a file with one to three changes, half of the time with repaired checksums."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        change, within = draw.choice(PLAIN), _repairing(data)
        if within is not None and draw.random() < 0.5:
            data = within(draw, data, change, other)
        elif data:
            data = change(draw, data, other)
    return data


Repairing = Callable[[random.Random, bytes, Mutation, bytes], bytes]


def _repairing(data: bytes) -> Repairing | None:
    """Return a mutation of a part of a file that repairs its checksums."""
    if data.startswith(b"PK\x03\x04"):
        return _within_zip
    if data.startswith(b"\x89PNG"):
        return _within_png
    if data[8:9] == b"{":
        return _within_safetensors
    return _within_json if data.startswith(b"{") else None


def _within_zip(draw: random.Random, data: bytes, change: Mutation, other: bytes) -> bytes:
    """Change one record of an archive, mostly its pickle, and compress it sometimes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            records = {each.filename: archive.read(each) for each in archive.infolist()}
    except Exception:  # noqa: BLE001  # an earlier change can break it in any way
        return data
    names = [name for name in records if records[name]]
    if not names:
        return data
    pickled = [name for name in names if name.endswith(".pkl")]
    chosen = draw.choice(pickled if pickled and draw.random() < 0.7 else names)
    inner = _within_pickle if chosen in pickled and draw.random() < 0.5 else change
    records[chosen] = inner(draw, records[chosen], other)
    method = draw.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def _within_pickle(draw: random.Random, data: bytes, _: bytes) -> bytes:
    """Replace a number (a size, stride or offset) or a name in a pickle."""
    try:
        # Each instruction, its position, and that of the next one.
        codes = list(
            itertools.pairwise((op.name, at or 0) for op, _, at in pickletools.genops(data))
        )
    except ValueError:
        return data
    numbers = [(at, end) for (name, at), (_, end) in codes if name.startswith("BININT")]
    names = [(at, end) for (name, at), (_, end) in codes if name == "GLOBAL"]
    if not numbers or not names:
        return data
    if draw.random() < 0.7:
        at, end = draw.choice(numbers)
        number = draw.choice((-(2**63), -1, 0, 1, 2, 2**31 - 1, 2**40, 2**63 - 1, 2**64))
        other = pickle.encode_long(number)
        return data[:at] + b"\x8a" + bytes([len(other)]) + other + data[end:]
    at, end = draw.choice(names)
    return data[:at] + b"c" + draw.choice(GLOBALS).replace(" ", "\n").encode() + b"\n" + data[end:]


def _within_png(draw: random.Random, data: bytes, change: Mutation, other: bytes) -> bytes:
    """Change one chunk, and correct its length and checksum."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    full = [index for index, (_, content) in enumerate(chunks) if content]
    if not full:
        return data
    index = draw.choice(full)
    kind, content = chunks[index]
    chunks[index] = (kind, change(draw, content, other))
    return data[:8] + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _within_safetensors(draw: random.Random, data: bytes, change: Mutation, other: bytes) -> bytes:
    """Change the header, and correct its length."""
    (length,) = struct.unpack("<Q", data[:8])
    header, numbers = data[8 : 8 + length], data[8 + length :]
    changed = _within_json(draw, header, change, other)
    return struct.pack("<Q", len(changed)) + changed + numbers


def _within_json(draw: random.Random, data: bytes, change: Mutation, other: bytes) -> bytes:
    """Replace a value in a JSON file."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return change(draw, data, other) if data else data
    places = list(_places(content))
    if not places:
        return data
    holder, key = draw.choice(places)
    holder[key] = draw.choice(VALUES)
    return json.dumps(content).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = content if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


# the run


@dataclass(slots=True)
class Report:
    """The results of all files.

    Attributes:
        cases: The number of files.
        seconds: The time they took.
        outcomes: Their number by kind and outcome.
        findings: The name and the fault of each finding.
    """

    cases: int = 0
    seconds: float = 0.0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it as text."""
        rate = self.cases / max(self.seconds, 1e-9)
        lines = [f"{self.cases} cases in {self.seconds:.0f} s, {rate:.1f} cases/s"]
        lines += [f"  {count:7} {name}" for name, count in sorted(self.outcomes.items())]
        lines += [f"{len(self.findings)} findings"]
        lines += [f"  {name}: {_last_line(fault)}" for name, fault in self.findings]
        return "\n".join(lines)


def _last_line(fault: str) -> str:
    return fault.strip().splitlines()[-1][:SHOWN]


def cases(kinds: tuple[str, ...], seed: int) -> Iterator[tuple[int, Seed, bytes]]:
    """Yield damaged files without end: a number, the seed, the bytes."""
    makers = {"images": image_seeds, "checkpoints": checkpoint_seeds}
    seeds = {kind: makers[kind]() for kind in kinds}
    number = 0
    while True:
        # Each case has its own generator, so that it can be reproduced alone.
        draw = random.Random(f"{seed} {number}")  # noqa: S311
        pool = seeds[kinds[number % len(kinds)]]
        chosen, other = draw.choice(pool), draw.choice(pool)
        yield number, chosen, damage(draw, chosen.data, other.data)
        number += 1


def run(
    kinds: tuple[str, ...], seed: int, *, keep: Path, minutes: float = 0, most: int = 0
) -> Report:
    """Load damaged files for a time, or a number of them.

    Args:
        kinds: "images", "checkpoints".
        seed: The seed of the files.
        keep: The folder for findings.
        minutes: The time limit.
        most: The number of files, if there is no time limit.
    """
    report, start = Report(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder))
        try:
            for number, seed_file, data in cases(kinds, seed):
                report.seconds = time.monotonic() - start
                if report.seconds > 60 * minutes if minutes else number >= most:
                    break
                result = load_case(worker, seed_file, data)
                report.cases += 1
                report.outcomes[f"{seed_file.kind}: {result.outcome}"] += 1
                if result.fault:
                    name = keep_case(keep, f"{seed}-{number}", seed_file, data, result)
                    report.findings.append((name, result.fault))
        finally:
            worker.stop()
    return report


def load_case(worker: Worker, seed: Seed, data: bytes) -> Result:
    """Write one damaged file, load it, and delete it."""
    if seed.kind != "folder":
        path = worker.folder / f"case{seed.suffix}"
        path.write_bytes(data)
        result = worker.load(seed.kind, path)
    else:
        path = worker.folder
        for name, content in {**seed.beside, seed.suffix: data}.items():
            (path / name).write_bytes(content)
        result = worker.load(seed.kind, path)
    for each in worker.folder.iterdir():
        each.unlink()
    return result


def keep_case(keep: Path, number: str, seed: Seed, data: bytes, result: Result) -> str:
    """Write a finding and its reason, and return its name."""
    keep.mkdir(parents=True, exist_ok=True)
    name = f"{number}-{seed.suffix.lstrip('.')}"
    file = keep / (name if "." in seed.suffix[1:] else f"{number}{seed.suffix}")
    file.write_bytes(data)
    told = f"{seed.kind}, of {seed.name}: {result.outcome}\n{result.message}\n{result.fault}\n"
    Path(f"{file}.txt").write_text(told, "utf-8")
    return file.name


def main() -> int:
    """Run the command line, and return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return 0
    kinds = (given.only,) if given.only else KINDS
    report = run(kinds, given.seed, keep=given.keep, minutes=given.minutes)
    print(report)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
