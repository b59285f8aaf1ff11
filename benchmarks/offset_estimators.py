"""Other ways to measure the offset of a network's cells, beside effcam's stripes.

Each takes a model, a pitch in px and a number of pictures, and returns (pictures, 2) offsets, down
and across. They need no photos: pictures are noise with the spectrum of photos, as effcam's are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from effcam import Model
from effcam.models.tracing.layer_run import run_layers
from effcam.models.tracing.probe import probe_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Estimator = Callable[[Model, float, int], Array]

MOVES = range(-48, 49, 8)
"""How far a mirror image is moved, px."""


def maps(model: Model, images: Tensor) -> Tensor:
    """Return the (n, channels, rows, columns) maps of images."""
    _, (output,) = run_layers(model.module, [model.layer], images, model.scores)
    return model.layer.to_map(output)


def by_gradient(model: Model, pitch: float, pictures: int, *, median: bool = False) -> Array:
    """Return offsets by where the squared gradient of a middle cell lies.

    The cell's channels are weighted at random. The centre is the mean or the median over px.
    """
    found = []
    for seed in range(pictures):
        images = probe_inputs(model.preprocess, 1, seed=seed).requires_grad_()
        generator = torch.Generator().manual_seed(seed)
        cells = maps(model, images)
        place = [
            count // 2 - (0 if count % 2 else int(torch.randint(0, 2, (1,), generator=generator)))
            for count in cells.shape[2:]
        ]
        weights = torch.randn(cells.shape[1], generator=generator)
        (gradient,) = torch.autograd.grad(cells[0, :, place[0], place[1]] @ weights, images)
        energy = gradient[0].square().sum(0).double().numpy()
        found.append(
            [
                _centre(energy.sum(1 - axis), median=median)
                - _expected(cells.shape[2 + axis], energy.shape[axis], pitch, place[axis])
                for axis in (0, 1)
            ]
        )
    return np.array(found)


def _centre(along: Array, *, median: bool) -> float:
    places = np.arange(len(along)) + 0.5
    if median:
        return float(np.interp(0.5, along.cumsum() / along.sum(), places + 0.5))
    return float(along @ places / along.sum())


def _expected(cells: int, pixels: int, pitch: float, at: float) -> float:
    """Return where the centre of a cell is without an offset, px."""
    return pixels / 2 + (at - (cells - 1) / 2) * pitch


@torch.no_grad()
def by_patches(model: Model, pitch: float, pictures: int) -> Array:
    """Return offsets by the cells that change with a square patch, half a cell wide."""
    found = []
    width = round(pitch / 2)
    for seed in range(pictures):
        picture, other = probe_inputs(model.preprocess, 2, seed=seed)
        away = np.random.default_rng(seed).uniform(-pitch / 2, pitch / 2, 2)
        starts = [
            [
                round(side / 2 + sign * each - width / 2)
                for side, each in zip(picture.shape[1:], away, strict=True)
            ]
            for sign in (1, -1)
        ]
        images = picture.repeat(3, 1, 1, 1)
        for image, (top, left) in zip(images[1:], starts, strict=True):
            part = slice(top, top + width), slice(left, left + width)
            image[:, *part] = other[:, *part]
        before, *after = maps(model, images)
        offsets = []
        for cells, start in zip(after, starts, strict=True):
            change = (cells - before).square().sum(0).double().numpy()
            for axis in (0, 1):
                along = change.sum(1 - axis)
                centre = float(along @ np.arange(len(along)) / along.sum())
                expected = _expected(len(along), picture.shape[1 + axis], pitch, centre)
                offsets.append(start[axis] + width / 2 - expected)
        found.append(np.array(offsets).reshape(2, 2).mean(0))
    return np.array(found)


@torch.no_grad()
def by_mirror(model: Model, _pitch: float, pictures: int) -> Array:
    """Return offsets by the move of a mirror image whose map, mirrored back, fits best.

    It needs features that do not change when the image is mirrored: trained networks have them
    across, hardly down, and those with random weights have none. The place of the best fit is known
    for several pictures only, so each of the values returned leaves out one picture (jackknife) and
    is spread to the error of a single one.
    """
    height, width = model.preprocess.size
    margin = MOVES[-1]
    fits = np.zeros((pictures, 2, len(MOVES)))
    for seed in range(pictures):
        larger = probe_inputs(
            type(model.preprocess)(
                size=(height + 2 * margin, width + 2 * margin),
                mean=model.preprocess.mean,
                std=model.preprocess.std,
            ),
            1,
            seed=seed,
        )

        def cut(down: int, across: int, larger: Tensor = larger) -> Tensor:
            top, left = margin - down, margin - across
            return larger[:, :, top : top + height, left : left + width]

        plain = maps(model, cut(0, 0).contiguous())
        mean = plain.mean((2, 3), keepdim=True)
        for axis in (0, 1):
            moved = [cut(*((move, 0) if axis == 0 else (0, move))).flip(2 + axis) for move in MOVES]
            mirrored = maps(model, torch.cat(moved)).flip(2 + axis)
            one, others = (plain - mean).flatten(1), (mirrored - mean).flatten(1)
            fits[seed, axis] = torch.cosine_similarity(one, others).numpy()
    best = np.array([[_best(fits[:, axis].mean(0)) for axis in (0, 1)]])
    without = np.array(
        [
            [_best(np.delete(fits[:, axis], seed, 0).mean(0)) for axis in (0, 1)]
            for seed in range(pictures)
        ]
    )
    return -(best + (best - without) * (pictures - 1)) / 2


def _best(fits: Array) -> float:
    """Return the move at the top of a parabola through the best fits."""
    at = int(fits.argmax())
    near = slice(max(at - 2, 0), at + 3)
    square, slope, _ = np.polyfit(np.array(MOVES)[near], fits[near], 2)
    return (
        float(np.clip(-slope / (2 * square), MOVES[0], MOVES[-1]))
        if square < 0
        else float(MOVES[at])
    )
