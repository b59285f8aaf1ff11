"""Find the blocks of a network whose outputs its end can take in place of the last one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from effcam.cam.attention.module_calls import Calls, ModuleCall, Place

if TYPE_CHECKING:
    from effcam.cam.attention.layout import Layer
    from effcam.cam.attention.recording import Attention


@dataclass(eq=False, slots=True)
class Stream:
    """Blocks that hand tokens of one shape from each to the next.

    Attributes:
        blocks: The call of the block of each attention, in order.
        layers: The indices of these attentions.
        pooling: The indices of the attentions after them, which pool.
        before: The outermost calls that end before the end of the last block.
        by_rows: Whether its blocks run on some tokens alone, as far as it was tried.
        works: Whether the end of the network, run by itself, gives the network's own scores.
    """

    blocks: tuple[Place, ...]
    layers: tuple[int, ...]
    pooling: tuple[int, ...]
    before: tuple[Place, ...]
    by_rows: bool = True
    works: bool = True

    @property
    def names(self) -> set[str]:
        """The names of the modules whose calls are needed."""
        return {name for name, _ in (*self.blocks, *self.before)}


def find_stream(
    calls: Calls, layers: Sequence[Layer], attentions: Sequence[Attention]
) -> Stream | None:
    """Return the blocks, ``None`` if the network is not made of such blocks.

    Each block takes what the one before it returned, and holds one attention. Attentions after the
    last block may pool its tokens.
    """
    own = [at for at, layer in enumerate(layers) if layer.tokens and not layer.tokens.pools]
    pooling = [at for at in range(len(layers)) if at not in own]
    if not own or any(at < own[-1] or layers[at].tokens is None for at in pooling):
        return None
    blocks = [_block(calls, attentions[at]) for at in own]
    found = [each for each in blocks if each is not None]
    if len(found) < len(own) or not _hand_on(found):
        return None
    last = found[-1]
    early = [each for each in calls.done if each.end <= last.end]
    outer = [each for each in early if not any(other.encloses(each) for other in early)]
    return Stream(
        tuple(each.place for each in found),
        tuple(own),
        tuple(pooling),
        tuple(each.place for each in outer),
    )


def _block(calls: Calls, attention: Attention) -> ModuleCall | None:
    """Return the outermost call around an attention that holds no other one."""
    around = [each for each in calls.done if each.attention == [attention]]
    return max(around, key=lambda each: each.end - each.start, default=None)


def _hand_on(blocks: Sequence[ModuleCall]) -> bool:
    """Return whether each takes what the one before it returned, all of one shape."""
    made = [each.made for each in blocks]
    taken = [each.taken for each in blocks]
    shapes = {None if each is None else each.shape for each in (*made, *taken)}
    if len(shapes) != 1 or None in shapes:
        return False
    return all(
        after is not None and before is not None and torch.equal(before, after)
        for before, after in zip(made[:-1], taken[1:], strict=True)
    )
