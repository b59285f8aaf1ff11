"""Real passes show what goes past a layer, and whether its cells lie where the image changes."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import Tensor, nn

from effcam import Preprocess
from effcam.errors import LayerError
from effcam.models.tracing.causal_check import CausalCheck, check_causes
from effcam.models.tracing.layer_outputs import put_first
from effcam.models.tracing.target_layer import TargetLayer

SEES = Preprocess(size=64, mean=0.5, std=0.25)


class Past(nn.Module):
    """Scores that depend on a map by one share, and on the mean colour by the rest."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.body = nn.AvgPool2d(8)
        self.share = share
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        through = self.body(images).mean((2, 3))
        return self.scale * ((1 - self.share) * through + self.share * images.mean((2, 3)))


def check(module: nn.Module, layout: str = "NCHW", grid: int = 8, channels: int = 3) -> CausalCheck:
    layer = TargetLayer(layout, (grid, grid), channels, 0, "body")  # type: ignore[arg-type]
    return check_causes(module.eval(), [layer], SEES)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_the_share_is_what_the_scores_still_move(share: float) -> None:
    found = check(Past(share))
    assert found.bypass == pytest.approx(share, abs=1e-4)
    assert found.in_place == (True,)


def test_a_share_within_rounding_is_zero() -> None:
    assert check(Past(1e-7)).bypass == 0


class Arranged(nn.Module):
    """Rearranges the cells of a map."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.pool, self.body, self.way = nn.AvgPool2d(8), nn.Identity(), way
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        cells = self.scale * self.pool(images)
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(64, generator=generator)
        moved = {
            "as they lie": lambda: cells,
            "mirrored": lambda: cells.flip(3),
            "upside down": lambda: cells.flip(2),
            "transposed": lambda: cells.mT,
            "rolled": lambda: cells.roll(4, 3),
            "shuffled": lambda: cells.flatten(2)[:, :, order].reshape(cells.shape),
            "all alike": lambda: cells.mean((2, 3), keepdim=True).expand_as(cells),
            "a little mixed": lambda: cells + cells.mean((2, 3), keepdim=True),
        }[self.way]()
        scores: Tensor = self.body(moved).mean((2, 3))
        return scores


@pytest.mark.parametrize(
    ("way", "follows"),
    [
        ("as they lie", True),
        ("a little mixed", True),
        ("mirrored", False),
        ("upside down", False),
        ("transposed", False),
        ("rolled", False),
        ("shuffled", False),
        ("all alike", None),
    ],
)
def test_cells_must_follow_what_moves_in_the_image(way: str, follows: bool | None) -> None:
    assert check(Arranged(way)).in_place == (follows,)


@pytest.mark.parametrize(("grid", "follows"), [(2, True), (1, None)])
def test_one_cell_shows_no_place(grid: int, follows: bool | None) -> None:
    class Coarse(Past):
        def __init__(self) -> None:
            super().__init__(0.0)
            self.body = nn.AvgPool2d(64 // grid)

    assert check(Coarse(), grid=grid).in_place == (follows,)


def test_cells_that_never_change_give_no_answer() -> None:
    class Dead(Past):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.body = nn.Sequential(nn.AvgPool2d(8), nn.Threshold(1e9, 0.0))

    found = check(Dead())
    assert (found.bypass, found.in_place) == (1.0, (None,))


def test_an_output_is_put_back_in_its_own_form() -> None:
    old, new = torch.zeros(1), torch.ones(1)
    pair = namedtuple("pair", "map other")
    assert put_first(old, new) is new
    assert put_first((old, 3), new) == (new, 3)
    assert put_first([old, 3], new) == [new, 3]
    assert put_first(pair(old, 3), new) == pair(new, 3)


class Selects(nn.Module):
    """Keeps as many tokens as the image has bright cells."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.body = nn.AvgPool2d(8), nn.Identity()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.pool(self.scale * images).flatten(2).transpose(1, 2)
        kept = int((tokens.mean(-1) > 0).sum(1).amin())
        return torch.as_tensor(self.body(tokens[:, : max(1, kept)]).mean(1))


def test_a_layer_whose_size_depends_on_the_image_is_refused() -> None:
    with pytest.raises(LayerError, match=r"'body' returned .* its size depends on the picture"):
        check(Selects(), "tokens")
