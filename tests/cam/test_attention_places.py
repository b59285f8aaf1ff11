"""Where tokens of attention lie in networks that arrange them in unusual ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import effcam
from effcam.cam.attention.layout import Layer
from effcam.cam.explain import compute_cams
from tests.cam.test_attention import images, layers_of, made, own

CELLS, WINDOW, HALO = 8, 4, 1
WIDE = WINDOW + 2 * HALO


class Halo(nn.Module):
    """Attention in 2 x 2 windows of 4 x 4 queries, whose keys reach one cell further."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.query = nn.Conv2d(8, 8, 1)
        self.both = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        cells = self.patches(pictures)
        query = self.query(cells).unflatten(2, (2, WINDOW)).unflatten(4, (2, WINDOW))
        query = query.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)
        both = functional.pad(self.both(cells), [HALO] * 4)
        both = both.unfold(2, WIDE, WINDOW).unfold(3, WIDE, WINDOW)
        key, value = both.permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(1, 2).chunk(2, -1)
        self.matrix = (query @ key.transpose(-2, -1)).softmax(-1)
        mixed = (self.matrix @ value).unflatten(1, (2, 2)).unflatten(3, (WINDOW, WINDOW))
        mixed = mixed.permute(0, 5, 1, 3, 2, 4).flatten(2, 3).flatten(3, 4)
        scores: Tensor = self.head((cells + mixed).mean((2, 3)))
        return scores


def by_position(matrix: Tensor) -> Tensor:
    """The (64, 64) weights between positions, of (windows, queries, keys)."""
    found = torch.zeros(CELLS**2, CELLS**2)
    for window, query, key in np.ndindex(*matrix.shape):
        row, column = divmod(window, 2)
        down, across = divmod(query, WINDOW)
        at = (row * WINDOW + down) * CELLS + column * WINDOW + across
        down, across = (each - HALO for each in divmod(key, WIDE))
        down, across = row * WINDOW + down, column * WINDOW + across
        if 0 <= down < CELLS and 0 <= across < CELLS:
            found[at, down * CELLS + across] += matrix[window, query, key]
    return found


def test_keys_of_windows_that_overlap_are_added_at_their_positions() -> None:
    net = made(Halo)
    model, batch = own(net, 32), images(32, 1)
    (layer,) = layers_of(model)
    assert layer.placed.grid == (CELLS, CELLS)
    assert layer.placed.others is not None
    assert layer.placed.others.shape == (CELLS**2, 3)
    found = compute_cams(model, batch, ["legrad", "rollout"], [1])
    net(batch)
    rolled = (by_position(net.matrix[0].detach()).mean(0) + 1 / CELLS**2) / 2
    # Keys at the border are of no cell, so that rows do not add up to 1.
    rolled = rolled.reshape(CELLS, CELLS).numpy()
    np.testing.assert_allclose(found.maps["rollout"][0], rolled, atol=1e-6)
    score = net(batch)[0, 1]
    (slope,) = torch.autograd.grad(score, net.matrix)
    expected = by_position(slope[0].clamp(min=0)).mean(0) * CELLS**2 / WINDOW**2
    heat = found.maps["legrad"][0]
    np.testing.assert_allclose(heat, expected.reshape(CELLS, CELLS), atol=1e-4 * heat.max())


class OwnPatches(nn.Module):
    """Tokens that are patches of pixels, without a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(192, 12)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 4)

    def tokens(self, pictures: Tensor) -> Tensor:
        patches = pictures.unflatten(2, (-1, 8)).unflatten(4, (-1, 8)).permute(0, 2, 4, 1, 3, 5)
        tokens: Tensor = self.norm(self.project(patches.flatten(3).flatten(1, 2)))
        return tokens

    def mix(self, tokens: Tensor) -> Tensor:
        return (tokens @ tokens.transpose(-2, -1)).softmax(-1) @ tokens

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.tokens(pictures)
        scores: Tensor = self.head((tokens + self.mix(tokens)).mean(1))
        return scores


class WindowsFirst(OwnPatches):
    """Windows that lie before the pictures of a batch, as if each picture had parts of others."""

    def mix(self, tokens: Tensor) -> Tensor:
        windows = tokens.unflatten(1, (4, 4)).transpose(0, 1)
        mixed = super().mix(windows.flatten(0, 1)).unflatten(0, (4, -1))
        return mixed.transpose(0, 1).flatten(1, 2)


def only_layer(net: nn.Module) -> Layer:
    (layer,) = layers_of(own(net, 32))
    return layer


def test_patches_of_pixels_are_placed_by_their_pixels() -> None:
    tokens = only_layer(made(OwnPatches)).placed
    assert tokens.grid == (4, 4)
    assert tokens.keys.tolist() == list(range(16))
    assert len(tokens.prefix) == 0


def test_pictures_that_change_places_are_refused() -> None:
    net = made(WindowsFirst)
    assert only_layer(net).tokens is None
    with pytest.raises(effcam.EffcamError, match="no tokens of the image"):
        compute_cams(own(net, 32), images(32), ["legrad"])
