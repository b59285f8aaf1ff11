"""Train the demo model of two towers: ``python tools/train_demo_clip.py [--scenes 5000]``.

Draws scenes of one or two objects with their captions, trains on the captions only, and writes
``src/effcam/demo/weights/demo_clip.safetensors`` in half precision. Everything is seeded. The image
tower starts from the weights of the demo's ResNet, which ``tools/train_demo.py`` trained, and keeps
its first convolution, which takes more than half of the time of training.

The loss is SigLIP's (Zhai et al. 2023, arXiv:2303.15343): each image and each text of a batch are a
pair, which fits or not. Two images of a batch often show the same things, so whether a pair fits is
not whether the text was written for the image, but whether it is true of it.

The results are written to ``tools/train_demo_clip.csv``. They are measured on held-out scenes and
the written file.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from effcam.demo import LABELS
from effcam.demo.captions import COLOURS, Caption, captioned_scene
from effcam.demo.models import WEIGHTS
from effcam.demo.two_tower import TwoTower
from effcam.images.preprocess import Preprocess
from training import add_to_log, as_input, batches, drawn, fit, save, size_of, turned

LOG = Path(__file__).with_suffix(".csv")
NAME = "clip"
SIDE, SIZE = 128, 112
TRAIN_SEED, HELD_OUT_SEED = 1_000, 2_000
HELD_OUT, GROUP = 320, 32
SAMPLES, BATCH, RATE = 48_000, 32, 2e-3
TEXTS = 4
"""How many captions of an image are in a batch, beside one that is wrong."""
PREFIXES = ("", "", "", "a photo of ", "a picture of ", "the picture of ")


@dataclass(frozen=True)
class Captioned:
    """Scenes as arrays (n, SIDE, SIDE, 3) uint8, and all that can be said of each."""

    images: Tensor
    captions: list[Caption]


def main() -> None:
    """Train the model, and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=5_000, help="to train on; default 5,000")
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"default {SAMPLES:,}")
    parser.add_argument("--pictures", type=Path, help="an .npz file to cache them between runs")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="the folder for weights")
    options = parser.parse_args()
    pictures = kept_pictures(options.pictures, options.scenes)
    start = time.perf_counter()
    path = save(train(pictures, options.samples), options.output / f"demo_{NAME}.safetensors")
    row = {"network": NAME, **size_of(path), "samples": options.samples, **measure(path)}
    print(f"{row} in {time.perf_counter() - start:.0f} s", flush=True)
    add_to_log(LOG, row, [NAME])


def kept_pictures(file: Path | None, count: int) -> Captioned:
    """Return training scenes, from a file if they are there; one in five has one object only."""
    if file is None or not file.is_file():
        start = time.perf_counter()
        made = drawn(_picture, [(index, 1 if index % 5 == 0 else 2) for index in range(count)])
        print(f"{count} scenes made in {time.perf_counter() - start:.0f} s", flush=True)
        images, captions = (list(each) for each in zip(*made, strict=True))
        if file is not None:
            np.savez(file, np.stack(images), np.array([_as_row(each) for each in captions]))
        return Captioned(torch.from_numpy(np.stack(images)), captions)
    with np.load(file) as kept:
        images, rows = kept.values()
    return Captioned(torch.from_numpy(images), [_from_row(row) for row in rows])


def _picture(index: int, objects: int) -> tuple[np.ndarray, Caption]:
    made = captioned_scene(TRAIN_SEED, index, SIDE, SIDE, objects)
    return np.asarray(made.image), made.caption


def _as_row(caption: Caption) -> str:
    return " ".join([str(caption.ground), *(word for pair in caption.objects for word in pair)])


def _from_row(row: str) -> Caption:
    ground, *words = row.split()
    return Caption(tuple(zip(words[::2], words[1::2], strict=True)), ground)


def train(pictures: Captioned, samples: int) -> TwoTower:
    """Return the trained model."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = _untrained()

    def loss_of(chosen: np.ndarray, progress: float) -> Tensor:
        del progress
        shown = [pictures.captions[index] for index in chosen]
        said = [each for full in shown for each in _said_of(full, random)]
        texts = [f"{random.choice(PREFIXES)}{each}" for each in said]
        fits = torch.tensor([[each.is_true_of(full) for each in said] for full in shown])
        scores = network(_augment(pictures, chosen, random), network.tokenizer(texts))
        return functional.binary_cross_entropy_with_logits(scores, fits.float())

    fit(
        NAME,
        network,
        rate=RATE,
        steps=samples // BATCH,
        chosen=batches(len(pictures.captions), BATCH, random),
        loss_of=loss_of,
    )
    return network


def _untrained() -> TwoTower:
    """Return the model with the features of the demo's ResNet; the first layer stays as it is."""
    network = TwoTower(output_stride=16)
    known = load_file(WEIGHTS / "demo_resnet.safetensors")
    features = {name: each.float() for name, each in known.items() if not name.startswith("fc.")}
    network.visual.load_state_dict(features, strict=False)
    for first in (network.visual.conv1, network.visual.bn1):
        first.requires_grad_(False).eval()
    return network.to(memory_format=torch.channels_last)


def _augment(pictures: Captioned, chosen: np.ndarray, random: np.random.Generator) -> Tensor:
    """Return a batch as the model's input: a crop, turned, perhaps mirrored, of varied light."""
    cuts = []
    for index in chosen:
        y, x = random.integers(0, SIDE - SIZE + 1, 2)
        cuts.append(turned(pictures.images[index, y : y + SIZE, x : x + SIZE], random))
    return as_input(torch.stack(cuts).permute(0, 3, 1, 2).float() / 255)


def _said_of(full: Caption, random: np.random.Generator) -> list[Caption]:
    """Return captions that are true of a scene, and one that is nearly true."""
    true = [_part(full, random) for _ in range(TEXTS)]
    return [*true, _altered(_part(full, random), random)]


def _part(full: Caption, random: np.random.Generator) -> Caption:
    """Return a caption that names some of what another one does."""
    count = random.integers(1, len(full.objects) + 1)
    chosen = [full.objects[at] for at in random.permutation(len(full.objects))[:count]]
    named = tuple((colour if random.random() < 0.6 else None, label) for colour, label in chosen)
    return Caption(named, full.ground if random.random() < 0.4 else None)


def _altered(caption: Caption, random: np.random.Generator) -> Caption:
    """Return a caption with the colours exchanged, or with another colour or object."""
    colours = [colour for colour, _ in caption.objects]
    labels = [label for _, label in caption.objects]
    at = random.integers(len(labels))
    if random.random() < 0.5 and len(set(colours)) > 1:
        colours.reverse()
    elif colours[at] is not None and random.random() < 0.5:
        colours[at] = str(random.choice(list(COLOURS)))
    else:
        labels[at] = str(random.choice([each for each in LABELS if each not in labels]))
    return Caption(tuple(zip(colours, labels, strict=True)), caption.ground)


@torch.no_grad()
def measure(path: Path) -> dict[str, float]:
    """Return figures of a file of weights on held-out scenes, in %.

    Naming is how often the best of ten texts names the object of a scene of one; retrieval, how
    often the best of the captions of 32 scenes of two objects is true of a scene.
    """
    network = TwoTower().eval()
    state = {name: each.float() for name, each in load_file(path).items()}
    network.load_state_dict(state, strict=False)
    kinds = [Caption(((None, label),)) for label in LABELS]
    naming, retrieval = [], []
    for start in range(0, HELD_OUT, GROUP):
        for objects, found in ((1, naming), (2, retrieval)):
            drawn = [
                captioned_scene(HELD_OUT_SEED, index, SIDE, SIDE, objects)
                for index in range(start, start + GROUP)
            ]
            full = [each.caption for each in drawn]
            said = kinds if objects == 1 else full
            images = torch.stack([Preprocess(size=(SIZE, SIZE))(each.image)[0] for each in drawn])
            best = network(images, network.tokenizer([str(each) for each in said])).argmax(1)
            found += [said[at].is_true_of(own) for at, own in zip(best, full, strict=True)]
    return {
        "naming": round(100 * float(np.mean(naming)), 1),
        "retrieval": round(100 * float(np.mean(retrieval)), 1),
    }


if __name__ == "__main__":
    main()
