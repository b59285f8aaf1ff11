"""Measure which part of the scores goes past a layer, by holding what it returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from zoo.calls import Call, Change, Key, record, run, run_with
from zoo.maps import DIFFERENT, IN_PLACE, Reading, best_readings, differs, in_place
from zoo.probes import calibrate, enliven, pictures, with_object

ZERO = 0.02
"""A share of the scores' change that counts as nothing; rounding gives about 1e-6."""
READ = 1e-3
CONSTANT = 1e-5
PASSIVE = (
    nn.Identity,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)

Held = Sequence[tuple[Key, Reading]]


@dataclass(slots=True)
class Subject:
    """A network, two pairs of pictures, their scores, and what its modules returned for them.

    Attributes:
        module: The network.
        at: The submodule that returns the scores; empty for the network.
        one: (2, channels, size, size), the pictures whose outputs are held.
        other: The pictures that are run with them.
        scene: (5, channels, size, size), one picture with an object at each of four places.
    """

    module: nn.Module
    at: str
    one: Tensor
    other: Tensor
    scene: Tensor
    scores: tuple[Tensor, Tensor]
    calls: list[Call] = field(default_factory=list)
    scenes: dict[Key, Tensor] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls, module: nn.Module, size: int, channels: int, at: str, *, frozen: bool
    ) -> Subject:
        """Give a network its weights, and run it on the pictures."""
        if not frozen:  # an exported program has no eval()
            module.eval()
            enliven(module)
            calibrate(module, pictures(8, size, channels, 3))
        one, other = (pictures(2, size, channels, seed) for seed in (1, 2))
        with torch.no_grad():
            scores = run(module, one, at), run(module, other, at)
        if not float((scores[1] - scores[0]).norm()) > CONSTANT * float(scores[0].norm()):
            raise ValueError("the scores with random weights are the same for every picture")
        scene = with_object(pictures(1, size, channels, 4)[0])
        return cls(module, at, one, other, scene, scores)

    def record(self) -> None:
        """Record the modules' outputs for all pictures."""
        self.calls = record(self.module, self.one)
        self.scenes = {call.key: call.value for call in record(self.module, self.scene)}

    def value(self, key: Key) -> Tensor:
        """Return what a call returned for the pictures `one`."""
        return next(call.value for call in self.calls if call.key == key)

    @property
    def change(self) -> float:
        """How far the scores of the two pairs are apart."""
        return float((self.scores[1] - self.scores[0]).norm())

    def past(self, held: Held, *, cells: bool = False) -> float:
        """Return the share of the change of the scores that remains with some outputs held.

        Args:
            held: The calls whose outputs are held at what `one` gave while `other` runs.
            cells: Whether to hold the cells only, and leave the prefix tokens.
        """
        scores = self._scores_with(held, cells=cells)
        return float((scores - self.scores[0]).norm()) / max(self.change, 1e-30)

    def read(self, held: Held) -> float:
        """Return how far the scores move if the cells alone are held, as a share."""
        scores = self._scores_with(held, cells=True)
        return float((scores - self.scores[1]).norm()) / max(self.change, 1e-30)

    def _scores_with(self, held: Held, *, cells: bool) -> Tensor:
        changes: dict[Key, Change] = {}
        for key, reading in held:
            kept = self.value(key)
            changes[key] = partial(reading.put_cells, held=kept) if cells else partial(_put, kept)
        return run_with(self.module, self.other, changes, self.at)

    def place(self, key: Key, reading: Reading) -> float:
        """Return how well the cells of a call lie over the picture, in [0, 1].

        It is 1 where changes are almost the same wherever the object is, and tell nothing.
        """
        maps = reading.to_map(self.scenes[key])
        return in_place(maps) if differs(maps) >= DIFFERENT else 1.0

    def maps(self) -> list[tuple[Call, Reading]]:
        """Return the calls whose outputs have cells that lie over the picture, in order."""
        classes, size = self.scores[0].shape[1], self.one.shape[-1]
        calls = [
            call
            for call in self.calls
            if not isinstance(call.module, PASSIVE) and call.key in self.scenes
        ]
        found = []
        best_of = best_readings([self.scenes[call.key] for call in calls], size)
        for call, best in zip(calls, best_of, strict=True):
            if best and best[1] >= IN_PLACE:
                reading = best[0]
                if reading.to_map(call.value).shape[1] != classes:  # a class for each cell
                    found.append((call, reading))
        return found


def same_values(one: Tensor, other: Tensor) -> bool:
    """Return whether a tensor is another one in another order or shape."""
    if one.numel() != other.numel():
        return False
    return bool(torch.equal(one.flatten().sort().values, other.flatten().sort().values))


def computes(module: nn.Module) -> bool:
    """Return whether a module mixes channels or cells; activations and norms only scale them."""
    own = any(True for _ in module.parameters(recurse=False))
    return own and "norm" not in type(module).__name__.casefold()


def is_projection(module: nn.Module) -> bool:
    """Return whether a module is a part of attention that a class token reads through."""
    own = isinstance(module, (nn.Linear, nn.Conv2d, nn.Softmax, *PASSIVE))
    return own or "linear" in type(module).__name__.casefold()  # as LoRA's


def _put(kept: Tensor, _new: Tensor) -> Tensor:
    return kept.clone()
