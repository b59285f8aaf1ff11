"""The transform from a photo to a model's input, and the region of the photo in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from effcam.errors import ArgumentError, check_choice
from effcam.images.channels import wants_bands
from effcam.images.geometry import Box

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

CropMode: TypeAlias = Literal["crop", "squash", "border"]
Rounding: TypeAlias = Literal["nearest", "down"]

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
"""The most pixels that a picture is resized to before it is cropped, to limit memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How a photo becomes a model's input: resize, central crop or padding, normalisation.

    One record describes every evaluation transform that torchvision and timm publish with their
    classification weights, and gives the same tensor as they do, bit for bit.

    Attributes:
        size: Height and width of the model's input in px; one number makes it square.
        resize: Height and width to which the photo is resized before the central crop; one
            number makes it square; ``None`` is the input size / 0.875, rounded down.
        mode: ``"crop"`` keeps the aspect ratio, resizes the photo to cover ``resize``, and crops
            the rest; ``"squash"`` stretches the photo to ``resize``; ``"border"`` keeps the aspect
            ratio, fits the photo into ``resize``, and pads it with the mean colour.
        interpolation: ``"nearest"``, ``"box"``, ``"bilinear"``, ``"hamming"``, ``"bicubic"`` or
            ``"lanczos"``, all antialiased as Pillow does it.
        mean: The mean of each channel, in units of the value range [0, 1]: three of them, one
            number for all three, or a tuple of one for a greyscale model, for which photos are
            converted (ITU-R 601 luma). A tuple of another number is for a model that takes so many
            channels: arrays of (height, width, channels), tensors of (channels, height, width), and
            TIFF files of so many channels or pages.
        std: The standard deviation of each channel, likewise.
        rounding: Where a central crop begins that leaves an odd number of px: ``"nearest"`` rounds
            half a px to the even number, as torchvision does; ``"down"`` rounds it down, as
            transformers does.

    Raises:
        ArgumentError: If a value is impossible: a size below 1, an unknown mode, a zero deviation.

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
    rounding: Rounding = "nearest"

    def __repr__(self) -> str:
        # Runs on disk are known by it: those of older releases have no rounding.
        shown = [each.name for each in fields(self)]
        if self.rounding == "nearest":
            shown.remove("rounding")
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({values})"

    def __post_init__(self) -> None:
        """Convert sizes, means and deviations to tuples, and check every value."""
        size = _pair("size", self.size)
        default = (math.floor(size[0] / DEFAULT_CROP), math.floor(size[1] / DEFAULT_CROP))
        resize = default if self.resize is None else _pair("resize", self.resize)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "resize", resize)
        object.__setattr__(self, "mean", _channels("mean", self.mean))
        object.__setattr__(self, "std", _channels("std", self.std))
        if len(self.mean) != len(self.std):
            raise ArgumentError(
                f"mean and std must have equally many channels, not {self.mean} and {self.std}"
            )
        if self.mode not in ("crop", "squash", "border"):
            raise ArgumentError(f"mode must be 'crop', 'squash' or 'border', not {self.mode!r}")
        if not isinstance(self.interpolation, str) or self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ArgumentError(f"interpolation must be one of {known}, not {self.interpolation!r}")
        check_choice("rounding", self.rounding, ("nearest", "down"))
        if min(self.std) <= 0:
            raise ArgumentError(f"std must be positive in every channel, not {self.std}")

    def __call__(self, image: Image.Image) -> tuple[torch.Tensor, Box]:
        """Return the model's input and the region of the image that it shows.

        Args:
            image: An RGB image; for a model of other than one or three channels, an array of all
                of them, or a PIL image that has them.

        Returns:
            The normalised (channels, height, width) float32 tensor, and the `region` of the image.

        Raises:
            ArgumentError: If the image is not in RGB.
            ImageError: If it has not as many channels as the model takes.
        """
        import torch

        bands = None
        if wants_bands(self.channels):
            from effcam.images.decoding import read

            image, _, _, bands = read(image, channels=self.channels)
        pixels = torch.from_numpy(self.pixels(image, bands=bands))
        return self.normalise(pixels[None])[0].contiguous(), self.region(*image.size)

    def pixels(
        self,
        image: Image.Image,
        size: tuple[int, int] | None = None,
        bands: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Return the model's input before normalisation.

        Args:
            image: An RGB image.
            size: The full width and height in px, if the image is a reduced copy.
            bands: (height, width, channels) uint8, or float32 in [0, 255]: the channels of an image
                for a model of other than one or three.

        Returns:
            (height, width, channels) uint8, or float32 in [0, 255] if ``bands`` are.

        Raises:
            ArgumentError: If the image is not in RGB, or has no ``bands`` and the model takes them.
        """
        if wants_bands(self.channels):
            return self._band_pixels(bands)
        if image.mode != "RGB":
            raise ArgumentError(
                f"the image's mode is {image.mode}, expected RGB: image.convert('RGB')"
            )
        resized, offset = self._layout(*(size or image.size))
        picture = image if self.channels == 3 else image.convert("L")
        if image.size != (resized[1], resized[0]):
            picture, offset = self._resize_to(picture, resized, offset)
        return np.array(self._cut(picture, offset, self._padding)).reshape(
            *self.size, self.channels
        )

    def _band_pixels(self, bands: NDArray[Any] | None) -> NDArray[Any]:
        if bands is None or bands.shape[2] != self.channels:
            raise ArgumentError(
                f"the model takes {self.channels} channels, so it needs an image with all of them, "
                "not an RGB picture"
            )
        resized, offset = self._layout(bands.shape[1], bands.shape[0])
        planes = []
        for band, colour in zip(np.moveaxis(bands, 2, 0), self._padding, strict=True):
            picture, at = Image.fromarray(np.ascontiguousarray(band)), offset
            if picture.size != (resized[1], resized[0]):
                picture, at = self._resize_to(picture, resized, offset)
            planes.append(np.asarray(self._cut(picture, at, (colour,))))
        return np.stack(planes, axis=-1)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the model's input for a batch of `pixels`, on their device.

        Args:
            pixels: (batch, height, width, channels) uint8, or float32 in [0, 255].

        Returns:
            (batch, channels, height, width) float32 in channels-last memory format.
        """
        import torch

        full, mean, std = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]
            for values in ((255.0,), self.mean, self.std)
        )
        # Divide by a tensor: on a GPU, torch replaces division by a number with its reciprocal.
        return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(full).sub_(mean).div_(std)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) in px to which an image of a size is resized.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        (tall, wide), _ = self._layout(width, height)
        return wide, tall

    @property
    def recipe(self) -> tuple[object, ...]:
        """All that `pixels` depends on; transforms of one recipe differ only in normalisation."""
        padding = self.mean if self.mode == "border" else ()
        how = self.mode, self.interpolation, self.rounding
        return self.size, self.resize, how, self.channels, padding

    def frame(self, width: int, height: int) -> Box:
        """Return the box of the model's whole input on an image, in px of that image.

        The box extends past the image's edges if the transform pads.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        return _places(self, width, height)[0]

    def region(self, width: int, height: int) -> Box:
        """Return the part of an image of ``width`` x ``height`` px that the model sees, in px.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        return _places(self, width, height)[1]

    def whole(self) -> Preprocess:
        """Return the transform that squashes the whole image to the input, without a crop."""
        return replace(self, mode="squash", resize=self.size)

    def with_size(self, size: int | tuple[int, int]) -> Preprocess:
        """Return the transform for another input size in px, with the same share cropped."""
        height, width = _pair("size", size)
        tall, wide = self._resize
        resize = height * tall // self.size[0], width * wide // self.size[1]
        return replace(self, size=(height, width), resize=resize)

    def grey(self) -> Preprocess:
        """Return the transform for a greyscale model, with the means over the channels."""
        mean, std = (sum(each) / len(each) for each in (self.mean, self.std))
        return replace(self, mean=(mean,), std=(std,))

    @property
    def channels(self) -> int:
        """How many channels the model's input has; 3 is RGB, and 1 is greyscale."""
        return len(self.mean)

    @property
    def _resize(self) -> tuple[int, int]:
        return self.resize or self.size

    def _layout(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the resized image's (height, width) and the input's (top, left) in it."""
        resized = self._resized(width, height)
        top, left = (
            _offset(have, want, self.rounding)
            for have, want in zip(resized, self.size, strict=True)
        )
        return resized, (top, left)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        tall, wide = self._resize
        if self.mode == "squash":
            return tall, wide
        if self.mode == "crop" and tall == wide:
            # torchvision rounds the longer side down; timm, for other sizes, to the nearest.
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

        If it would exceed `MOST_PIXELS`, as a long strip, return only the part in the input.
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

    @property
    def _padding(self) -> tuple[int, ...]:
        """The colour around an image that does not fill the input."""
        if self.mode != "border":
            return (0,) * self.channels
        return tuple(round(255 * value) for value in self.mean)

    def _cut(
        self, picture: Image.Image, offset: tuple[int, int], colour: tuple[int, ...]
    ) -> Image.Image:
        top, left = offset
        height, width = self.size
        if (top, left) == (0, 0) and picture.size == (width, height):
            return picture
        if top >= 0 and left >= 0:
            return picture.crop((left, top, left + width, top + height))
        padded = Image.new(picture.mode, (width, height), colour if len(colour) > 1 else colour[0])
        padded.paste(picture, (-left, -top))
        return padded


# Images of one size share their boxes, so that a thousand of them keep one in memory.
@lru_cache(maxsize=1024)
def _places(preprocess: Preprocess, width: int, height: int) -> tuple[Box, Box]:
    """Return the `Preprocess.frame` and the `Preprocess.region` of images of one size."""
    (resized_height, resized_width), (top, left) = preprocess._layout(width, height)
    bottom, right = top + preprocess.size[0], left + preprocess.size[1]
    # Multiply before dividing, so that the box of a whole image ends exactly at its edges.
    frame = Box(
        left * width / resized_width,
        top * height / resized_height,
        right * width / resized_width,
        bottom * height / resized_height,
    )
    region = frame.clip(width, height)
    return frame, frame if region == frame else region


def _offset(have: int, want: int, rounding: Rounding) -> int:
    """Return where ``want`` px start, centred in ``have`` px; negative if they are larger."""
    if want > have:
        return -((want - have) // 2)
    return (have - want) // 2 if rounding == "down" else round((have - want) / 2)


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
        or not values
        or not all(isinstance(number, Real) and math.isfinite(number) for number in values)
    ):
        raise ArgumentError(
            f"{name} must be a number, or a tuple of one number for each of three channels, of one "
            f"channel, or of as many as the model takes, not {value!r}"
        )
    return tuple(float(number) for number in values)
