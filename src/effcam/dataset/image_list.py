"""The list of a run's images on disk: their names, paths, sizes and times of modification.

Each row group has the images of one shard, so that a worker reads only the images of its shard.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from effcam.comparison.parquet import readable
from effcam.dataset.shard_file import BROKEN
from effcam.dataset.storage import Store
from effcam.errors import (
    ArgumentError,
    CellError,
    EffcamError,
    ImageError,
    ImageWarning,
    OutputError,
)
from effcam.images.discovery import iter_images
from effcam.images.file_search import SUFFIXES
from effcam.images.frames import is_video
from effcam.images.refs import ImageLike, ImageRef
from effcam.names import near_names, numbered, suggestion
from effcam.targets.plain import Single, plain
from effcam.targets.stored import from_json, to_json

if TYPE_CHECKING:
    from os import PathLike

FILE = "images.parquet"
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        # A path may have bytes that are not valid text.
        ("path", pa.binary()),
        ("bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("target", pa.string()),
    ]
)
KEY = "effcam"
"""The key of the digest of the rows, in the metadata of the file."""
MOST_NAMED = 3


class BrokenListError(OutputError):
    """The list of images is damaged, or is that of another run."""


def list_images(
    images: ImageLike | Iterable[ImageLike],
    targets: Sequence[Single] | None,
    *,
    at_once: int,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the image list, one shard at a time.

    Args:
        images: As in `effcam.compare`, but only files.
        targets: The class to explain in each image; ``None`` is one rule for all.
        at_once: The number of images of a shard.

    Raises:
        ImageError: If a folder or a glob has no image.
        ArgumentError: If an image is not a file, or there is not one target per image.
    """
    # An animated picture is one image, since a file of a run has one row per model.
    refs = iter_images(images, missing_ok=True, films=False)
    wanted = None if targets is None else iter(targets)
    found, labelled = 0, False
    missing: list[ImageRef] = []
    while group := list(itertools.islice(refs, at_once)):
        found += len(group)
        own = None if wanted is None else list(itertools.islice(wanted, len(group)))
        if own is not None and len(own) < len(group):
            raise ArgumentError(f"there are {len(targets or ())} targets, and more images")
        rows = _rows(group, own)
        if not labelled and any(ref.truth is not None for ref in group):
            labelled = True
            warnings.warn(
                "a run keeps the files of the images, and not what is known of them: give labels= "
                "and boxes= to its summary",
                ImageWarning,
                stacklevel=2,
            )
        sizes = rows["bytes"].to_pylist()
        gone = [ref for ref, size in zip(group, sizes, strict=True) if size is None]
        for ref in gone:
            _refuse_folder(ref)
        missing += gone
        yield rows
    if missing and len(missing) == found:
        which = "image" if found == 1 else f"none of {found} images exists: image"
        raise ImageError(f"{which} {str(missing[0].path)!r} does not exist")
    if targets is not None and len(targets) != found:
        raise ArgumentError(f"there are {len(targets)} targets, and {found} images")


def write_inventory(
    store: Store,
    batches: Iterable[pa.RecordBatch],
    before: Callable[[int, str], object] = lambda _count, _digest: None,
) -> tuple[int, str]:
    """Write the image list, and return the number of images and a digest of their rows.

    Args:
        store: Where the run is.
        batches: The rows, one shard at a time.
        before: Called with these two before the list replaces an earlier one; an error in it
            leaves the earlier one as it was.

    Raises:
        ImageError: If there are none.
        OutputError: If it cannot be written.
    """
    count, digest = 0, hashlib.sha256()
    with (
        store.writing(FILE) as stream,
        pq.ParquetWriter(stream, SCHEMA, compression="zstd", write_page_checksum=True) as writer,
    ):
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]), row_group_size=len(batch))
            digest.update(repr(batch.to_pydict()).encode("utf-8", "backslashreplace"))
            count += len(batch)
        if not count:
            raise ImageError("there are no images to compare")
        listed = digest.hexdigest()[:16]
        before(count, listed)
        writer.add_key_value_metadata({KEY: listed})
    return count, listed


def differences(inventory: Inventory, batches: Iterable[pa.RecordBatch]) -> list[str]:
    """Return the differences of images from the written list, in words; none if equal."""
    with inventory.opened() as file:
        written = (_first(file, number) for number in range(file.num_row_groups))
        pairs = itertools.zip_longest(written, batches)
        # Skip equal shards, so that they take no memory.
        first = next((pair for pair in pairs if not _equal(*pair)), None)
        if first is None:
            return []
        rest = list(itertools.chain([first], pairs))
    before, now = (
        {key: row for batch in each if batch is not None for key, row in _by_name(batch)}
        for each in zip(*rest, strict=True)
    )
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    changed = [name for name in now if name in before and now[name] != before[name]]
    found = [
        _describe(gone, "is gone", "are gone"),
        _describe(new, "is new", "are new"),
        _describe(changed, "has changed", "have changed"),
    ]
    return [each for each in found if each] or ["the images are in another order"]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The images of a run.

    Attributes:
        store: Where the run is.
        count: The number of images.
        at_once: The number of images of a shard.
        listed: The digest of the list; empty if it is not known.
    """

    store: Store
    count: int
    at_once: int
    listed: str = ""

    @property
    def shards(self) -> int:
        """The number of shards per model."""
        return -(-self.count // self.at_once)

    def size(self, number: int) -> int:
        """Return the number of images of a shard."""
        return min(self.at_once, self.count - number * self.at_once)

    @property
    def has_targets(self) -> bool:
        """Whether each image has a target of its own.

        Raises:
            OutputError: If the list cannot be read.
        """
        return bool(self._table(0, ["target"]).column("target")[0].is_valid)

    def read(self, number: int) -> tuple[list[ImageRef], Sequence[Single] | None]:
        """Return the images of a shard, and the class to explain in each if targets were given.

        Raises:
            OutputError: If they cannot be read.
        """
        rows = self._table(number).to_pylist()
        refs = [ImageRef(row["image"], Path(os.fsdecode(row["path"]))) for row in rows]
        texts = [row["target"] for row in rows if row["target"] is not None]
        found = plain([from_json(json.loads(text)) for text in texts])
        return refs, found if isinstance(found, tuple) and found else None

    def seen(self, number: int) -> list[Path]:
        """Return the files of a shard that existed when images were listed.

        Raises:
            OutputError: If they cannot be read.
        """
        rows = self._table(number, ["path", "bytes"]).to_pylist()
        return [Path(os.fsdecode(row["path"])) for row in rows if row["bytes"] is not None]

    def names(self) -> Iterator[str]:
        """Yield the names of all images, in order.

        Raises:
            OutputError: If they cannot be read.
        """
        for number in range(self.shards):
            yield from self.names_of(number)

    def names_of(self, number: int) -> list[str]:
        """Return the names of the images of a shard.

        Raises:
            OutputError: If they cannot be read.
        """
        names: list[str] = self._table(number, ["image"]).column("image").to_pylist()
        return names

    def find(self, images: Sequence[int | str]) -> list[int]:
        """Return the positions of images given by position or by name, in the order given.

        Raises:
            CellError: If there is no such image.
        """
        wanted = {image for image in images if isinstance(image, str)}
        places: dict[str, int] = {}
        for number in range(self.shards) if wanted else ():
            start = number * self.at_once
            names = enumerate(self.names_of(number), start)
            places |= {name: at for at, name in names if name in wanted}
        for name in wanted - places.keys():
            hint = suggestion(near_names(name, self.names_of(0)))
            raise CellError(f"no image is called {name!r}.{hint}")
        return [
            places[image] if isinstance(image, str) else self._position(image) for image in images
        ]

    def _position(self, image: int) -> int:
        if not -self.count <= image < self.count:
            raise CellError(f"image {image} is out of range: {numbered('image', self.count)}")
        return image % self.count

    def _table(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        with self.opened() as file:
            return file.read_row_group(number, columns=columns)

    def check(self) -> None:
        """Read the whole list.

        Raises:
            BrokenListError: If it is damaged, or is that of another run.
        """
        with self.opened() as file:
            for number in range(file.num_row_groups):
                file.read_row_group(number)

    @contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """Open the list for reading, with its checksums.

        Raises:
            BrokenListError: If it is damaged, or is that of another run.
        """
        try:
            with self.store.open(FILE) as stream:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                known = (file.metadata.metadata or {}).get(KEY.encode(), b"").decode()
                shape = file.metadata.num_rows, file.num_row_groups
                if shape != (self.count, self.shards) or known != self.listed:
                    raise ValueError("it is that of other images")
                yield file
        except BROKEN as error:
            if isinstance(error, EffcamError) and not isinstance(error, OutputError):
                raise  # about the images that the list is compared with
            reason = error.__cause__ if isinstance(error, OutputError) else error
            raise BrokenListError(
                f"the list of images {self.store.path(FILE)!r} is broken: {reason}"
            ) from error


def _refuse_folder(ref: ImageRef) -> None:
    """Refuse a path without a file that may be a misspelt folder or pattern.

    One of many files of images that is gone becomes a row with an error.

    Raises:
        ImageError: If it is a pattern, or has no suffix of an image.
    """
    path = Path(_path(ref))
    if glob.has_magic(str(path)):
        raise ImageError(f"no image file matches {str(path)!r}")
    if path.suffix.lower() in SUFFIXES:
        return
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"image {str(path)!r} does not exist") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"image {str(path)!r} cannot be reached: {error}") from error


def _rows(refs: Sequence[ImageRef], targets: Sequence[Single] | None) -> pa.RecordBatch:
    paths = [_path(ref) for ref in refs]
    states = [_state(path) for path in paths]
    texts = (
        [None] * len(refs) if targets is None else [json.dumps(to_json(each)) for each in targets]
    )
    return pa.record_batch(
        [
            pa.array([readable(ref.name) for ref in refs], pa.string()),
            pa.array([os.fsencode(path) for path in paths], pa.binary()),
            pa.array([state and state.st_size for state in states], pa.int64()),
            pa.array([state and state.st_mtime_ns for state in states], pa.int64()),
            pa.array(texts, pa.string()),
        ],
        schema=SCHEMA,
    )


def _path(ref: ImageRef) -> str | PathLike[str]:
    if ref.frame is not None:
        raise ArgumentError(
            f"image {ref.name!r} is a frame of a video: a run reads still images, so write its "
            "frames as files first; effcam.compare accepts frames"
        )
    if ref.path is None:
        raise ArgumentError(
            f"image {ref.name!r} is not a file: a run that can be resumed reads files; "
            "effcam.compare accepts images in memory and in datasets"
        )
    if is_video(ref.path):
        raise ArgumentError(
            f"image {ref.name!r} is a video: a run reads still images, so write its frames as "
            "files first; effcam.compare accepts videos, with every= or fps="
        )
    return ref.path.absolute()


def _state(path: str | PathLike[str]) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except (OSError, ValueError):  # an unreadable file becomes a row with an error
        return None


def _first(file: pq.ParquetFile, number: int) -> pa.RecordBatch:
    table = file.read_row_group(number).combine_chunks()
    (batch,) = table.to_batches()
    return batch


def _equal(one: pa.RecordBatch | None, other: pa.RecordBatch | None) -> bool:
    return one is not None and other is not None and bool(one.equals(other))


def _by_name(batch: pa.RecordBatch) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((row["image"], row) for row in batch.to_pylist())


def _describe(names: Sequence[str], one: str, several: str) -> str:
    if not names:
        return ""
    listed = ", ".join(repr(name) for name in names[:MOST_NAMED])
    if len(names) == 1:
        return f"image {listed} {one}"
    more = ", ..." if len(names) > MOST_NAMED else ""
    return f"{len(names)} images {several} ({listed}{more})"
