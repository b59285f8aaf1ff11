"""Pictures and labels to draw with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONG = "W" * 200
LABELS = (
    "",
    "airliner",
    "African chameleon, Chamaeleo chamaeleon, of the family Chamaeleonidae " * 5,
    LONG,
    "tf_efficientnet_b3.ns_jft_in1k_finetuned_on_my_own_pictures",
    "\u00e9t\u00e9 e\u0301 \u0389\u03bb\u03b9\u03bf\u03c2 \u0421\u043e\u043b\u043d\u0446\u0435",
    "\u732b\u306e\u5199\u771f" * 30,
    "one\ntwo\tthree\x00\x07\u200b\ud800 four",
)


def photo(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def flat_heat(picture: Image.Image, value: float) -> NDArray[np.float32]:
    return np.full((picture.height, picture.width), value, dtype=np.float32)


def pixels(picture: Image.Image) -> NDArray[np.int32]:
    return np.asarray(picture.convert("RGB"), dtype=np.int32)


def solid(width: int, height: int, colour: tuple[int, int, int] = (255, 0, 0)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)
