"""Whether the cells of a map follow a patch, by one picture and by several."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import effcam
from effcam.models.tracing.place_check import MOVED, SURE, add_patches, follows, is_unsure

SIZE = 64


def moves(mass: float, along: float, across: float = 0.0) -> Tensor:
    return torch.tensor([[mass, along, across]] * 2, dtype=torch.float64)


def several(mass: float, along: float, noise: float) -> list[Tensor]:
    """Return nine moves whose distances are spread around one."""
    generator = torch.Generator().manual_seed(0)
    drawn = noise * torch.randn(9, generator=generator, dtype=torch.float64)
    return [moves(mass, along + float(each)) for each in drawn]


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (moves(0.8, 0.9), True),
        (moves(0.3, 0.3), True),
        (moves(0.8, 0.1), False),
        (moves(0.8, -0.9), False),
        (moves(0.8, 0.6, across=-0.7), False),
    ],
)
def test_one_picture_is_enough_where_much_moves(found: Tensor, answer: bool) -> None:
    assert not is_unsure(found)
    assert follows([found]) is answer


def test_one_picture_is_too_few_where_little_moves() -> None:
    little = moves(MOVED / 2, MOVED / 2)
    assert is_unsure(little)
    assert follows([little]) is None
    assert not is_unsure(None)
    assert follows([]) is follows([None]) is None


def test_several_pictures_tell_a_small_move_from_none() -> None:
    assert follows(several(0.05, 0.05, noise=0.01)) is True
    assert follows(several(0.05, 0.0, noise=0.01)) is False
    assert follows([None, *several(0.05, 0.0, noise=0.01)]) is False


def test_noise_gives_no_answer() -> None:
    assert follows(several(0.05, 0.03, noise=0.05)) is None
    assert follows(several(0.05, 0.0, noise=0.05 * SURE)) is None
    # All cells are equal.
    assert follows(several(0.004, 0.0, noise=0.0001)) is None


def test_patches_are_put_in_each_corner() -> None:
    patched = add_patches(torch.zeros(1, 4, 6), torch.ones(1, 4, 6))
    assert patched.sum((1, 2, 3)).tolist() == [6, 6, 6, 6]
    corners = patched[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners, torch.eye(4))


class States(nn.Module):
    """Pools places into as many states as a grid has cells, and reads them beside the map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 8, 8), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1)
        )
        self.weigh, self.norm = nn.Conv2d(24, 16, 1), nn.LayerNorm(24)
        self.head, self.other = nn.Linear(24, 5), nn.Linear(24, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        weights = self.weigh(maps).flatten(2).softmax(2)
        states = self.norm(weights @ maps.flatten(2).transpose(1, 2))
        scores: Tensor = self.head(maps.mean((2, 3))) + self.other(states.mean(1))
        return scores


def test_hidden_states_are_no_cells() -> None:
    torch.manual_seed(0)
    model = effcam.load_model(States().eval(), preprocess=effcam.Preprocess(size=SIZE))
    assert [layer.name for layer in model.target_layers] == ["stem"]
    assert model.bypass == 0
