"""Check on real passes that the evidence for the scores lies in the target layers, in place.

Two questions are asked of a network with its own weights. Does all evidence for the scores pass
through the maps? Their cells are held at those of picture A while picture B runs: what the scores
still move is evidence that goes past them. And do the maps show places of the image
(`place_check`)?
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effcam.images.preprocess import Preprocess
from effcam.models.tracing.closed_parts import open_layers
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.layer_run import run_layers
from effcam.models.tracing.logits import tensors
from effcam.models.tracing.place_check import (
    ROUNDING,
    Place,
    add_patches,
    find_place,
    follows,
    is_unsure,
)
from effcam.models.tracing.probe import probe_inputs
from effcam.models.tracing.runners import device_of, dtype_of
from effcam.models.tracing.score_source import ScoreSource
from effcam.models.tracing.target_layer import TargetLayer

PAIRS = 4
"""The number of further pairs of pictures that show whether cells follow a patch."""


@dataclass(frozen=True, slots=True, eq=False)
class CausalCheck:
    """The answers of a network about its target layers.

    Attributes:
        bypass: The share of the change of the scores between two pictures that goes past the
            layers, in [0, 1]; ``None`` if the scores do not change.
        in_place: For each layer, whether its cells follow what moves in the image; ``None`` if
            they do not change.
        prefix_first: For each layer, whether the tokens that do not depend on the image stand
            before its cells where its sequence of tokens begins; ``None`` if there are none.
    """

    bypass: float | None
    in_place: tuple[bool | None, ...]
    prefix_first: tuple[bool | None, ...]


def check_causes(
    module: nn.Module,
    layers: Sequence[TargetLayer],
    preprocess: Preprocess,
    source: ScoreSource | None = None,
) -> CausalCheck:
    """Return what a network's own passes say about its target layers; it stays unchanged.

    It takes three passes of two pictures, and one with the layers' outputs held; where the cells
    hardly follow a patch, 20 more.

    Args:
        module: The network.
        layers: The layers to look at, one cut together.
        preprocess: Its transform.
        source: Where its class scores are read; ``None`` is its output.
    """
    pair = probe_inputs(preprocess).to(device_of(module), dtype_of(module)).contiguous()
    with untouched(module), torch.inference_mode(False), torch.no_grad():
        run = _Runner(module.eval(), layers, source or ScoreSource())
        with first_sequences(module) as sequences:
            scores, outputs = run(pair)
        held, _ = run(pair.flip(0), hold=outputs)
        places = [run.places(pair, outputs, 0)]
        if any(map(is_unsure, places[0])):
            for seed in range(1, PAIRS + 1):
                other = probe_inputs(preprocess, seed=seed).to(pair)
                _, outputs = run(other)
                places += [run.places(other, outputs, base) for base in (0, 1)]
    return CausalCheck(
        bypass=_share(scores, held),
        in_place=tuple(
            False if _begins_with_queries(layer, sequences) else follows(own)
            for layer, own in zip(layers, zip(*places, strict=True), strict=True)
        ),
        prefix_first=tuple(_begins_with_prefix(layer, sequences) for layer in layers),
    )


class _Runner:
    """Runs a network, and returns its scores and the outputs of its layers."""

    def __init__(
        self, module: nn.Module, layers: Sequence[TargetLayer], source: ScoreSource
    ) -> None:
        self._module, self._layers, self._source = module, layers, source

    def __call__(
        self, images: Tensor, hold: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        return run_layers(self._module, self._layers, images, self._source, hold)

    def places(self, pair: Tensor, outputs: Sequence[Tensor], base: int) -> list[Place | None]:
        """Return how the cells of each layer follow a patch in one picture of a pair.

        Args:
            pair: (2, C, H, W) pictures.
            outputs: The layers' outputs for both.
            base: Which of them gets patches of the other one.
        """
        patched = add_patches(pair[base], pair[1 - base])
        halves = [self(patched[at : at + 2])[1] for at in (0, 2)]
        return [
            find_place(
                layer, outputs[index][base : base + 1], torch.cat([h[index] for h in halves])
            )
            for index, layer in enumerate(self._layers)
        ]


@contextmanager
def first_sequences(module: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Collect the first sequence of each number of tokens that a submodule takes or returns.

    Yields:
        By the number n of tokens, the (batch, n, channels) tensor; filled within the context.
    """
    found: dict[int, Tensor] = {}

    def see(values: object) -> None:
        for each in tensors(values):
            if each.ndim == 3 and each.shape[1] not in found:
                found[each.shape[1]] = each.clone()

    handles = []
    for part in open_layers(module):
        handles += [
            nn.Module.register_forward_pre_hook(
                part, lambda _part, args, kwargs: see((args, kwargs)), with_kwargs=True
            ),
            nn.Module.register_forward_hook(part, lambda _part, _args, output: see(output)),
        ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _begins_with_queries(layer: TargetLayer, sequences: Mapping[int, Tensor]) -> bool:
    """Return whether none of the tokens of a layer came from the image where they began.

    Learned queries, as a Perceiver's latents, then read the image, each all of it.
    """
    tokens = sequences.get(layer.prefix + math.prod(layer.grid))
    if layer.layout != "tokens" or tokens is None or len(tokens) != 2:
        return False
    return torch.equal(tokens[0], tokens[1])


def _begins_with_prefix(layer: TargetLayer, sequences: Mapping[int, Tensor]) -> bool | None:
    """Return whether the tokens that are equal for two pictures stand before a layer's cells."""
    tokens = sequences.get(layer.prefix + math.prod(layer.grid))
    if not layer.prefix or tokens is None or len(tokens) != 2:
        return None
    equal = (tokens[0] == tokens[1]).all(-1)
    return not bool(equal[layer.prefix :].any()) if bool(equal.any()) else None


def _share(scores: Tensor, held: Tensor) -> float | None:
    """Return how far scores with held layers still move from one picture's to the other's.

    Args:
        scores: (2, classes) of pictures A and B.
        held: (2, classes) of pictures B and A, with the layers' outputs of A and B.
    """
    total = (scores - scores.flip(0)).norm(dim=1)
    still = (scores - held).norm(dim=1)
    size = scores.norm(dim=1).amax()
    if not bool((total > ROUNDING * size).all()):
        return None
    share = float((still / total).mean().clamp(max=1))
    return 0.0 if bool((still <= ROUNDING * size).all()) else share
