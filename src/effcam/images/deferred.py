"""Pictures that are not files of their own: the bytes of a file, and items of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from typing import Literal

from effcam.errors import ImageError, reason_of


@dataclass(frozen=True, slots=True, eq=False)
class FileBytes:
    """The content of an image file that a dataset stores in itself; it is read like a file.

    Attributes:
        data: The content.
        name: The name that the file had; empty if unknown.
    """

    data: bytes = field(repr=False)
    name: str = ""

    @property
    def suffix(self) -> str:
        """The suffix of the file's name, as ``".png"``; empty if unknown."""
        return PurePosixPath(self.name).suffix

    def open(self, mode: Literal["rb"] = "rb") -> BytesIO:
        """Return the content as an open file, as `pathlib.Path.open` does.

        Args:
            mode: Bytes for reading.
        """
        del mode  # there is only one
        return BytesIO(self.data)


@dataclass(frozen=True, slots=True, eq=False)
class Deferred:
    """A picture that is taken out of a dataset each time it is needed.

    Attributes:
        take: Returns a path, `FileBytes`, a PIL image, an array or a tensor.
    """

    take: Callable[[], object] = field(repr=False)

    def load(self) -> object:
        """Return the picture.

        Raises:
            ImageError: If the dataset raises any error.
        """
        try:
            return self.take()
        except ImageError:
            raise
        except Exception as error:  # the code of any dataset
            raise ImageError(f"its dataset cannot give it: {reason_of(error)}") from error
