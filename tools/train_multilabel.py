"""Train the demo model of several labels: ``python tools/train_multilabel.py [--scenes 2400]``.

It begins with the weights of ``demo_densenet``, without most layers of the last block, and learns
from scenes of one to three objects which of the ten classes are there, each with a probability of
its own (binary cross-entropy). Boxes tell which objects are in a crop, and serve for nothing else.
The result is ``src/effcam/demo/weights/demo_multilabel.safetensors``, in half precision. Everything
is seeded. It takes about ten minutes on 2 CPU cores.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from effcam.demo import networks
from effcam.demo.models import WEIGHTS
from effcam.demo.scenes import LABELS, MOST_OBJECTS, scene
from effcam.images.preprocess import Preprocess
from training import save  # the tool beside this one

SIDE = 128
"""The side of the scenes in px, of which the network's input is the central 112."""
SEED = 3_000
BATCH = 32
CROP = (0.6, 1.0)
"""The crop as a share of a scene's side."""
SEEN, UNSEEN = 0.7, 0.1
"""An object is there if this share of its box is in the crop, and not there below the other."""


@dataclass(frozen=True)
class Pictures:
    """Scenes as arrays: (n, SIDE, SIDE, 3) uint8, and (n, 10, 4) boxes in px, NaN where none is."""

    images: np.ndarray
    boxes: np.ndarray


def main() -> None:
    """Train the network, and write its weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=2_400, help="to train on; default 2,400")
    parser.add_argument("--samples", type=int, default=32_000, help="default 32,000")
    parser.add_argument("--pictures", type=Path, help="an .npz file to cache them between runs")
    parser.add_argument("--processes", type=int, default=2, help="to draw scenes; default 2")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="the folder for weights")
    options = parser.parse_args()
    pictures = kept_pictures(options.pictures, options.scenes, options.processes)
    network = train(pictures, options.samples // BATCH)
    path = save(network, options.output / "demo_multilabel.safetensors")
    print(f"{path}: {path.stat().st_size:,} bytes")


def kept_pictures(file: Path | None, count: int, processes: int) -> Pictures:
    """Return the scenes, drawn unless they are in a file."""
    if file is not None and file.is_file():
        with np.load(file) as kept:
            return Pictures(kept["images"], kept["boxes"])
    start = time.perf_counter()
    with get_context("fork").Pool(processes) as pool:
        made = pool.map(draw, range(count), chunksize=20)
    images, boxes = zip(*made, strict=True)
    pictures = Pictures(np.stack(images), np.stack(boxes))
    print(f"{count} scenes made in {time.perf_counter() - start:.0f} s", flush=True)
    if file is not None:
        np.savez(file, images=pictures.images, boxes=pictures.boxes)
    return pictures


def draw(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene of one to three objects, and the boxes of the classes."""
    made = scene(SEED, index, (SIDE, SIDE), 1 + index % MOST_OBJECTS)
    boxes = np.full((len(LABELS), 4), np.nan, np.float32)
    for each in made.objects:
        boxes[each.target] = each.box.as_tuple()
    return np.asarray(made.image), boxes


def begin() -> nn.Module:
    """Return the network with the weights of ``demo_densenet`` that fit into it."""
    torch.manual_seed(0)
    network = networks.multilabel()
    known = load_file(WEIGHTS / "demo_densenet.safetensors")
    state = network.state_dict()
    for name, own in state.items():
        if name in known:
            cut = tuple(slice(0, length) for length in own.shape)
            own.copy_(known[name].float()[cut])
    network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last)


def train(pictures: Pictures, steps: int) -> nn.Module:
    """Return the trained network, in evaluation mode."""
    network, random = begin(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05)
    schedule = OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.15)
    average, start = 0.0, time.perf_counter()
    for step in range(steps):
        chosen = random.integers(0, len(pictures.images), BATCH)
        images, truth = augment(pictures, chosen, random)
        scores = network(images)
        known = truth.isfinite()
        loss = functional.binary_cross_entropy_with_logits(scores[known], truth[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average += 0.02 * (loss.item() - average) if step else loss.item()
        if step % 100 == 99:
            spent = time.perf_counter() - start
            print(f"{step + 1} of {steps} steps, loss {average:.3f}, {spent:.0f} s", flush=True)
    return network.eval()


def augment(
    pictures: Pictures, chosen: np.ndarray, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch as the network's input, and (n, 10) 1 where a class is there, 0 where not.

    It is NaN where only a part of an object is in the crop.
    """
    side = round(random.uniform(*CROP) * SIDE)
    pixels = round(side / 16) * 16
    cuts, truths = [], []
    for index in chosen:
        x, y = random.integers(0, SIDE - side + 1, 2)
        cut = torch.from_numpy(pictures.images[index, y : y + side, x : x + side])
        cut = torch.rot90(cut, int(random.integers(4)))
        cuts.append(cut.flip(0) if random.random() < 0.5 else cut)
        truths.append(presence(pictures.boxes[index], x, y, side))
    images = torch.stack(cuts).permute(0, 3, 1, 2).float() / 255
    images = functional.interpolate(images, size=(pixels, pixels), mode="bilinear", antialias=True)
    count = len(chosen)
    images *= torch.empty(count, 1, 1, 1).uniform_(0.7, 1.3)
    images *= torch.empty(count, 3, 1, 1).uniform_(0.85, 1.15)
    usual = Preprocess()
    mean, std = (torch.tensor(each)[:, None, None] for each in (usual.mean, usual.std))
    normal = (images.clamp_(0, 1) - mean) / std
    return normal.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack(truths))


def presence(boxes: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    """Return (10,) float32 whether each class is in a crop, NaN for a part of an object."""
    left, top, right, bottom = boxes.T
    across = np.clip(np.minimum(right, x + side) - np.maximum(left, x), 0, None)
    down = np.clip(np.minimum(bottom, y + side) - np.maximum(top, y), 0, None)
    share = np.nan_to_num(across * down / ((right - left) * (bottom - top)))
    found = np.where(share >= SEEN, 1.0, np.where(share <= UNSEEN, 0.0, np.nan))
    return np.asarray(found, np.float32)


if __name__ == "__main__":
    main()
