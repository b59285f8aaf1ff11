"""The tensor that a model sees, and the region of the photo that it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from PIL import Image

from effcam.errors import ArgumentError
from effcam.images.geometry import Box

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

CropMode: TypeAlias = Literal["crop", "squash", "border"]

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
DEFAULT_CROP = 0.875
MOST_PIXELS = 2**26
"""Larger than this no picture is resized to before it is cropped: it would not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How a photo becomes a model's input: resize, central crop or padding, normalisation.

    One record describes every evaluation transform that torchvision and timm publish with their
    classification weights, and gives the same tensor as they do, bit for bit.

    Attributes:
        size: Height and width of the model's input in px; one number makes it square.
        resize: Height and width to which the photo is resized before the central crop; one
            number makes it square; ``None`` is the input size / 0.875, rounded down.
        mode: ``"crop"`` keeps the aspect ratio and lets the resized photo cover ``resize``, so
            that the crop loses what juts out; ``"squash"`` stretches the photo to ``resize``;
            ``"border"`` keeps the aspect ratio, lets the photo fit into ``resize`` and pads it
            with the mean colour.
        interpolation: ``"nearest"``, ``"box"``, ``"bilinear"``, ``"hamming"``, ``"bicubic"`` or
            ``"lanczos"``, all antialiased as Pillow does it.
        mean: The mean of each channel, in units of the value range [0, 1]: three of them, one
            number for all three, or a tuple of one for a model that takes greyscale images, to
            which photos are then converted (ITU-R 601 luma).
        std: The standard deviation of each channel, likewise.

    Raises:
        ArgumentError: If a value makes no sense: a size below 1, an unknown mode, a zero deviation.

    >>> preprocess = Preprocess(size=224, resize=256)
    >>> preprocess.region(512, 256)
    Box(left=144.0, top=16.0, right=368.0, bottom=240.0)
    """

    size: tuple[int, int] = (224, 224)
    resize: tuple[int, int] | None = None
    mode: CropMode = "crop"
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        """Bring sizes, means and deviations to tuples, and checks every value."""
        size = _pair("size", self.size)
        default = (math.floor(size[0] / DEFAULT_CROP), math.floor(size[1] / DEFAULT_CROP))
        resize = default if self.resize is None else _pair("resize", self.resize)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "resize", resize)
        object.__setattr__(self, "mean", _channels("mean", self.mean))
        object.__setattr__(self, "std", _channels("std", self.std))
        if len(self.mean) != len(self.std):
            raise ArgumentError(
                f"mean and std must be of as many channels, not {self.mean} and {self.std}"
            )
        if self.mode not in ("crop", "squash", "border"):
            raise ArgumentError(f"mode must be 'crop', 'squash' or 'border', not {self.mode!r}")
        if not isinstance(self.interpolation, str) or self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ArgumentError(f"interpolation must be one of {known}, not {self.interpolation!r}")
        if min(self.std) <= 0:
            raise ArgumentError(f"std must be positive in every channel, not {self.std}")

    def __call__(self, image: Image.Image) -> tuple[torch.Tensor, Box]:
        """Return the model's input and the part of the image that it shows.

        Args:
            image: An RGB image.

        Returns:
            The normalised (channels, height, width) float32 tensor, and the `region` of the image.

        Raises:
            ArgumentError: If the image is not in RGB.
        """
        import torch

        pixels = torch.from_numpy(self.pixels(image))
        return self.normalise(pixels[None])[0].contiguous(), self.region(*image.size)

    def pixels(self, image: Image.Image, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the model's input before it is normalised: (height, width, channels) uint8.

        Args:
            image: An RGB image.
            size: Its width and height in px, if it is a reduced copy of an image of that size.

        Raises:
            ArgumentError: If the image is not in RGB.
        """
        if image.mode != "RGB":
            raise ArgumentError(
                f"the image's mode is {image.mode}, expected RGB: image.convert('RGB')"
            )
        resized, offset = self._layout(*(size or image.size))
        picture = image if self.channels == 3 else image.convert("L")
        if image.size != (resized[1], resized[0]):
            picture, offset = self._resize_to(picture, resized, offset)
        return np.array(self._cut(picture, offset)).reshape(*self.size, self.channels)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the model's input for a batch of `pixels`, on the device where they are.

        Args:
            pixels: (batch, height, width, channels) uint8.

        Returns:
            (batch, channels, height, width) float32, in memory with the channels innermost.
        """
        import torch

        full, mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None]
            for values in ((255.0,), self.mean, self.std)
        )
        # Divided by a tensor: on a GPU, torch multiplies by the reciprocal of a mere number.
        return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(full).sub_(mean).div_(std)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) in px to which an image of such a size is resized.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        (tall, wide), _ = self._layout(width, height)
        return wide, tall

    @property
    def recipe(self) -> tuple[object, ...]:
        """What `pixels` depends on: transforms of equal recipes differ in normalisation alone."""
        padding = self.mean if self.mode == "border" else ()
        return self.size, self.resize, self.mode, self.interpolation, self.channels, padding

    def canvas(self, width: int, height: int) -> Box:
        """Return where the model's whole input lies on an image, in px of that image.

        The box reaches past the image's edges where the transform pads.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        return _places(self, width, height)[0]

    def region(self, width: int, height: int) -> Box:
        """Return the part of an image of ``width`` by ``height`` px that the model sees, in px.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        return _places(self, width, height)[1]

    def whole(self) -> Preprocess:
        """Return the same with the whole image squashed to the input: nothing is cut off."""
        return replace(self, mode="squash", resize=self.size)

    def with_size(self, size: int | tuple[int, int]) -> Preprocess:
        """Return the same for another input size in px, the share that is cropped kept."""
        height, width = _pair("size", size)
        tall, wide = self._resize
        resize = height * tall // self.size[0], width * wide // self.size[1]
        return replace(self, size=(height, width), resize=resize)

    def grey(self) -> Preprocess:
        """Return the same for a model that takes greyscale images: means over the channels."""
        mean, std = (sum(each) / len(each) for each in (self.mean, self.std))
        return replace(self, mean=(mean,), std=(std,))

    @property
    def channels(self) -> int:
        """How many channels the model's input has, 3 for RGB or 1 for greyscale."""
        return len(self.mean)

    @property
    def _resize(self) -> tuple[int, int]:
        return self.resize or self.size

    def _layout(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the resized image's (height, width) and the input's (top, left) in it."""
        resized = self._resized(width, height)
        top, left = (_offset(have, want) for have, want in zip(resized, self.size, strict=True))
        return resized, (top, left)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        tall, wide = self._resize
        if self.mode == "squash":
            return tall, wide
        if self.mode == "crop" and tall == wide:
            # torchvision rounds the longer side down, timm's general rule rounds to nearest.
            if width <= height:
                return int(tall * height / width), tall
            return tall, int(tall * width / height)
        across, down = width / wide, height / tall
        ratio = max(across, down) if self.mode == "border" else min(across, down)
        return max(round(height / ratio), 1), max(round(width / ratio), 1)

    def _resize_to(
        self, picture: Image.Image, resized: tuple[int, int], offset: tuple[int, int]
    ) -> tuple[Image.Image, tuple[int, int]]:
        """Return a resized picture, and the input's (top, left) in it.

        Of a strip that would become millions of px long, it is the part that the input shows.
        """
        (tall, wide), (top, left) = resized, offset
        resample = INTERPOLATIONS[self.interpolation]
        if tall * wide <= MOST_PIXELS:
            return picture.resize((wide, tall), resample), offset
        x, y = max(left, 0), max(top, 0)
        right, bottom = min(left + self.size[1], wide), min(top + self.size[0], tall)
        across, down = picture.width / wide, picture.height / tall
        box = x * across, y * down, right * across, bottom * down
        part = picture.resize((right - x, bottom - y), resample, box)
        return part, (min(top, 0), min(left, 0))

    def _cut(self, picture: Image.Image, offset: tuple[int, int]) -> Image.Image:
        top, left = offset
        height, width = self.size
        if (top, left) == (0, 0) and picture.size == (width, height):
            return picture
        if top >= 0 and left >= 0:
            return picture.crop((left, top, left + width, top + height))
        colour = tuple(round(255 * value) for value in self.mean)
        if self.mode != "border":
            colour = (0,) * self.channels
        padded = Image.new(picture.mode, (width, height), colour)
        padded.paste(picture, (-left, -top))
        return padded


# Images of one size lie alike, and what is kept of a thousand of them holds one box.
@lru_cache(maxsize=1024)
def _places(preprocess: Preprocess, width: int, height: int) -> tuple[Box, Box]:
    """Return the `Preprocess.canvas` and the `Preprocess.region` of images of one size."""
    (resized_height, resized_width), (top, left) = preprocess._layout(width, height)
    bottom, right = top + preprocess.size[0], left + preprocess.size[1]
    # Multiplied before it is divided, so that the whole image ends exactly at its edges.
    canvas = Box(
        left * width / resized_width,
        top * height / resized_height,
        right * width / resized_width,
        bottom * height / resized_height,
    )
    region = canvas.clip(width, height)
    return canvas, canvas if region == canvas else region


def _offset(have: int, want: int) -> int:
    """Return where ``want`` px start when centred in ``have`` px; negative where they jut out."""
    return -((want - have) // 2) if want > have else round((have - want) / 2)


def _pair(name: str, value: object) -> tuple[int, int]:
    values = (value, value) if isinstance(value, Integral) else value
    if (
        not isinstance(values, Sequence)
        or len(values) != 2
        or not all(isinstance(number, Integral) and int(number) >= 1 for number in values)
    ):
        raise ArgumentError(
            f"{name} must be a number of pixels or a (height, width) pair of them, not {value!r}"
        )
    return int(values[0]), int(values[1])


def _channels(name: str, value: object) -> tuple[float, ...]:
    values = (value,) * 3 if isinstance(value, Real) else value
    if (
        not isinstance(values, Sequence)
        or len(values) not in (1, 3)
        or not all(isinstance(number, Real) and math.isfinite(number) for number in values)
    ):
        raise ArgumentError(
            f"{name} must be a number, or one number for each of three channels or of one, "
            f"not {value!r}"
        )
    return tuple(float(number) for number in values)
