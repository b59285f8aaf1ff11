"""A small training whose every random choice counts, and what it leaves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import effcam

SIDE = 24
TRANSFORM = effcam.Preprocess(size=(SIDE, SIDE))
NAMES = effcam.demo.LABELS
IMAGES = effcam.demo.scenes(2, seed=3, size=48)


class Net(nn.Module):
    """A network with dropout, batch norms, one of them frozen, and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.body = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.frozen_norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, len(NAMES))
        self.stem.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.stem(images)))
        hidden = torch.relu(self.frozen_norm(self.body(hidden)))
        return self.head(self.drop(hidden.mean((2, 3))))

    def train(self, mode: bool = True) -> Net:  # torch's signature
        super().train(mode)
        self.frozen_norm.eval()
        return self


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures that are changed at random each time, by the numbers of three libraries."""

    def __init__(self, count: int = 24) -> None:
        made = torch.Generator().manual_seed(1)
        self.images = torch.randn(count, 3, SIDE, SIDE, generator=made)
        self.labels = torch.randint(len(NAMES), (count,), generator=made).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        image = self.images[at]
        if random.random() < 0.5:  # noqa: S311
            image = image.flip(2)
        image = image + float(np.random.rand()) * 0.1  # noqa: NPY002
        return image + 0.1 * torch.randn_like(image), self.labels[at]


def seed_all(seed: int = 5) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def loader(batch: int = 4, seed: int | None = 7) -> DataLoader[Any]:
    own = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(Pictures(), batch_size=batch, shuffle=True, generator=own)


def everything(module: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    """Yield all that a training leaves: weights, buffers, gradients, flags, states, random."""
    for name, value in module.state_dict().items():
        yield f"weight {name}", value.clone()
    for name, each in module.named_parameters():
        yield f"grad {name}", None if each.grad is None else each.grad.clone()
        yield f"requires_grad {name}", each.requires_grad
    for name, part in module.named_modules():
        yield f"mode {name}", part.training
        yield f"hooks {name}", (len(part._forward_hooks), len(part._forward_pre_hooks))
    for at, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            yield f"optimizer {at} {name}", torch.as_tensor(value).clone()
    yield "torch", torch.get_rng_state()
    yield "numpy", torch.from_numpy(np.random.get_state()[1].astype(np.int64))  # noqa: NPY002
    yield "python", random.getstate()


def assert_same(first: list[tuple[str, Any]], second: list[tuple[str, Any]]) -> None:
    assert [name for name, _ in first] == [name for name, _ in second]
    for (name, one), (_, other) in zip(first, second, strict=True):
        same = torch.equal(one, other) if isinstance(one, Tensor) else one == other
        assert same, name
