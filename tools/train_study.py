"""Train the networks of the study: ``python tools/train_study.py [NETWORK ...]``.

Every network is named KIND-FAMILY-SEED, such as ``scenes-resnet-0``, and with ``-deleting`` if
patches of its pictures were deleted in training. A file that is there is kept, so that a run can be
stopped and started again. All take at most two hours on 2 cores. Everything is seeded, and each
network is trained by one thread; another kind of processor may still give slightly other weights.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from effcam.demo.models import SMALL_KINDS, WEIGHTS
from effcam.demo.scene import box_around, union_of
from effcam.demo.scenes import DISTRACTING
from effcam.demo.study_kinds import KINDS, Network, networks
from effcam.demo.study_networks import SIZES, build
from training import as_input, batches, drawn, fit, save, turned

SIDE = 80
"""The side of the pictures in px; networks see them at the size of their family."""
SAMPLES = 4_000
TRAIN_SEED = 5_000
BATCH = 64
LARGEST_DELETED = 0.5
PATCHES = 4
"""Patches along each side of a picture, which are deleted or kept as a whole."""
# The crop, as a share of a picture's side, at the start of training and at its end.
FIRST_CROP, LAST_CROP, CROP_RANGE, GROWN = 0.45, 0.85, 0.15, 0.6


@dataclass(frozen=True)
class Recipe:
    """How to train a family: number of pictures, learning rate, and whether in bfloat16."""

    samples: int
    rate: float
    half: bool = False


RECIPES = {
    "small": Recipe(120_000, 8e-3),
    "efficientnet_b3": Recipe(32_000, 8e-3),
    "densenet": Recipe(32_000, 5e-3),
    "alexnet": Recipe(56_000, 3e-3, half=True),
    "efficientnet_b0": Recipe(60_000, 8e-3),
    "resnet": Recipe(64_000, 5e-3, half=True),
}
TETROMINO_SHARE = 0.2
"""The share of the pictures that networks for tetrominoes need."""
SMALL = [Network(kind, "small", 0) for kind in SMALL_KINDS]
"""The networks that are part of the package."""


@dataclass(frozen=True)
class Pictures:
    """Pictures as arrays: (n, SIDE, SIDE, 3) uint8, their labels (n, classes), boxes (n, 4) px."""

    images: Tensor
    labels: Tensor
    boxes: np.ndarray


def main() -> None:
    """Train the networks of the command line that are not in the folder yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", help="names or patterns, such as 'scenes-*'")
    parser.add_argument("--folder", type=Path, default=Path("build/study"))
    parser.add_argument("--demo", action="store_true", help="train the small ones of the package")
    parser.add_argument("--fewer", type=int, default=1, help="divides what they are trained on")
    options = parser.parse_args()
    if options.demo:
        train_missing(SMALL, options.folder)
        for each in SMALL:
            path = save(read(each, options.folder), WEIGHTS / f"demo_{each.kind}.safetensors")
            print(f"{path.name}: {path.stat().st_size:,} bytes")
        return
    patterns = options.networks or ["*"]
    wanted = [
        each for each in networks() if any(fnmatch.fnmatch(str(each), one) for one in patterns)
    ]
    if not wanted:
        parser.error(f"no network is called {' or '.join(patterns)}")
    train_missing(wanted, options.folder, fewer=options.fewer)


def read(network: Network, folder: Path) -> nn.Module:
    """Return a network with its trained weights."""
    module = build(network.family, len(KINDS[network.kind].labels))
    module.load_state_dict(load_file(file_of(network, folder)))
    return module


def train_missing(wanted: list[Network], folder: Path, *, fewer: int = 1) -> None:
    """Train those networks that are not in a folder, one per core at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [each for each in wanted if not file_of(each, folder).is_file()]
    for kind in dict.fromkeys(each.kind for each in missing):
        pictures = kept_pictures(kind, folder, SAMPLES // fewer)
        # The slowest first, so that no core waits for it at the end.
        own = [each for family in RECIPES for each in missing if _is(each, kind, family)]
        # Threads of torch do not survive a fork: the pool starts before any runs.
        with get_context("fork").Pool(os.cpu_count(), _share, (pictures,)) as pool:
            todo = partial(_train_and_save, folder=folder, fewer=fewer)
            for name, seconds in pool.imap_unordered(todo, own):
                print(f"{name}: {seconds:.0f} s", flush=True)


def _is(network: Network, kind: str, family: str) -> bool:
    return (network.kind, network.family) == (kind, family)


def file_of(network: Network, folder: Path) -> Path:
    """Return the file of a network's weights."""
    return folder / f"{network}.safetensors"


shared: list[Pictures] = []
"""The pictures, in a training process."""


def _share(pictures: Pictures) -> None:
    """Keep the pictures for this training process, and limit it to one core."""
    torch.set_num_threads(1)
    shared.append(pictures)


def _train_and_save(network: Network, folder: Path, fewer: int) -> tuple[str, float]:
    start = time.perf_counter()
    trained = train(network, shared[0], fewer=fewer)
    state = {name: each.contiguous() for name, each in trained.state_dict().items()}
    part = file_of(network, folder).with_suffix(".part")
    save_file(state, part)
    part.replace(file_of(network, folder))
    return str(network), time.perf_counter() - start


def kept_pictures(kind: str, folder: Path, count: int) -> Pictures:
    """Return the training pictures of a kind, from a file if they were drawn before."""
    file = folder / f"{kind}-{count}.npz"
    if not file.is_file():
        start = time.perf_counter()
        made = drawn(partial(_picture, kind), [(index,) for index in range(count)])
        images, labels, boxes = (np.stack(each) for each in zip(*made, strict=True))
        np.savez(file, images=images, labels=labels, boxes=boxes)
        print(f"{count} pictures of {kind} in {time.perf_counter() - start:.0f} s", flush=True)
    with np.load(file) as kept:
        return Pictures(
            torch.from_numpy(kept["images"]), torch.from_numpy(kept["labels"]), kept["boxes"]
        )


def _picture(kind: str, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a picture, 1 for each of its labels, and the box around all its objects."""
    made = KINDS[kind].training(TRAIN_SEED, index, SIDE)
    labels = np.zeros(len(KINDS[kind].labels), np.float32)
    labels[[each.target for each in made.objects]] = 1
    named = [part.mask for part in made.parts if part.name != DISTRACTING]
    box = box_around(union_of(named, made.mask))
    return np.asarray(made.image), labels, np.array(box.as_tuple(), int)


def train(network: Network, pictures: Pictures, *, fewer: int = 1) -> nn.Module:
    """Return a trained network, in evaluation mode.

    Args:
        network: Which one.
        pictures: The pictures of its kind.
        fewer: Divides the number of pictures that it is trained on, epochs included.
    """
    recipe, kind = RECIPES[network.family], KINDS[network.kind]
    torch.manual_seed(network.seed)
    random = np.random.default_rng(network.seed)
    module = build(network.family, len(kind.labels)).to(memory_format=torch.channels_last)
    share = 1.0 if kind.turning else TETROMINO_SHARE

    def loss_of(chosen: np.ndarray, progress: float) -> Tensor:
        images = _augment(pictures, chosen, progress, network, random)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half):
            scores = module(images)
        labels = pictures.labels[chosen]
        if kind.several:
            return functional.binary_cross_entropy_with_logits(scores.float(), labels)
        return functional.cross_entropy(scores.float(), labels, label_smoothing=0.05)

    return fit(
        str(network),
        module,
        rate=recipe.rate,
        steps=round(share * recipe.samples / fewer / BATCH),
        chosen=batches(len(pictures.labels), BATCH, random),
        loss_of=loss_of,
    )


def _augment(
    pictures: Pictures,
    chosen: np.ndarray,
    progress: float,
    network: Network,
    random: np.random.Generator,
) -> Tensor:
    """Return a batch as a network's input: cropped, turned, of varied light, patches deleted.

    A smaller crop gives a smaller input, so that objects keep their size.
    """
    size, turning = SIZES[network.family], KINDS[network.kind].turning
    low = FIRST_CROP + (LAST_CROP - FIRST_CROP) * min(1.0, progress / GROWN)
    share = random.uniform(low, low + CROP_RANGE) if turning else 1.0
    side = round(share * SIDE)
    cuts = [_cut(pictures, index, side, random) for index in chosen]
    if turning:
        cuts = [turned(cut, random) for cut in cuts]
    images = torch.stack(cuts).permute(0, 3, 1, 2).float() / 255
    pixels = max(round(size * share / 8), 4) * 8
    images = functional.interpolate(images, size=(pixels, pixels), mode="bilinear", antialias=True)
    found = as_input(images)
    return delete_patches(found) if network.deleting else found


def _cut(pictures: Pictures, index: int, side: int, random: np.random.Generator) -> Tensor:
    """Return a crop with all objects if they fit into it, else with a part of them."""
    left, top, right, bottom = pictures.boxes[index]
    spans = (
        sorted((max(0, stop - side), min(SIDE - side, start)))
        for start, stop in ((left, right), (top, bottom))
    )
    x, y = (random.integers(low, high + 1) for low, high in spans)
    return pictures.images[index, y : y + side, x : x + side]


def delete_patches(images: Tensor) -> Tensor:
    """Return normalised images, half of which have up to half of their patches at the mean colour.

    So the deletion of a patch is no news to the network, as IDSDS needs it (Hesse et al. 2024,
    arXiv:2407.11910).
    """
    count = len(images)
    share = torch.rand(count, 1, 1, 1) * LARGEST_DELETED * (torch.rand(count, 1, 1, 1) < 0.5)
    kept = (torch.rand(count, 1, PATCHES, PATCHES) >= share).float()
    return images * functional.interpolate(kept, size=images.shape[2:], mode="nearest")


if __name__ == "__main__":
    main()
