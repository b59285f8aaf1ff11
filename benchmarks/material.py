"""Default material of the benchmarks: drawn photos and random weights.

Neither changes any time, and both are the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageOps

from effcam import DEFAULT_MODELS, ModelSpec
from effcam.demo import scenes
from effcam.images.discovery import iter_images
from effcam.models.registry import find_spec

SEED = 2019
SIZE = 500, 375
LARGE = 3000, 2000
QUALITY = 90
GRAIN = 6.0


@contextmanager
def given_or_drawn(given: Path | None, count: int) -> Iterator[list[Path]]:
    """Yield the first photos of a folder, or drawn ones, which are deleted afterwards."""
    if given is not None:
        yield [ref.path for ref in list(iter_images(given))[:count] if ref.path is not None]
        return
    with TemporaryDirectory() as folder:
        yield draw_photos(Path(folder), count)


def draw_photos(folder: Path, count: int, size: tuple[int, int] = SIZE) -> list[Path]:
    """Write demo scenes as JPEG files of (width, height) px, and return the files."""
    files = [folder / f"{at:05}.jpg" for at in range(count)]
    for file, scene in zip(files, scenes(count, SEED, size), strict=True):
        scene.image.save(file, quality=QUALITY)
    return files


def draw_large(folder: Path, count: int, size: tuple[int, int] = LARGE) -> list[Path]:
    """Write large JPEG files: each four by four copies of a demo scene, mirrored, with grain."""
    tile = size[0] // 4, size[1] // 4
    files = [folder / f"large-{at:03}.jpg" for at in range(count)]
    for at, (file, scene) in enumerate(zip(files, scenes(count, SEED, tile), strict=True)):
        picture = _mosaic(scene.image, size)
        grain = np.random.default_rng((SEED, at)).normal(0, GRAIN, (size[1], size[0], 3))
        pixels = np.clip(np.asarray(picture) + grain, 0, 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(file, quality=QUALITY)
    return files


def _mosaic(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return copies of a picture side by side, each the mirror image of its neighbours."""
    mosaic = Image.new("RGB", size)
    for row in range(4):
        for column in range(4):
            tile = ImageOps.mirror(picture) if column % 2 else picture
            tile = ImageOps.flip(tile) if row % 2 else tile
            mosaic.paste(tile, (column * picture.width, row * picture.height))
    return mosaic


def link_photos(files: list[Path], folder: Path, count: int) -> None:
    """Fill a folder with ``count`` symlinks to the files, in turn."""
    for at in range(count):
        (folder / f"{at:06}.jpg").symlink_to(files[at % len(files)])


def save_weights(folder: Path, models: Mapping[str, str] = DEFAULT_MODELS) -> dict[str, ModelSpec]:
    """Write random weights of the models to files, and return specs that load them."""
    import torch

    from effcam import load_model

    specs = {}
    for label, name in models.items():
        file = folder / f"{label}.pth"
        torch.save(load_model(name, pretrained=False, device="cpu").module.state_dict(), file)
        specs[label] = replace(find_spec(name) or ModelSpec(name), checkpoint=file)
    return specs


if __name__ == "__main__":
    sys.exit("this module is shared by the other scripts; run one of them")
