"""Refuse pickles that take much memory or time to load, by their instructions alone.

torch's ``weights_only`` unpickler runs no code, but it builds whatever a file asks for.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

from effcam.text import one_line

# torch allows these, but they make gigabytes of one number or run for hours.
UNBOUNDED = re.compile(
    r"(__builtin__|builtins)\.bytearray|torch\._utils\._rebuild_(device_tensor|sparse)|torch\.sparse"
)
# The largest estimated size of one value, as a multiple of the file's size plus some bytes.
MOST_TIMES = 4
MOST_MORE = 2**20
# A file in the format before zip archives has five pickles before its numbers.
LEGACY_PICKLES = 5


class OversizedError(pickle.UnpicklingError):
    """A file takes far more memory or time to load than its size explains."""


class _SizeEstimate:
    """Estimate the size of each value that a pickle makes, without making it.

    The size is in bytes of a pickle in which no value is shared. Values that hold another value
    twice, in a chain, grow as powers of two: a kilobyte of tuples takes years to hash, and a
    kilobyte of calls that encode strings takes all memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.stack: list[int] = []
        self.marks: list[int] = []
        self.memo: dict[object, int] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Follow one instruction of the pickle."""
        name = opcode.name
        if name == "MARK":
            self.marks.append(len(self.stack))
        elif "PUT" in name:
            self.memo[argument] = self.stack[-1]
        elif "BINGET" in name:
            self.stack.append(self.memo[argument])
        else:
            held = self._pop(opcode)
            if opcode.stack_after:
                self._push(name, held, argument)

    def _pop(self, opcode: pickletools.OpcodeInfo) -> list[int]:
        before = opcode.stack_before
        count = len(before)
        if pickletools.markobject in before:
            # Those before the mark, as the list to append to, and all after it.
            count = before.index(pickletools.markobject) + len(self.stack) - self.marks.pop()
        held = self.stack[len(self.stack) - count :] if count else []
        del self.stack[len(self.stack) - count :]
        return held

    def _push(self, name: str, held: list[int], argument: Any) -> None:
        if name.startswith("TUPLE") or name in ("REDUCE", "NEWOBJ"):
            # A string may be encoded in twice as many bytes.
            size = 1 + sum(held) * (2 if name == "REDUCE" else 1)
        else:  # dicts and lists are not hashed
            size = len(argument) if isinstance(argument, str | bytes) else 1
        if size > self.most:
            raise OversizedError("it would take far more memory or time than a file of its size")
        self.stack.append(size)


def check_pickles(file: Path) -> None:
    """Refuse a file whose pickles take far more memory or time than its size explains.

    torch.load recognises a zip archive by its first bytes, and decompresses what is in it.

    Raises:
        UnpicklingError: If it does so, or is damaged.
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
                _check_pickle(stream, size)
            return
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.filename.casefold().endswith("/constants.pkl") for entry in entries):
            raise RuntimeError("with TorchScript archives")
        # Weights are mapped into memory as they lie in the file, so they cannot be compressed.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise OversizedError("it is a compressed archive, which torch.save does not write")
        # Readers disagree about archives that begin elsewhere or overlap.
        first = min((entry.header_offset for entry in entries), default=0)
        if first or sum(entry.file_size for entry in entries) > size:
            raise OversizedError("its records are not where torch.save puts them")
        for entry in entries:
            if entry.filename.casefold().endswith(".pkl"):
                _check_pickle(io.BytesIO(archive.read(entry)), size)


def _check_pickle(stream: IO[bytes], size: int) -> None:
    estimate = _SizeEstimate(MOST_TIMES * size + MOST_MORE)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            name = str(argument).replace(" ", ".") if opcode.name == "GLOBAL" else ""
            if UNBOUNDED.match(name):
                raise OversizedError(f"it may take any amount of memory ({one_line(name)})")
            estimate.follow(opcode, argument)
    except (ValueError, IndexError, KeyError) as error:
        raise pickle.UnpicklingError(str(error)) from error
