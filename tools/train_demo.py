"""Train the demo models: ``python tools/train_demo.py [NETWORK ...] [--scenes 12000]``.

Draws scenes, trains each network on the classes only (the box of the object is used to keep it in
the crop, and for nothing else), and writes ``src/effcam/demo/weights/demo_*.safetensors`` in half
precision. Everything is seeded. All five take half an hour to an hour on 2 CPU cores.

The results are added to ``tools/train_demo.csv``. They are measured with `effcam.compare` on
held-out scenes and the written files.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from effcam import compare
from effcam.demo import Scene, networks, scenes
from effcam.demo.models import WEIGHTS, specs
from effcam.demo.scenes import scene
from effcam.images.preprocess import DEFAULT_CROP
from training import add_to_log, as_input, batches, drawn, fit, save, size_of, turned

LOG = Path(__file__).with_suffix(".csv")
SIDE = 160
TRAIN_SEED, HELD_OUT_SEED = 1_000, 2_000
HELD_OUT = 500
BATCH = 64
# The crop as a share of a picture's side, at the start of training, when objects fill more of it,
# and at the end. It is random, so that no position and no border correlates with a class.
FIRST_CROP, LAST_CROP, CROP_RANGE = 0.42, 0.85, 0.15
GROWN = 0.7


@dataclass(frozen=True)
class Recipe:
    """How to train a network: epochs, picture size in px and learning rate.

    ``half`` computes in bfloat16, which is faster on some processors; ``options`` are arguments of
    the network's constructor.
    """

    samples: int
    size: int
    rate: float
    half: bool = False
    options: Mapping[str, int] = field(default_factory=dict)


RECIPES = {
    # The longest first, so that no core waits for it at the end.
    "efficientnet_b3": Recipe(240_000, 128, 8e-3),
    "densenet": Recipe(200_000, 112, 4e-3, half=True),
    "alexnet": Recipe(400_000, 128, 1e-3, half=True),
    "resnet": Recipe(180_000, 112, 4e-3, half=True, options={"output_stride": 16}),
    "efficientnet_b0": Recipe(280_000, 112, 8e-3),
}


shared: list[Pictures] = []
"""The training scenes, in a training process."""


@dataclass(frozen=True)
class Pictures:
    """Scenes as arrays: (n, SIDE, SIDE, 3) uint8, their classes (n,), their boxes (n, 4) in px."""

    images: Tensor
    targets: Tensor
    boxes: np.ndarray


def main() -> None:
    """Train the networks of the command line, and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(RECIPES)}; default all")
    parser.add_argument("--scenes", type=int, default=12_000, help="to train on; default 12,000")
    parser.add_argument("--pictures", type=Path, help="an .npz file to cache them between runs")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="the folder for weights")
    options = parser.parse_args()
    names = options.networks or list(RECIPES)
    if unknown := set(names) - set(RECIPES):
        parser.error(f"no network is called {', '.join(sorted(unknown))}")
    options.output.mkdir(exist_ok=True)
    pictures = _kept_pictures(options.pictures, options.scenes)
    held_out = scenes(HELD_OUT, HELD_OUT_SEED)
    # One network per core is faster than all cores for one.
    with get_context("fork").Pool(os.cpu_count(), _share, (pictures,)) as pool:
        for name, path, seconds in pool.imap_unordered(
            partial(_train_and_save, folder=options.output), names
        ):
            row = {"network": name, **size_of(path)}
            row |= {"samples": RECIPES[name].samples, **measure(name, path, held_out)}
            print(f"{row} in {seconds:.0f} s", flush=True)
            add_to_log(LOG, row, RECIPES)


def _share(pictures: Pictures) -> None:
    """Keep the scenes for this training process, and limit it to one core."""
    torch.set_num_threads(1)
    shared.append(pictures)


def _train_and_save(name: str, folder: Path) -> tuple[str, Path, float]:
    start = time.perf_counter()
    network = train(name, shared[0])
    path = save(network, folder / f"demo_{name}.safetensors")
    return name, path, time.perf_counter() - start


def _kept_pictures(file: Path | None, count: int) -> Pictures:
    if file is None or not file.is_file():
        start = time.perf_counter()
        pictures = make_pictures(count, TRAIN_SEED)
        print(f"{count} scenes made in {time.perf_counter() - start:.0f} s", flush=True)
        if file is not None:
            np.savez(file, pictures.images, pictures.targets, pictures.boxes)
        return pictures
    with np.load(file) as kept:
        images, targets, boxes = kept.values()
    return Pictures(torch.from_numpy(images), torch.from_numpy(targets), boxes)


def make_pictures(count: int, seed: int) -> Pictures:
    """Draw a number of scenes, with one process per core."""
    made = drawn(_picture, [(seed, index) for index in range(count)])
    images, targets, boxes = zip(*made, strict=True)
    return Pictures(
        torch.from_numpy(np.stack(images)), torch.tensor(targets), np.array(boxes, dtype=int)
    )


def _picture(seed: int, index: int) -> tuple[np.ndarray, int, tuple[float, ...]]:
    made = scene(seed, index, (SIDE, SIDE))
    return np.asarray(made.image), made.target, made.box.as_tuple()


def train(name: str, pictures: Pictures) -> nn.Module:
    """Return a trained network, in evaluation mode."""
    recipe = RECIPES[name]
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = getattr(networks, name)(**recipe.options).to(memory_format=torch.channels_last)

    def loss_of(chosen: np.ndarray, progress: float) -> Tensor:
        images = _augment(pictures, chosen, progress, recipe.size, random)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half):
            scores = network(images)
        targets = pictures.targets[chosen]
        return functional.cross_entropy(scores.float(), targets, label_smoothing=0.05)

    return fit(
        name,
        network,
        rate=recipe.rate,
        steps=recipe.samples // BATCH,
        chosen=batches(len(pictures.targets), BATCH, random),
        loss_of=loss_of,
    )


def _augment(
    pictures: Pictures, chosen: np.ndarray, progress: float, size: int, random: np.random.Generator
) -> Tensor:
    """Return a batch as a network's input, augmented: crop, rotation, mirroring and brightness.

    A smaller crop gives a smaller input, so that objects keep their size.
    """
    low = FIRST_CROP + (LAST_CROP - FIRST_CROP) * min(1.0, progress / GROWN)
    share = random.uniform(low, low + CROP_RANGE)
    side = round(share * SIDE)
    pixels = min(size, max(round(size / DEFAULT_CROP * share / 16), 3) * 16)
    cuts = [_cut(pictures, index, side, random) for index in chosen]
    images = torch.stack(cuts).permute(0, 3, 1, 2).float() / 255
    images = functional.interpolate(images, size=(pixels, pixels), mode="bilinear", antialias=True)
    return as_input(images)


def _cut(pictures: Pictures, index: int, side: int, random: np.random.Generator) -> Tensor:
    left, top, right, bottom = pictures.boxes[index]
    x, y = (
        random.integers(max(0, stop - side), min(SIDE - side, start) + 1)
        for start, stop in ((left, right), (top, bottom))
    )
    cut = pictures.images[index, y : y + side, x : x + side]
    return turned(cut, random)


def measure(name: str, path: Path, held_out: list[Scene]) -> dict[str, float]:
    """Return the accuracy on held-out scenes and the share of pointing hits, both in %."""
    (spec,) = (each for each in specs() if each.name == f"demo_{name}")
    spec = replace(spec, checkpoint=path)
    comparison = compare(held_out, spec, progress=False)
    pairs = list(zip(comparison, held_out, strict=True))
    right = np.mean([cell.predicted == each.target for cell, each in pairs])
    hits = np.mean([each.is_hit(cell.upsampled()) for cell, each in pairs])
    return {"accuracy": round(100 * float(right), 1), "pointing": round(100 * float(hits), 1)}


if __name__ == "__main__":
    main()
