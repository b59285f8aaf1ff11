"""The attention layers of a network, and where their tokens lie over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.cam.attention.stream import Stream
from effcam.errors import LayerError
from effcam.models.tracing.map_layout import Grid

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = "each of its keys takes in the whole image, as channels do, and no cell"
OVERLAP = "its keys overlap, or lie in no order of the image"
NO_MAP = "its keys come from no map of the image"


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Where the tokens of an attention lie over the image.

    Attributes:
        grid: Rows and columns of positions.
        windows: The dimensions of the (B, ..., keys, d) values that stand for parts of the image;
            the others are heads.
        keys: (positions,) int64, window * keys + index of the key of each position.
        counts: (positions,) float32, how many positions have the same key.
        prefix: (k,) int64, the keys that stand for no position.
        queries: (positions,) int64 as ``keys``, the query of each position, -1 for none; ``None``
            if they are not known.
        prefix_queries: (k,) int64, the query of each of these keys, -1 for none.
        learned: Whether the queries do not depend on the image.
        exact: Whether each key stands for its own positions only; else keys of overlapping cells
            are taken for even ones.
        others: (positions, k) int64 as ``keys``, further keys of each position, in windows that
            overlap, -1 for none; ``None`` if windows do not overlap.
    """

    grid: Grid
    windows: tuple[int, ...]
    keys: Tensor
    counts: Tensor
    prefix: Tensor
    queries: Tensor | None
    prefix_queries: Tensor
    learned: bool
    exact: bool
    others: Tensor | None = None

    @property
    def pools(self) -> bool:
        """Whether no query stands for a position."""
        return self.learned or (self.queries is not None and bool((self.queries < 0).all()))

    def to_map(self, heat: Tensor) -> Tensor:
        """Return (B, h, w) maps of (B, windows, keys) values, each spread over its positions."""
        return self.spread(heat.flatten(1)).reshape(-1, *self.grid)

    def spread(self, values: Tensor) -> Tensor:
        """Return (B, positions) of (B, windows * keys) values, each shared by its positions."""
        found = values[:, self.keys.to(values.device)] / self.counts.to(values.device)
        if self.others is None:
            return found
        others = self.others.to(values.device)
        return found + (values[:, others.clamp(min=0)] * (others >= 0)).sum(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One attention of the pass of a network.

    Attributes:
        name: The innermost module in which it runs.
        value: The shape of its values, without that of the batch.
        output: The shape of its output, without that of the batch.
        tokens: Where its tokens lie; ``None`` if its keys are no parts of the image.
        problem: Why they are not, in words.
    """

    name: str
    value: tuple[int, ...]
    output: tuple[int, ...]
    tokens: Tokens | None
    problem: str = ""

    @property
    def placed(self) -> Tokens:
        """Where its tokens lie.

        Raises:
            LayerError: If its keys are no parts of the image.
        """
        if self.tokens is None:
            raise LayerError(
                f"attention layer {self.name!r} has no tokens of the image: {self.problem}. Use a "
                "method that reads the target layer, as gradcam"
            )
        return self.tokens


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The attention of a network at one input size.

    Attributes:
        layers: Its attentions in order.
        read: (windows * queries,) bool: the queries of the last one whose output the scores
            depend on; empty without attention.
        stream: The blocks whose outputs the network's end can take; ``None`` if there are none.
    """

    layers: tuple[Layer, ...]
    read: Tensor
    stream: Stream | None = None
