"""Small networks whose maps are easily misread: the kinds that other tools get wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHANNELS, CLASSES = 24, 10


def stem(channels: int = CHANNELS) -> nn.Sequential:
    """Return layers that make an 8 x 8 map of 64 px."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, 4, 2), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU(),
    )  # fmt: skip


class Body(nn.Module):
    """A stem, a block and a linear layer, with a way to join and to end them."""

    def __init__(
        self,
        block: nn.Module | None = None,
        end: Callable[[Tensor], Any] | None = None,
        join: Callable[[nn.Module, Tensor], Tensor] | None = None,
        features: int = CHANNELS,
    ) -> None:
        super().__init__()
        self.stem = stem()
        self.block = block or nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.fc = nn.Linear(features, CLASSES)
        self.join = join or (lambda part, x: part(x))
        self.end = end or (lambda scores: scores)

    def forward(self, images: Tensor) -> Any:
        """Return what `end` makes of the scores."""
        x = self.join(self.block, self.stem(images))
        return self.end(self.fc(x.mean((2, 3)) if x.ndim == 4 else x.mean(1)))


class Branches(nn.Module):
    """Two branches that a function joins."""

    def __init__(self, join: str, last: int = CHANNELS) -> None:
        super().__init__()
        self.stem, self.kind = stem(), join
        self.a = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.b = nn.Conv2d(CHANNELS, last, 1)
        self.fc = nn.Linear(CHANNELS + last if join == "cat" else CHANNELS, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of both branches together."""
        x = self.stem(images)
        one, other = self.a(x), self.b(x)
        joined = torch.cat([one, other], 1) if self.kind == "cat" else one + other
        return self.fc(joined.mean((2, 3)))


class TwoBackbones(nn.Module):
    """Two networks on the same picture whose features are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = stem(), stem(32)
        self.fc = nn.Linear(CHANNELS + 32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of both."""
        features = [each(images).mean((2, 3)) for each in (self.one, self.other)]
        return self.fc(torch.cat(features, 1))


class Twice(nn.Module):
    """One network that runs on a picture and on a changed copy of it."""

    def __init__(self, change: Callable[[Tensor], Tensor], *, bare: bool) -> None:
        super().__init__()
        self.body, self.change = stem(), change
        self.last: nn.Module = nn.ReLU() if bare else nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of both scores."""
        both = [self.last(self.body(each)) for each in (images, self.change(images))]
        return sum(self.fc(each.mean((2, 3))) for each in both) / 2


class TupleBlock(nn.Module):
    """A residual block that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the sum alone in a tuple."""
        return (x + 0.5 * self.mlp(x),)


class Latents(nn.Module):
    """Learned queries that read the cells; their number is a square."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.stem = stem()
        self.queries = nn.Parameter(torch.randn(1, count, CHANNELS))
        self.cross = nn.MultiheadAttention(CHANNELS, 4, batch_first=True)
        self.mlp = nn.Linear(CHANNELS, CHANNELS)
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the queries' mean."""
        cells = self.stem(images).flatten(2).transpose(1, 2)
        queries = self.queries.expand(len(cells), -1, -1)
        found = self.cross(queries, cells, cells, need_weights=False)[0]
        return self.fc((found + self.mlp(found)).mean(1))


class Tokens(nn.Module):
    """A sequence of tokens whose order the layer sees changed."""

    def __init__(self, order: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.order = stem(), order
        self.norm = nn.LayerNorm(CHANNELS)
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the tokens' mean."""
        tokens = self.order(self.stem(images).flatten(2).transpose(1, 2))
        return self.fc(self.norm(tokens).relu().mean(1))


class Transformer(nn.Module):
    """A class token, registers and cells through torch's own encoder."""

    def __init__(self, registers: int = 0, *, last: bool = False, both: bool = False) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, CHANNELS, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1 + registers, CHANNELS))
        layer = nn.TransformerEncoderLayer(
            CHANNELS, 4, 48, batch_first=True, norm_first=True, dropout=0.0
        )
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.fc = nn.Linear(2 * CHANNELS if both else CHANNELS, CLASSES)
        self.registers, self.last, self.both = registers, last, both

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the class token, and of the cells' mean."""
        cells = self.patch(images).flatten(2).transpose(1, 2)
        extra = self.token.expand(len(cells), -1, -1)
        tokens = self.encoder(torch.cat([cells, extra] if self.last else [extra, cells], 1))
        token = tokens[:, -1 - self.registers] if self.last else tokens[:, 0]
        if self.both:
            token = torch.cat([token, tokens[:, 1 + self.registers :].mean(1)], 1)
        return self.fc(token)


class Checkpointed(nn.Module):
    """Its block is computed again in the backward pass."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.body, self.reentrant = Body(), reentrant

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        x = self.body.stem(images)
        x = checkpoint(self.body.block, x, use_reentrant=self.reentrant)
        return self.body.fc(x.mean((2, 3)))


def without_gradient(part: nn.Module, x: Tensor) -> Tensor:
    """Return a block's output that autograd does not follow."""
    with torch.no_grad():
        return part(x)


def in_inference_mode(part: nn.Module, x: Tensor) -> Tensor:
    """Return a block's output computed in inference mode."""
    with torch.inference_mode():
        found = part(x)
    return found.clone()


class HeadWithConvolution(nn.Module):
    """A head that holds the last convolution, as ultralytics' does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem()
        self.head = Ending()

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        return self.head(self.stem(images))


class Ending(nn.Module):
    """A convolution, pooling and a linear layer in one module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(CHANNELS, 64, 1), nn.SiLU())
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of a map."""
        return self.linear(self.conv(x).mean((2, 3)))


class Rest(nn.Module):
    """All layers after the first one, and the head, in one module."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.two = nn.Conv2d(CHANNELS, 32, 3, padding=1)
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of a map."""
        return self.fc(self.two(self.one(x).relu()).relu().mean((2, 3)))


def shuffled(tokens: Tensor) -> Tensor:
    """Return tokens in an order that has nothing to do with the picture."""
    return tokens[:, torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))]


def transposed(tokens: Tensor) -> Tensor:
    """Return tokens column by column."""
    side = round(tokens.shape[1] ** 0.5)
    return tokens.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)


def in_windows(tokens: Tensor) -> Tensor:
    """Return tokens window by window, 4 x 4 cells each."""
    side = round(tokens.shape[1] ** 0.5) // 4
    grid = tokens.unflatten(1, (side, 4, side, 4)).transpose(2, 3)
    return grid.flatten(1, 4)
