"""Load images as inputs of models, in threads beside the computation."""

from __future__ import annotations

import math
import os
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.errors import ImageError
from effcam.images.channels import wants_bands
from effcam.images.decoding import Needed, Photo
from effcam.images.frames import close_videos
from effcam.images.geometry import Box
from effcam.images.notes import Note, warn
from effcam.images.preprocess import Preprocess
from effcam.images.refs import ImageRef

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

KEPT_BYTES = 128 * 2**20
"""Memory for all inputs that wait for later models."""
BATCHES_AHEAD = 2
MOST_THREADS = 8

Recipe: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images as a model's input, with their positions, sizes and regions.

    Attributes:
        positions: The positions of the images in the comparison.
        sizes: Width and height of each in px.
        regions: The part of each that the model sees.
        pixels: (batch, height, width, channels), the input before normalisation: uint8, or float32
            in [0, 255] for models of other than one or three channels.
        preprocess: The model's transform.
    """

    positions: list[int]
    sizes: list[tuple[int, int]]
    regions: list[Box]
    pixels: NDArray[np.uint8]
    preprocess: Preprocess

    def images(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return the model's input on a device, (batch, channels, height, width) float32."""
        import torch

        pixels = torch.from_numpy(self.pixels)
        if torch.device(device).type == "cuda":
            # A copy from pinned memory runs in parallel with work on the GPU.
            pixels = pixels.pin_memory().to(device, non_blocking=True)
        return self.preprocess.normalise(pixels.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """An image as a model's input before normalisation, and its width and height in px."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


class Loader:
    """Opens images and prepares inputs, in threads beside the computation.

    When an image is opened, the inputs for all planned passes are prepared at once, and cached
    until the last of these has used them, if there is memory. Otherwise it is opened again.
    """

    def __init__(
        self,
        refs: Sequence[ImageRef],
        planned: Iterable[Preprocess] = (),
        *,
        reduced: bool = False,
        most_bytes: int = KEPT_BYTES,
    ) -> None:
        """Plan the passes; no image is opened yet.

        Args:
            refs: The images.
            planned: The transforms of the passes that are known in advance.
            reduced: Whether JPEG files may be decoded at a reduced size.
            most_bytes: The memory for all cached inputs.
        """
        self._refs = refs
        self._reduced = reduced
        transforms = list(planned)
        self._planned = {each.recipe: each for each in transforms}
        self._passes = Counter(each.recipe for each in transforms)
        self._kept: dict[tuple[int, Recipe], _Prepared] = {}
        self._room = most_bytes
        self._lock = threading.Lock()
        self._noted: dict[str, tuple[Note, list[str]]] = {}
        self._read: set[int] = set()

    def batches(
        self,
        preprocess: Preprocess,
        batch_size: int,
        *,
        skipped: dict[ImageRef, str] | None = None,
        on_gpu: bool = False,
    ) -> Iterator[Batch]:
        """Yield the images in batches for one pass of a model.

        Args:
            preprocess: The model's transform.
            batch_size: The most images in a batch.
            skipped: Images to leave out, with the reason; unreadable images are added. If it is
                ``None``, they raise.
            on_gpu: Whether the model runs on a GPU, so that all cores are free for loading.

        Raises:
            ImageError: If an image is unreadable, and ``skipped`` is ``None``.
        """
        self._passes[preprocess.recipe] -= 1
        left_out = () if skipped is None else skipped
        wanted = [at for at, ref in enumerate(self._refs) if ref not in left_out]
        groups = (wanted[at : at + batch_size] for at in range(0, len(wanted), batch_size))
        waiting: deque[list[tuple[int, Future[_Prepared]]]] = deque()
        pool = ThreadPoolExecutor(_threads(on_gpu), "effcam-loader")
        try:
            while True:
                for group in islice(groups, BATCHES_AHEAD + 1 - len(waiting)):
                    waiting.append([(at, pool.submit(self._take, at, preprocess)) for at in group])
                if not waiting:
                    break
                if ready := list(self._finish(waiting.popleft(), skipped)):
                    yield _collate(ready, preprocess)
        finally:
            pool.shutdown(cancel_futures=True)
            close_videos()
        self._warn()

    def _warn(self) -> None:
        """Raise one warning for all notes of a kind on the images that were read."""
        noted = list(self._noted.values())
        self._noted.clear()
        for note, names in noted:
            warn(note, names)

    def _finish(
        self, pending: Iterable[tuple[int, Future[_Prepared]]], skipped: dict[ImageRef, str] | None
    ) -> Iterator[tuple[int, _Prepared]]:
        """Yield the prepared images in order."""
        for at, future in pending:
            try:
                yield at, future.result()
            except ImageError as error:
                if skipped is None:
                    raise
                skipped[self._refs[at]] = str(error)

    def _take(self, at: int, preprocess: Preprocess) -> _Prepared:
        """Return the input of an image, from the cache or from the image itself."""
        own = preprocess.recipe
        found = self._cached(at, own)
        if found is not None:
            return found
        others = [
            each
            for recipe, each in self._planned.items()
            if recipe != own and self._passes[recipe] > 0 and _source(each) == _source(preprocess)
        ]
        needed = _largest([preprocess, *others]) if self._reduced else None
        photo = self._refs[at].photo(needed, _source(preprocess))
        self._note(at, photo)
        for each in others:
            if self._reserve(at, each):
                self._kept[at, each.recipe] = _prepare(photo, each)
        found = _prepare(photo, preprocess)
        if self._reserve(at, preprocess):
            self._kept[at, own] = found
        return found

    def _note(self, at: int, photo: Photo) -> None:
        """Collect the notes on an image, once however often it is read."""
        with self._lock:
            if photo.notes and at not in self._read:
                self._read.add(at)
                for note in photo.notes:
                    self._noted.setdefault(note.kind, (note, []))[1].append(self._refs[at].name)

    def _cached(self, at: int, recipe: Recipe) -> _Prepared | None:
        """Return a cached input, and remove it if no other pass needs it."""
        with self._lock:
            if self._passes[recipe] > 0:
                return self._kept.get((at, recipe))
            found = self._kept.pop((at, recipe), None)
            self._room += _size(self._planned[recipe]) if found else 0
            return found

    def _reserve(self, at: int, preprocess: Preprocess) -> bool:
        """Reserve memory to cache an input; return whether it is needed and fits."""
        recipe = preprocess.recipe
        size = _size(preprocess)
        with self._lock:
            wanted = self._passes[recipe] > 0 and (at, recipe) not in self._kept
            if not wanted or size > self._room:
                return False
            self._room -= size
            return True


def _prepare(photo: Photo, preprocess: Preprocess) -> _Prepared:
    return _Prepared(preprocess.pixels(photo.picture, photo.size, photo.bands), photo.size)


def _source(preprocess: Preprocess) -> int:
    """Return how many channels of an image to read: three suffice for grey models too."""
    return preprocess.channels if wants_bands(preprocess.channels) else 3


def _size(preprocess: Preprocess) -> int:
    """Return the most bytes of a cached input."""
    width = 4 if wants_bands(preprocess.channels) else 1
    return math.prod(preprocess.size) * preprocess.channels * width


def _largest(transforms: Iterable[Preprocess]) -> Needed:
    """Return a function from an image's size to the largest size that it is resized to."""

    def needed(width: int, height: int) -> tuple[int, int]:
        widths, heights = zip(*(each.resized(width, height) for each in transforms), strict=True)
        return max(widths), max(heights)

    return needed


def _collate(ready: Sequence[tuple[int, _Prepared]], preprocess: Preprocess) -> Batch:
    sizes = [prepared.size for _, prepared in ready]
    return Batch(
        [at for at, _ in ready],
        sizes,
        [preprocess.region(*size) for size in sizes],
        np.stack([prepared.pixels for _, prepared in ready]),
        preprocess,
    )


def _threads(on_gpu: bool) -> int:
    """Return the number of loading threads: on a CPU, the model needs cores too."""
    cores = os.cpu_count() or 1
    return min(MOST_THREADS, cores if on_gpu else max(cores // 2, 1))
