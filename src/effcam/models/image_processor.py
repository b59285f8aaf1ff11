"""The transforms of open_clip and of transformers, as an `effcam.Preprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from effcam.errors import ModelError
from effcam.images.preprocess import INTERPOLATIONS, Preprocess
from effcam.text import quote

WAY_OUT = "give preprocess=effcam.Preprocess(...) that does the same"
UNKNOWN_STEPS = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_flip_channel_order")
"""Steps of other image processors, which change pixels."""


def open_clip_preprocess(module: object) -> Preprocess | None:
    """Return the evaluation transform that an open_clip model carries; ``None`` for others.

    Raises:
        ModelError: If it fits the longer side into the input, and pads with a colour.
    """
    config = getattr(getattr(module, "visual", None), "preprocess_cfg", None)
    return open_clip_transform(config) if isinstance(config, Mapping) and config else None


def open_clip_transform(config: Mapping[str, Any]) -> Preprocess:
    """Return the transform of one of open_clip's configurations.

    Raises:
        ModelError: If it fits the longer side into the input, and pads with a colour.
    """
    size, mode = config.get("size", 224), config.get("resize_mode") or "shortest"
    height, width = (size, size) if isinstance(size, int) else size[-2:]
    if mode not in ("shortest", "squash"):
        raise ModelError(
            f"its images are resized in the mode {quote(mode)}, which pads them: {WAY_OUT}"
        )
    # open_clip resizes images for an input that is not square with its default filter.
    is_default = mode == "shortest" and height != width
    return Preprocess(
        size=(height, width),
        resize=(height, width),
        mode="squash" if mode == "squash" else "crop",
        interpolation="bicubic" if is_default else _filter_of_open_clip(config),
        mean=_three(config["mean"]),
        std=_three(config["std"]),
    )


def _filter_of_open_clip(config: Mapping[str, Any]) -> str:
    return "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"


def processor_preprocess(processor: Any, size: tuple[int, int] | None = None) -> Preprocess:
    """Return the transform of an image processor of transformers.

    Args:
        processor: The image processor.
        size: Height and width of the model's input in px, if the processor does not resize.

    Raises:
        ModelError: If it has a step that `Preprocess` has not.
    """
    unknown = [step for step in UNKNOWN_STEPS if getattr(processor, step, None)]
    if unknown:
        raise ModelError(f"its image processor has the step {unknown[0]}: {WAY_OUT}")
    resize, is_cover = _resize(processor)
    crop = _pair(processor.crop_size) if getattr(processor, "do_center_crop", None) else None
    mean, std = _normalisation(processor)
    own = crop or (None if is_cover else resize) or size
    if own is None:
        raise ModelError(f"its image processor gives images of no fixed size: {WAY_OUT}")
    return Preprocess(
        size=own,
        resize=resize or own,
        mode="crop" if is_cover else "squash",
        interpolation=_interpolation(processor.resample) if resize else "bicubic",
        mean=mean,
        std=std,
        rounding="down",
    )


def _resize(processor: Any) -> tuple[tuple[int, int] | None, bool]:
    """Return the size that images are resized to, and whether they only have to cover it."""
    if not getattr(processor, "do_resize", None):
        return None, False
    size = _entries(processor.size)
    edge = size.get("shortest_edge")
    if edge and not size.get("longest_edge"):
        return (int(edge), int(edge)), True
    if size.get("height") and size.get("width"):
        return _pair(size), False
    raise ModelError(f"its image processor resizes images to {quote(str(size))}: {WAY_OUT}")


def _normalisation(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation of values in [0, 1] that give the same numbers."""
    factor = float(processor.rescale_factor) if getattr(processor, "do_rescale", None) else 1.0
    offset = 1.0 if getattr(processor, "rescale_offset", None) else 0.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if getattr(processor, "do_normalize", None):
        mean, std = _three(processor.image_mean), _three(processor.image_std)
    if getattr(processor, "include_top", None):  # EfficientNet's divides once more
        again = _three(processor.image_std)
        std = tuple(first * second for first, second in zip(std, again, strict=True))
    return (
        tuple(round((each + offset) / (255 * factor), 12) for each in mean),
        tuple(round(each / (255 * factor), 12) for each in std),
    )


def _entries(size: Any) -> dict[str, Any]:
    """Return a size of transformers, a mapping or a record, as a dict."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    if isinstance(size, Mapping):
        return dict(size)
    names = ("height", "width", "shortest_edge", "longest_edge")
    return {name: getattr(size, name, None) for name in names}


def _pair(size: Any) -> tuple[int, int]:
    entries = _entries(size)
    return int(entries["height"]), int(entries["width"])


def _interpolation(resample: Any) -> str:
    """Return Pillow's name of a filter, given by number or by Pillow's or torchvision's enum."""
    value = getattr(resample, "value", resample)
    names = {each.value: name for name, each in INTERPOLATIONS.items()}
    found = names.get(value, value)
    if found not in INTERPOLATIONS:
        raise ModelError(f"its image processor resizes with the filter {resample!r}: {WAY_OUT}")
    return str(found)


def _three(values: Any) -> tuple[float, ...]:
    listed = [values] * 3 if isinstance(values, int | float) else list(values)
    return tuple(float(each) for each in listed)
