"""Whether a file's pickles are worth opening: weighed by their instructions, which are not run."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

from effcam.text import one_line

# What torch takes for harmless, and what makes gigabytes of a number or runs for hours.
SWELLING = re.compile(
    r"(__builtin__|builtins)\.bytearray|torch\._utils\._rebuild_(device_tensor|sparse)|torch\.sparse"
)
# How much of a pickle, over what it holds, is too much for the values that it shares; see _Scales.
SHARED = 4
SPARE = 2**20
# A legacy file is five pickles before its numbers.
LEGACY_PICKLES = 5


class SwollenError(pickle.UnpicklingError):
    """A file is made to take much more memory or time than its size tells."""


class _Scales:
    """Weighs what a pickle makes, without making it, in bytes of the pickle if nothing is shared.

    Values that hold others twice, in a chain, grow as powers of two: a kilobyte of tuples takes
    an age to hash, and a kilobyte of calls that encode strings anew takes all memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.stack: list[int] = []
        self.marks: list[int] = []
        self.kept: dict[object, int] = {}

    def take(self, opcode: pickletools.OpcodeInfo, given: Any) -> None:
        """Follow one instruction of the pickle."""
        name = opcode.name
        if name == "MARK":
            self.marks.append(len(self.stack))
        elif "PUT" in name:
            self.kept[given] = self.stack[-1]
        elif "BINGET" in name:
            self.stack.append(self.kept[given])
        else:
            held = self._pop(opcode)
            if opcode.stack_after:
                self._push(name, held, given)

    def _pop(self, opcode: pickletools.OpcodeInfo) -> list[int]:
        before = opcode.stack_before
        count = len(before)
        if pickletools.markobject in before:
            # Those before the mark, as the list that is appended to, and all after it.
            count = before.index(pickletools.markobject) + len(self.stack) - self.marks.pop()
        held = self.stack[len(self.stack) - count :] if count else []
        del self.stack[len(self.stack) - count :]
        return held

    def _push(self, name: str, held: list[int], given: Any) -> None:
        if name.startswith("TUPLE") or name in ("REDUCE", "NEWOBJ"):
            # A string may be encoded in twice as many bytes.
            weight = 1 + sum(held) * (2 if name == "REDUCE" else 1)
        else:  # dicts and lists are not hashed
            weight = len(given) if isinstance(given, str | bytes) else 1
        if weight > self.most:
            raise SwollenError("it would take far more memory or time than a file of its size")
        self.stack.append(weight)


def check_pickles(file: Path) -> None:
    """Refuse a file whose pickles would take more memory or time than its size tells.

    torch.load takes a zip archive by its first bytes, and inflates what is deflated in it.

    Raises:
        UnpicklingError: If it is made so, or is damaged.
        RuntimeError: If it is a TorchScript or tar archive, which hold code.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(512)
        if start[257:262] == b"ustar":  # as torch wrote them until 2017
            raise RuntimeError("with tar archives")
        if not start.startswith(b"PK\x03\x04"):
            stream.seek(0)
            for _ in range(LEGACY_PICKLES):
                _weigh(stream, size)
            return
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.filename.casefold().endswith("/constants.pkl") for entry in entries):
            raise RuntimeError("with TorchScript archives")
        # Weights are mapped into memory as they lie in the file, so they cannot be compressed.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise SwollenError("it is a compressed archive, which torch.save does not write")
        # Archives that begin elsewhere, or overlap, are read by no two readers alike.
        first = min((entry.header_offset for entry in entries), default=0)
        if first or sum(entry.file_size for entry in entries) > size:
            raise SwollenError("its records are not where torch.save puts them")
        for entry in entries:
            if entry.filename.casefold().endswith(".pkl"):
                _weigh(io.BytesIO(archive.read(entry)), size)


def _weigh(stream: IO[bytes], size: int) -> None:
    scales = _Scales(SHARED * size + SPARE)
    try:
        for opcode, given, _ in pickletools.genops(stream):
            name = str(given).replace(" ", ".") if opcode.name == "GLOBAL" else ""
            if SWELLING.match(name):
                raise SwollenError(
                    f"it holds what may take any amount of memory ({one_line(name)})"
                )
            scales.take(opcode, given)
    except (ValueError, IndexError, KeyError) as error:
        raise pickle.UnpicklingError(str(error)) from error
