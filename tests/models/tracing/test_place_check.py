"""Whether the cells of a map follow a patch, by one picture and by several."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import effcam
from effcam.models.tracing.place_check import CLEAR, Place, add_patches, follows, is_unsure

SIZE = 64


def several(share: float, noise: float, moved: float = 0.05) -> list[Place]:
    """Return nine places whose shares are spread around one."""
    generator = torch.Generator().manual_seed(0)
    drawn = noise * torch.randn(9, generator=generator)
    return [Place(share + float(each), moved) for each in drawn]


def test_one_picture_is_enough_where_cells_clearly_follow() -> None:
    clear = Place(CLEAR + 0.05, 0.8)
    assert not is_unsure(clear)
    assert follows([clear]) is True


def test_one_picture_is_too_few_for_doubts() -> None:
    doubtful = Place(0.3, 0.8)
    assert is_unsure(doubtful)
    assert follows([doubtful]) is None
    assert not is_unsure(None)
    assert follows([]) is follows([None]) is None


def test_several_pictures_tell_chance_from_place() -> None:
    assert follows([Place(0.65, 0.05), *several(0.8, noise=0.05)]) is True
    assert follows(several(0.25, noise=0.1)) is False
    assert follows([None, *several(0.5, noise=0.03)]) is False


def test_noise_gives_no_answer() -> None:
    assert follows([Place(0.5, 0.05), *several(0.58, noise=0.1)]) is None
    # All cells are equal.
    assert follows(several(0.25, noise=0.1, moved=0.004)) is None


@pytest.mark.parametrize("size", [(8, 12), (9, 13), (64, 64)])
def test_one_patch_is_put_in_each_quarter(size: tuple[int, int]) -> None:
    patched = add_patches(torch.zeros(1, *size), torch.ones(1, *size))
    assert patched.shape == (4, 1, *size)
    assert len(set(patched.sum((1, 2, 3)).tolist())) == 1
    assert float(patched.sum(0).amax()) == 1
    rows, columns = (torch.arange(count) + 0.5 for count in size)
    for copy, (row, column) in zip(patched, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        mass = copy[0] / copy.sum()
        assert (float(mass.sum(1) @ rows) > size[0] / 2) == row
        assert (float(mass.sum(0) @ columns) > size[1] / 2) == column


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
        weights = (20 * self.weigh(maps)).flatten(2).softmax(2)
        states = self.norm(weights @ maps.flatten(2).transpose(1, 2))
        scores: Tensor = self.head(maps.mean((2, 3))) + self.other(states.mean(1))
        return scores


def test_hidden_states_are_no_cells() -> None:
    torch.manual_seed(0)
    model = effcam.load_model(States().eval(), preprocess=effcam.Preprocess(size=SIZE))
    assert [layer.name for layer in model.target_layers] == ["stem"]
    assert model.bypass == 0
