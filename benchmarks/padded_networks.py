"""One small network in three paddings, trained on drawn shapes: padding is all that differs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from timm.layers import create_conv2d
from torch import Tensor, nn
from torch.nn import functional

import effcam
from effcam import Box, Model, Preprocess
from effcam.images.refs import ImageRef
from effcam.models.tracing.probe import probe_pixels

PADDINGS = {"torch": "", "same": "same", "none": "valid"}
"""The networks' paddings, as timm calls them: equal on both sides; as TensorFlow's "same", which
has one more at the end where the stride is 2; none."""
SEEDS = 3
SIZE = 128
WIDTHS = (12, 24, 48, 64)
BATCH, RATE = 64, 4e-3
SHAPES = ("disc", "square", "cross", "ring", "diamond", "bars")
RADII = 10, 16  # px
BACKGROUNDS = 128


class Drawn(NamedTuple):
    """Pictures of one shape each, before a background like the noise of photos.

    ``pixels`` are (n, SIZE, SIZE, 3) uint8, ``targets`` (n,), ``boxes`` the shapes' boxes.
    """

    pixels: np.ndarray
    targets: np.ndarray
    boxes: list[Box]

    def images(self) -> list[ImageRef]:
        """Return the pictures for a comparison."""
        return [
            ImageRef(f"shape {at}", Image.fromarray(each)) for at, each in enumerate(self.pixels)
        ]


def draw(count: int, seed: int) -> Drawn:
    """Return drawn pictures; shapes lie anywhere, as a whole."""
    rng = np.random.default_rng(seed)
    backgrounds = probe_pixels((SIZE, SIZE), 3, BACKGROUNDS, seed=seed)
    pixels, boxes = [], []
    targets = rng.integers(len(SHAPES), size=count)
    for target in targets:
        radius = rng.uniform(*RADII)
        x, y = rng.uniform(radius, SIZE - radius, 2)
        picture = np.roll(
            backgrounds[rng.integers(BACKGROUNDS)], tuple(rng.integers(SIZE, size=2)), (0, 1)
        )
        image = Image.fromarray(picture)
        colour = tuple(int(each) for each in rng.integers(256, size=3))
        _draw_shape(ImageDraw.Draw(image), SHAPES[target], (x, y, radius), colour)
        pixels.append(np.asarray(image))
        boxes.append(Box(x - radius, y - radius, x + radius, y + radius))
    return Drawn(np.stack(pixels), targets, boxes)


def _draw_shape(
    pen: ImageDraw.ImageDraw, shape: str, place: tuple[float, float, float], colour: object
) -> None:
    x, y, r = place
    corners = (x - r, y - r, x + r, y + r)
    match shape:
        case "disc":
            pen.ellipse(corners, fill=colour)
        case "square":
            pen.rectangle(corners, fill=colour)
        case "ring":
            pen.ellipse(corners, outline=colour, width=4)
        case "diamond":
            pen.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=colour)
        case "cross":
            pen.rectangle((x - r, y - r / 3, x + r, y + r / 3), fill=colour)
            pen.rectangle((x - r / 3, y - r, x + r / 3, y + r), fill=colour)
        case "bars":
            for top in (-1, -1 / 3, 1 / 3):
                pen.rectangle((x - r, y + top * r, x + r, y + (top + 1 / 3) * r), fill=colour)


class PaddedNet(nn.Module):
    """Four strides of 2, the last two followed by a further convolution: cells 16 px apart."""

    def __init__(self, padding: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for at, width in enumerate(WIDTHS):
            layers += _block(channels, width, padding, 2)
            if at > 1:
                layers += _block(width, width, padding, 1)
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, len(SHAPES))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


def train_padded(padding: str, seed: int, samples: int) -> Model:
    """Return a trained network, by name of its padding."""
    torch.manual_seed(seed)
    network = PaddedNet(PADDINGS[padding]).train()
    preprocess = Preprocess(size=(SIZE, SIZE))
    steps = samples // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    pixels, targets, _ = draw(samples, 1_000 + seed)
    for step in range(steps):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        scores = network(preprocess.normalise(torch.from_numpy(pixels[batch])))
        loss = functional.cross_entropy(scores, torch.from_numpy(targets[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return effcam.load_model(network.eval(), preprocess=preprocess, labels=SHAPES)


def _block(inputs: int, outputs: int, padding: str, stride: int) -> list[nn.Module]:
    convolution = create_conv2d(inputs, outputs, 3, stride=stride, padding=padding)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
